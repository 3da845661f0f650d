from mutants.plant import Fault, in_file

FAULTS = [
    *in_file(
        "csrc/cuda/causal_conv1d_backward_kernel.cu",
        170,
        Fault("sign", "return s * (acc_t(1) + y * ({{acc_t(1) - s => acc_t(1) + s}}));", "SiLU's slope"),
        Fault("bound", "if ({{t < 0 => false}} || t >= thread.length ||", "tokens before the first count"),
        Fault("mask", "{{t >= thread.length => t >= args.length}} || thread.channel", "padding's gradients count"),
        Fault(
            "bound",
            "t >= thread.length || {{thread.channel >= args.channels => false}}) return {}; return load_pack",
            "no edge test of dout's channels",
        ),
        Fault(
            "lane",
            "{{__shfl_down_sync(0xffffffffu, sums[m].at(c), kLanes)"
            " => __shfl_down_sync(0xffffffffu, sums[m].at(c), kLanes / 2)}}",
            "the other run's sum is taken from half as far",
        ),
        Fault(
            "lane", "__shfl_down_sync({{0xffffffffu => 0x0000ffffu}}, sums[m].at(c), kLanes)", "half the warp is asked"
        ),
        Fault(
            "bound", "if ({{number % 32 < kLanes => number % 32 <= kLanes}}) shared.sums", "a lane too many writes sums"
        ),
        Fault("barrier", "{{__syncthreads(); => }} const int64_t partial", "before the warps' sums are added"),
        Fault("barrier", "{{__syncthreads(); => }} // before the next sums", "before the next sums take their place"),
        Fault(
            "partial sum",
            "(thread.batch * args.chunks + thread.chunk) * args.directions + {{direction => 0}};",
            "the second direction overwrites the first's sums",
        ),
        Fault(
            "partial sum",
            "{{i < (kWidth + 1) * kColumns => i < kWidth * kColumns}}; i += kThreads",
            "dbias is not written",
        ),
        Fault(
            "bound",
            "if ({{first + column >= args.channels => false}} || (m == kWidth",
            "sums of channels that do not exist are written",
        ),
        Fault("partial sum", "for (int w = {{1 => 2}}; w < kWarps; ++w)", "a warp's sum is left out"),
        Fault(
            "order",
            "(partial * kWidth + {{tap_of_row(args, direction, m) => m}}) * args.channels;",
            "gradients of taps are not mirrored where time is",
        ),
        Fault(
            "order", "const int own = {{reverse ? kHistory : 0 => 0}};", "a run backwards counts its neighbours' tokens"
        ),
        Fault(
            "order",
            "const bool reverse = {{kDirections == 2 ? direction == 1 : args.reverse[0] => direction == 1}};",
            "one direction backwards is taken for one forwards",
        ),
        Fault("bound", "if ({{i >= 0 && i < kRun => i >= 0 && i < kRun - 1}}) dx[i]", "a run's last dx is left out"),
        Fault("bound", "if ({{j < own || j >= own + kRun => j < own}}) continue;", "neighbours' tokens count twice"),
        Fault(
            "partial sum",
            "{{sums[kWidth].at(c) += g; => if (j > own) sums[kWidth].at(c) += g;}}",
            "dbias leaves out a run's first token",
        ),
        Fault("mask", "valid[c] = {{t < thread.length ? dx[i].at(c) : acc_t(0) => dx[i].at(c)}};", "dx of padding"),
        Fault(
            "configuration",
            "valid[c] = {{t < thread.length ? dx[i].at(c) : acc_t(0)"
            " => t < thread.length ? dx[i].at(sizeof(in_t) == 2 && kPack > 1 ? c ^ 1 : c) : acc_t(0)}};",
            "neighbours change places in dx of packs of half precision",
        ),
        Fault(
            "bound",
            "if (t >= args.length || {{thread.channel >= args.channels => false}}) break;",
            "dx of channels that do not exist",
        ),
        Fault(
            "bound",
            "if ({{t >= args.length => t > args.length}} || thread.channel >= args.channels) break;",
            "dx of a token behind the last",
        ),
        Fault("alignment", "{{packs_fit(args.dout, sizeof(in_t), kPack) => true}} &&", "dout need not be aligned"),
        Fault(
            "alignment",
            "{{packs_fit(args.dx, sizeof(in_t), kPack) => true}};",
            "dx need not be aligned",
            equivalent="dx is made by the op, dense and aligned, and its channels fill packs by inputs_fit",
        ),
        Fault(
            "scratch",
            "kernel<in_t, kWidth, 2, kPack>, grid, block, {{kShared => kShared / 2}}, stream, args);",
            "half the shared memory",
        ),
        Fault(
            "grid",
            "{{batch += gridDim.y"
            " => batch += args.batch}}) { const ConvThread thread = conv_thread<kPack>(args, batch);"
            " Pack<in_t, kPack> x[kRows];",
            "clips beyond the grid are left out",
        ),
    ),
    *in_file(
        "csrc/cuda/causal_conv1d_any_backward_kernel.cu",
        200,
        Fault(
            "offset",
            "return {{((direction * args.batch + batch) * args.length + t) * args.channels"
            " => int32_t(((direction * args.batch + batch) * args.length + t) * args.channels)}};",
            "more than 2^31 gradients",
        ),
        Fault(
            "mask",
            "if ({{t < thread.length => t < args.length}}) { g = widen(",
            "padding has gradients",
            equivalent="all who read g stay inside the clip's length",
        ),
        Fault("term", "g *= s * (acc_t(1) + {{y * (acc_t(1) - s) => acc_t(1) - s}});", "SiLU's slope without y"),
        Fault(
            "order",
            "const int64_t first = {{args.reverse[direction] ? t : t - (args.width - 1) => t - (args.width - 1)}};"
            " acc_t y",
            "y is computed looking back, whatever the direction",
        ),
        Fault(
            "term",
            "acc_t y = {{bias_pack<acc_t, 1>(args, direction, thread.channel).at(0) => acc_t(0)}};",
            "y without the bias",
        ),
        Fault(
            "mask",
            "if (t >= 0 && {{t < thread.length => t < args.length}})",
            "padding's g is read",
            equivalent="g is zero behind the clip's end",
        ),
        Fault("bound", "if ({{t >= 0 => true}} && t < thread.length)", "tokens before the first are read"),
        Fault(
            "order",
            "t = {{args.reverse[direction] ? s - away : s + away => s + away}};",
            "dx looks forward, whatever the direction",
        ),
        Fault(
            "mask",
            "{{s < thread.length ? row_gradient<Acc<in_t>>(args, gradient, thread, s) : Acc<in_t>(0)"
            " => row_gradient<Acc<in_t>>(args, gradient, thread, s)}};",
            "dx of padding",
        ),
        Fault("grid", "{{row += int64_t(gridDim.z) * kTaps => row += history}})", "rows beyond the grid are left out"),
        Fault(
            "length",
            "const int64_t s = row + ({{args.reverse[0] ? thread.length : -history"
            " => args.reverse[0] ? args.length : -history}});",
            "the initial state stands behind the padding",
        ),
        Fault(
            "bound",
            "const int64_t end = "
            "{{thread.length - begin < args.chunk_tokens ? thread.length : begin + args.chunk_tokens"
            " => begin + args.chunk_tokens}};",
            "the last chunk goes beyond the clip",
        ),
        Fault("partial sum", "{{m <= args.width => m < args.width}}; m += kTaps", "dbias is not written"),
        Fault("bound", "if (is_bias && {{!args.dbias => false}}) continue;", "dbias is written where there is none"),
        Fault("index", "m - ({{args.width - 1 => args.width}}); acc_t sum = 0;", "dweight is of the token before"),
        Fault(
            "partial sum",
            "const int64_t partial = (batch * args.chunks + {{thread.chunk => 0}}) * args.directions + direction;",
            "all chunks write the first's sums",
        ),
        Fault(
            "grid",
            "const dim3 sums(unsigned({{ceil_divide(args.channels, kColumns) * args.chunks"
            " => ceil_divide(args.channels, kColumns)}}), grid.y);",
            "only the first chunk has blocks",
        ),
        Fault(
            "state",
            "if ({{args.dinitial_state.data && args.width > 1"
            " => args.dinitial_state.data && args.width > 1 && args.length > 0}}) { const dim3 rows",
            "no gradient of the initial state of clips without tokens",
        ),
        Fault(
            "grid",
            "{{batch += gridDim.y"
            " => batch += args.batch}}) { ConvThread thread = conv_thread<1>(args, batch); thread.chunk",
            "clips beyond the grid are left out",
        ),
    ),
]
