from mutants.plant import Fault, in_file

FAULTS = in_file(
    "csrc/cuda/causal_conv1d_kernel.cu",
    150,
    Fault(
        "term", "args.silu ? {{y.at(c) * sigmoid(y.at(c)) => sigmoid(y.at(c))}} : y.at(c);", "SiLU without its factor"
    ),
    Fault("mask", "out[c] = {{t < thread.length ? value : Acc<in_t>(0) => value}};", "padding is not zero"),
    Fault(
        "index",
        "store_pack(row_at<in_t>(args.out, {{direction => 0}}, thread.batch, t)",
        "both directions write the first's output",
    ),
    Fault(
        "grid",
        "{{batch += gridDim.y => batch += args.batch}}) { const ConvThread thread = conv_thread<kPack>(args, batch);",
        "clips beyond the grid are left out",
    ),
    Fault(
        "grid",
        "{{batch += gridDim.y => batch += args.batch}}) { const ConvThread thread = conv_thread<1>(args, batch);",
        "clips beyond the grid are left out, any width",
    ),
    Fault(
        "order",
        "thread.token - ({{kDirections == 1 && args.reverse[0] ? 0 : kHistory => kHistory}});",
        "one direction backwards is taken for one forwards",
    ),
    Fault(
        "scratch",
        "kRows = kRun + {{kDirections * kHistory => kHistory}};",
        "no room for the rows after the run",
        own=True,
    ),
    Fault(
        "alignment",
        "&& {{packs_fit(args.out, sizeof(in_t), kPack) => true}};",
        "the output need not be aligned",
        equivalent="the output is made by the op, dense and aligned, and its channels fill packs by inputs_fit",
    ),
    Fault(
        "bound",
        "if ({{thread.channel >= args.channels => thread.channel > args.channels}}) return; const int64_t first",
        "a pack behind the last channel works",
    ),
    Fault(
        "bound",
        "if ({{thread.token + i >= args.length => thread.token + i > args.length}}) break;",
        "a token behind the last is written",
    ),
    Fault(
        "configuration",
        "weight[m] = weight_pack<acc_t, kPack>(args, direction, {{tap_of_row(args, direction, m)"
        " => sizeof(in_t) == 2 && kPack > 1 ? int64_t(m) : tap_of_row(args, direction, m)}}, thread.channel);",
        "taps are not mirrored in packs of half precision",
    ),
    Fault(
        "configuration",
        "y.at(c) += {{weight[m].at(c) => weight[m].at(kPack == 2 ? 0 : c)}} *",
        "packs of double all take the first channel's taps",
    ),
    Fault("index", "widen(x[{{i + m + direction * kHistory => i + m}}].at(c))", "the second direction looks back, too"),
    Fault(
        "index",
        "const int64_t first = args.reverse[direction] ? t : t - ({{args.width - 1 => args.width}}); auto y",
        "any width begins one token early",
    ),
    Fault(
        "bound",
        "t < thread.token + kRun && {{t < args.length => t <= args.length}}; ++t) {"
        " const int64_t first = args.reverse[direction] ? t",
        "any width writes a token behind the last",
    ),
)
