from mutants.plant import Fault, in_file

FAULTS = [
    *in_file(
        "csrc/cpu/scan_tile.h",
        840,
        Fault(
            "bound",
            "for (; {{state - n >= 4 => state - n > 4}}; n += 4)",
            "four states go one by one",
            equivalent="states one by one are computed alike",
        ),
        Fault(
            "bound",
            "{{all_blocks - first < blocks ? all_blocks - first : blocks => blocks}}",
            "the last split has vectors that do not exist",
            equivalent="below AVX-512 a vector with less than no channels reads and writes nothing",
        ),
        Fault(
            "bound",
            "const int count = int({{left < kLanes<acc_t> ? left : kLanes<acc_t> => kLanes<acc_t>}});",
            "a group's last vector takes channels of the next",
        ),
        Fault(
            "index",
            "(per_channel) + {{lane.direction * args.channels + lane.channel => lane.channel}},",
            "one bias and skip for both directions",
        ),
        Fault(
            "bound",
            "out[n * kLanes<acc_t> + i] = {{i < count ? in[i * state + n] : acc_t(0) => in[i * state + n]}};",
            "states of channels that do not exist",
        ),
        Fault(
            "bound",
            "const int t = {{first + i < tile.tokens ? first + i : tile.tokens - 1 => first + i}};",
            "step sizes behind the tile are read",
        ),
        Fault(
            "bound",
            "{{magnitude<acc_t>(step.at[i] * steepest) < acc_t(kExp2Bound)"
            " => magnitude<acc_t>(step.at[i] * steepest) < acc_t(2 * kExp2Bound)}};",
            "powers down to 2^-252 are taken for bounded",
        ),
        Fault("order", "tile.step = {{reverse ? -1 : 1 => 1}};", "tiles are walked forward"),
        Fault(
            "bound",
            "tile.tokens = int({{length - start < kTileTokens ? length - start : kTileTokens => kTileTokens}});",
            "the last tile goes beyond the clip",
        ),
        Fault("index", "at<in_t>(x, lane, start + t) + {{lane.group * x.group => int64_t(0)}};", "one group's B and C"),
        Fault(
            "index",
            "({{lane.direction * args.channels + lane.channel => lane.channel}}) * args.state; load_states(out, A",
            "one A for both directions",
        ),
        Fault("bound", "+ {{size * acc_t(0) => (most - most)}};", "an infinite A is not seen"),
        Fault(
            "index",
            "const int64_t row = {{lane.direction * args.channels + lane.channel => lane.channel}}; load_states(",
            "one projection of the steps for both directions",
        ),
        Fault(
            "index",
            "({{lane.direction * args.batch + lane.batch => lane.batch}}) * args.channels + lane.channel; if (states)",
            "one initial state for both directions",
            equivalent="a scan of two directions is given none",
        ),
        Fault(
            "checkpoint",
            "const int64_t clip = {{lane.direction * args.batch + lane.batch => lane.batch}};",
            "of one direction",
        ),
        Fault(
            "bound",
            "if ({{kBoundsCost<typename Row::acc_t> && tile.bounded => kBoundsCost<typename Row::acc_t>}}) return",
            "all tiles are taken for bounded",
        ),
        Fault(
            "mask",
            "store(tile.rows[t].u, load_widened(u + t * u_stride, {{count => kLanes<acc_t>}}));",
            "u behind the edge",
        ),
    ),
    *in_file(
        "csrc/cpu/scan_split.h",
        862,
        Fault(
            "grid",
            "return {{args.batch * args.groups * splits(args) => args.batch * splits(args)}};",
            "the first groups alone",
        ),
    ),
    *in_file(
        "csrc/cpu/selective_scan_kernel.cpp",
        865,
        Fault(
            "configuration",
            "state, {{n == 0 ? skip : Vec<acc_t>{} => skip}}, h + first",
            "the skip in every block of states",
        ),
        Fault("configuration", "const auto walk = {{add || n > 0 => add}} ?", "only the last block of states counts"),
        Fault("order", "skip, h, y, {{lane.direction > 0 => false}}, rows);", "the first direction's y is lost"),
        Fault(
            "order",
            "if ({{lane.direction == args.directions - 1 => lane.direction == 1}}) finish_tile",
            "one direction alone",
        ),
        Fault("scratch", "work.y + ({{i * args.length + start => start}}) * row : work.y;", "vectors share their y"),
        Fault(
            "scratch",
            "y_tokens * row + {{2 * (blocks * row + kTileTokens) * args.state"
            " => (blocks * row + kTileTokens) * args.state}} +",
            "room for half of states and projections",
        ),
        Fault("mask", "for (int64_t t = {{length => length + 1}}; t < args.length; ++t)", "the padding's first token"),
        Fault(
            "index",
            "args.last_state, work.h + {{i * states => int64_t(0)}}, args,",
            "all vectors end in the first's state",
        ),
        Fault("state", "work.h + block * {{args.state * row => row}};", "vectors share their states"),
        Fault(
            "term",
            "load_vectors<kCount>(y + t * row) * {{z_t * sigmoid(z_t) => sigmoid(z_t)}});",
            "SiLU without its factor",
        ),
    ),
    *in_file(
        "csrc/cpu/selective_scan_backward_kernel.cpp",
        880,
        Fault(
            "bound",
            "h[n] = load_widened(checkpoint + n * checkpoint_row, {{count => kLanes<acc_t>}});",
            "behind the channels",
        ),
        Fault(
            "operand",
            "dBC_t[kStates + n] += dy * load({{states[1].of[n] => states->of[n]}});",
            "dC of the state before",
        ),
        Fault(
            "operand", "const Vec<acc_t> w = g[n] * load({{states->of[n] => states[1].of[n]}});", "w of the state after"
        ),
        Fault("operand", "dA[n] += w * {{delta => delta_u}};", "dA with u"),
        Fault("partial sum", "{{dBC_t[n] = load(lanes[t].dB[n]); => }}", "a pair's first dB is lost"),
        Fault("term", "(z_t * (acc_t(1) - gate) + {{acc_t(1) => acc_t(0)}})));", "SiLU's slope without gate"),
        Fault("term", "&Row::y, {{skip * load_field<kCount>(rows, &Row::u) => zero}});", "dz without the skip"),
        Fault("constant", "load(token.through_A) * {{kLn2<acc_t> => acc_t(1)}} +", "log2(e) stays in ddelta"),
        Fault(
            "term",
            "if (args.shared_u) {{du += load(work.du_clip + in_clip + t * row); => }}",
            "du of the last direction",
        ),
        Fault("order", "if ({{lane.direction > 0 => lane.direction > 1}}) y +=", "dz of the last direction"),
        Fault("scratch", "in_clip = ({{i * args.length + start => start}}) * row;", "vectors share what they leave"),
        Fault(
            "configuration",
            "replay(work.tiles[v], work.decays, work.states, decay, B, C, args.state, checkpoint +"
            " {{n * args.channels => 0}},",
            "all blocks of states begin with the first's checkpoint",
        ),
        Fault(
            "partial sum",
            "const int64_t clip = ({{split.index * args.directions + direction => direction}}) * args.batch",
            "splits write over each other's dB and dC",
        ),
        Fault(
            "index", "* args.groups + {{split.group => int64_t(0)}}) * args.state;", "groups write over each other's dB"
        ),
        Fault(
            "state",
            "{{__builtin_memset(work.dA, 0, std::size_t(split.blocks * states) * sizeof(acc_t)); => }}",
            "dA begins with another clip's",
        ),
        Fault(
            "state",
            "{{__builtin_memset(work.dBC, 0, std::size_t(tokens * work.sums_row(args.state)) * sizeof(acc_t)); => }}",
            "dB and dC begin with another tile's",
        ),
        Fault(
            "state",
            "load_initial_state(work.g + i * states, {{args.dlast_state => nullptr}}, args, lane);",
            "no dlast_state",
        ),
        Fault(
            "index",
            "channel = ({{split.batch * args.directions + direction"
            " => direction * args.batch + split.batch}}) * args.channels",
            "dA by direction, then clip",
        ),
        Fault(
            "mask", "for (int64_t t = {{length => length + 1}}; t < args.length; ++t) {", "the padding's first token"
        ),
        Fault(
            "mask",
            "if (args.out.data) {{store_narrowed(at<in_t>(args.out, lane, t) + lane.channel, Vec<acc_t>{}, lane.count);"
            " => }}",
            "the padding of y, made once more",
        ),
        Fault(
            "bound",
            "for (; {{split.blocks - i >= kPair => split.blocks - i > kPair}}; i += kPair)",
            "a last pair goes one by one",
            equivalent="vectors one by one add the same, up to rounding",
        ),
        Fault(
            "scratch",
            "{{args.z.data && args.directions > 1 => args.shared_u && args.z.data && args.directions > 1}} ? blocks",
            "no room for y without a shared u",
        ),
    ),
]
