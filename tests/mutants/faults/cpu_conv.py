from mutants.plant import Fault, in_file

FAULTS = [
    *in_file(
        "csrc/cpu/conv_tile.h",
        700,
        Fault("mask", "if (t >= 0 && {{t < item.length => t < args.length}}) rows[i]", "padding is read as tokens"),
        Fault(
            "length",
            "state_begin = {{args.reverse[direction] ? item.length : -history"
            " => args.reverse[direction] ? args.length : -history}};",
            "the initial state stands behind the padding",
        ),
        Fault(
            "bound",
            "state_row >= 0 && {{state_row < history => state_row <= history}})",
            "a row behind the initial state",
            equivalent="the row is pointed at and never read: no token of the clip has it in its filter",
        ),
        Fault(
            "bound",
            "item.end = {{args.length - item.begin < args.chunk_tokens ? args.length : item.begin + args.chunk_tokens"
            " => item.begin + args.chunk_tokens}};",
            "the last chunk goes beyond L",
        ),
        Fault(
            "bound",
            "item.channels = {{left < args.split_channels ? left : args.split_channels => args.split_channels}};",
            "the last split goes beyond D",
        ),
        Fault(
            "index",
            "static_cast<const acc_t*>(args.bias) + {{direction * args.channels + item.channel => item.channel}}",
            "both directions take the first's bias",
        ),
        Fault(
            "index",
            "static_cast<const acc_t*>(args.weight) + {{direction * args.width * args.channels => int64_t(0)}} +",
            "both directions take the first's taps",
        ),
        Fault("term", "args.bias && {{!transposed => true}}", "dx has the bias added"),
        Fault(
            "index", "window_[k] = load_widened(rows[{{k - 1 => k}}] + channel, count);", "the window begins a row late"
        ),
        Fault("term", "for (int64_t k = {{0 => 1}}; k < taps_.width; ++k)", "wide filters leave out a tap"),
        Fault(
            "bound",
            "{{c + kLanes<acc_t> <= channels => c + kLanes<acc_t> < channels}}; c +=",
            "a last vector that is full goes as a rest",
            equivalent="a rest of all lanes is computed alike",
        ),
        Fault(
            "bound", "if ({{c < channels => c + 1 < channels}}) body(c, int(channels - c));", "a rest of one channel"
        ),
        Fault(
            "dispatch",
            "case 3: {{return body(Width<3>{}); => return body(Width<2>{});}}",
            "three taps are taken for two",
        ),
    ),
    *in_file(
        "csrc/cpu/causal_conv1d_kernel.cpp",
        715,
        Fault(
            "bound",
            "tokens = {{left < kTileTokens ? left : kTileTokens => kTileTokens}};",
            "the last tile goes beyond the clip",
        ),
        Fault(
            "order",
            "first = {{args.reverse[direction] ? start : start - (args.width - 1) => start - (args.width - 1)}};",
            "all directions look back",
        ),
        Fault(
            "term",
            "if (silu) {{value = value * sigmoid(value); => value = sigmoid(value);}}",
            "SiLU without its factor",
        ),
        Fault(
            "mask",
            "for (int64_t t = {{item.begin < item.length ? item.clip_end() : item.begin => item.clip_end()}};",
            "a chunk clears the padding before it, too",
            equivalent="that is padding as well, zero whoever clears it",
        ),
        Fault(
            "mask",
            "+ item.channel, 0, std::size_t({{item.channels => item.channels - 1}}) * sizeof(in_t));",
            "padding's last channel is not cleared",
        ),
        Fault(
            "bound",
            "first, {{tokens + args.width - 1 => tokens + args.width - 2}}, zeros);",
            "the last row is that of the tile before",
        ),
        Fault(
            "mask",
            "std::size_t({{args.split_channels => args.split_channels / 2}}) * sizeof(in_t)); for",
            "half of the row of zeros is not",
        ),
    ),
    *in_file(
        "csrc/cpu/causal_conv1d_backward_kernel.cpp",
        725,
        Fault("sign", "g * (s * (y * ({{acc_t(1) - s => s + acc_t(1)}}) + acc_t(1)));", "SiLU's slope"),
        Fault(
            "mask",
            "in_clip = {{item.length - first < count ? item.length - first : count"
            " => args.length - first < count ? args.length - first : count}};",
            "padding's gradients count",
        ),
        Fault("bound", "const int64_t before = {{first < 0 ? -first : 0 => 0}},", "tokens before the first are read"),
        Fault(
            "partial sum",
            "{{load_widened(dbias + channel, count) + bias_sum => bias_sum}}, count);",
            "dbias is of the last tile",
        ),
        Fault(
            "order",
            "({{args.reverse[direction] ? args.width - 1 - k : k => k}}) * args.channels;",
            "gradients of taps are not mirrored where time is",
        ),
        Fault(
            "partial sum",
            "store_narrowed(total, {{load_widened(total, count) + sum[j] => sum[j]}}, count);",
            "dweight is of the last tile",
        ),
        Fault(
            "index",
            "window[kTaps - 1] = load_widened(rows[{{i + k + kTaps - 1 => i + k}}] + channel, count);",
            "the last tap's gradient is of the first's rows",
        ),
        Fault(
            "order",
            "const int64_t first = {{reverse ? start - history : start => start}}, own",
            "g is made for the tokens behind, whatever the direction",
        ),
        Fault(
            "state",
            "if ({{parameters => true}}) add_parameter",
            "the initial state's tokens count for dweight",
            equivalent="their g is zero, as that of all tokens outside the clip",
        ),
        Fault(
            "term", "if (two) {{dx += second(i); => if (i > 0) dx += second(i);}}", "a tile's first dx of one direction"
        ),
        Fault("index", "conv_taps<acc_t>(args, item, {{two => false}}, true)}", "dx with the first direction's taps"),
        Fault(
            "state",
            "if (args.dinitial_state.data && {{item.chunk == 0 => true}})",
            "every chunk takes the initial state along",
            equivalent="each computes the same numbers",
        ),
        Fault(
            "length",
            "const int64_t state_begin = {{args.reverse[0] ? item.length : -history"
            " => args.reverse[0] ? args.length : -history}};",
            "the initial state stands behind the padding",
        ),
        Fault(
            "partial sum",
            "{{i < (sums + args.directions) * args.width => i < (sums + 1) * args.width}}; ++i)",
            "the second direction's dweight begins anywhere",
        ),
        Fault(
            "mask",
            "{{zero(row_at<in_t>(args.dx, 0, item.batch, t) + item.channel);"
            " => if (t + 1 < item.end) zero(row_at<in_t>(args.dx, 0, item.batch, t) + item.channel);}}",
            "dx of a chunk's last padding",
        ),
        Fault(
            "scratch",
            "/ kLanes<acc_t> + {{1 => 0}}) * kLanes<acc_t>;",
            "rows without the vector that is more than needed",
            equivalent="it keeps rows in different sets of the cache: only time",
        ),
    ),
    *in_file(
        "csrc/cpu/conv_split.h",
        745,
        Fault(
            "grid",
            "std::max<int64_t>(1, {{(args.length + args.chunk_tokens - 1) / args.chunk_tokens"
            " => args.length / args.chunk_tokens}});",
            "the last, shorter chunk is left out",
        ),
        Fault(
            "grid",
            "args.channels ? {{(args.channels + args.split_channels - 1) / args.split_channels"
            " => args.channels / args.split_channels + 1}} : 0;",
            "a split without channels where the last is full",
            equivalent="it has nothing to do",
        ),
    ),
]
