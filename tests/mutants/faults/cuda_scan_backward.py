from mutants.pack_access import without
from mutants.plant import Fault, in_file

DDELTA = "channel_column<const in_t>(Input{args.ddelta.data, 0, 0, args.channels, 0}, me)"
COLUMNS = ("inputs.u", "inputs.delta", "inputs.dout", "inputs.z", DDELTA)


FAULTS = [
    *in_file(
        "csrc/cuda/scan_backward_tile.cuh",
        450,
        Fault(
            "mask",
            "delta[i] = {{!exists ? acc_t(0) : args.delta_softplus ? softplus(raw) : raw"
            " => args.delta_softplus ? softplus(raw) : raw}};",
            "steps behind the clip's end",
        ),
        Fault(
            "term",
            "slope[i] = args.delta_softplus ? sigmoid({{raw => widen(from.delta.at(i))}}) : acc_t(1);",
            "softplus' slope without the bias",
        ),
        Fault("term", "dy[i] * (open + {{z * open * (1 - open) => open * (1 - open)}});", "SiLU's slope without z"),
        Fault(
            "configuration",
            "if ({{kOneBlock => true}}) return; store(tile.w_A",
            "sums over blocks of states begin anywhere",
        ),
        Fault("configuration", "{{store(tile.g_B[turn], [](int) { return acc_t(0); }); => }}", "g . B begins anywhere"),
        Fault(
            "bound",
            "const int count = {{start < me.length ? me.state_count(args, block) : 0 => me.state_count(args, block)}};",
            "a checkpoint of a clip without tokens is read",
        ),
        Fault(
            "index",
            "h[i] = (i ^ order) < count ? from[{{(i ^ order) => i}} * args.channels]",
            "states in another order",
        ),
        Fault(
            "checkpoint",
            "h[t][n] = decay_t * (t > 0 ? h[t > 0 ? t - 1 : 0][n] : {{before[n] => acc_t(0)}}) +",
            "the replay begins with no state",
        ),
        Fault(
            "checkpoint",
            "const acc_t w = g[n] * (t > 0 ? h[t > 0 ? t - 1 : 0][n] : {{before[n] => acc_t(0)}});",
            "the tile's first w has no state before it",
        ),
        Fault(
            "operand",
            "[n] : fast_exp2(step.delta * {{decay[n] => decay[0]}}));",
            "late tokens decay as the first state",
        ),
        Fault(
            "term",
            "if (gated) {{tile.y[first + me.lane()][channel] += spread_y[first / kLanes];"
            " => tile.y[first + me.lane()][channel] = spread_y[first / kLanes];}}",
            "y without skip, and of the last block of states",
        ),
        Fault("index", "sums[t][which][{{first_state + order => first_state}}] =", "sums of states fall on one place"),
        Fault("partial sum", "= tile.sums[{{me.thread() / kWarp => 0}}];", "warps write over each other's sums"),
        Fault(
            "lane",
            "acc_t(*through)[Layout::kRow] = {{me.lane() % 2 ? tile.g_B : tile.w_A"
            " => me.lane() % 2 ? tile.w_A : tile.g_B}};",
            "w . A and g . B change places",
        ),
        Fault("operand", "dB_dC[n] = g_t * {{step.delta_u => step.delta}};", "dB without u"),
        Fault(
            "operand",
            "dB_dC[kStates + n] = dy * {{h[t][n] => h[t > 0 ? t - 1 : 0][n]}};",
            "dC of the state before",
        ),
        Fault("operand", "dA[n] += w * {{step.delta => step.delta_u}};", "dA with u"),
        Fault("term", "w_A += {{w * decay[n] => w}};", "ddelta without A"),
        Fault(
            "configuration",
            "sum_through = {{kOneBlock ? spread : sum_through + spread => spread}};",
            "only the last block of states counts for ddelta and du",
        ),
        Fault(
            "order",
            "if ({{first <= kFetchAt && kFetchAt < first + kGroup => first == 0}}) fetch_next();",
            "the next tile is fetched at the end",
            equivalent="when it is fetched changes time and registers only",
        ),
        Fault(
            "bound",
            "if ({{start + kTileTokens <= me.length => start < me.length}} && access.whole",
            "tokens behind the clip's end are read",
        ),
        Fault("alignment", "access.whole && {{projections.access.whole => true}})", "B and C need not be whole"),
        Fault("alignment", "&& {{access.whole => true}} && projections.access.whole)", "channels need not be whole"),
        Fault(
            "state",
            "if (t > 0) {{next = load(t - 1); => if (t != kFetchAt) next = load(t - 1);}}",
            "a token is walked twice",
        ),
        Fault(
            "constant",
            "kKeptDecays = Layout::kStates == 4 ? {{2 => 3}} : kTileTokens - 6;",
            "another number of decays is kept",
            own=True,
            equivalent="decays that are not kept are computed again: only time and registers",
        ),
    ),
    *in_file(
        "csrc/cuda/selective_scan_backward_kernel.cu",
        560,
        Fault(
            "partial sum",
            "const int64_t clip = ({{me.split * args.directions + me.direction() => me.direction()}}) * args.batch",
            "splits write over each other's dB and dC",
        ),
        Fault(
            "index",
            "clip * args.length * row + {{me.group * args.state => 0}} + n",
            "groups write over each other's dB",
        ),
        Fault(
            "offset",
            "+ {{clip * args.length * row => int32_t(clip * args.length * row)}} + me.group",
            "dB of more than 2^31 elements",
        ),
        Fault(
            "alignment",
            "access = {{pack_access<Layout::kProjection>(args.state - n, dB, dC)"
            " => pack_access<Layout::kProjection>(args.state - n, dB)}};",
            "dC need not be aligned",
            equivalent="dB and dC are made by the op, of one shape and aligned alike",
        ),
        Fault(
            "mask",
            "if ({{t >= me.length => t >= args.length}}) return; const int turn",
            "padding's dB and dC are sums",
            equivalent="tokens behind the clip's end are loaded as zeros, so that these sums are zero",
        ),
        Fault(
            "partial sum",
            "for (int warp = 0; {{warp < tile.kWarps => warp < 1}}; ++warp)",
            "a warp's dB and dC are left out",
        ),
        Fault("operand", "dC[i] += tile.sums[warp][turn][{{1 => 0}}]", "dC gets dB"),
        Fault("mask", "{{clear_channels<in_t>(args.ddelta, args, me); => }}", "padding's ddelta"),
        Fault(
            "mask",
            "for (int block = 0; {{block < state_blocks(args) => block < 1}}; ++block) { const ProjectionGradients",
            "padding's dB and dC beyond the first 16 states",
        ),
        Fault("mask", "{{to.dC.store(t, to.access, zeros); => }}", "padding's dC"),
        Fault(
            "bound", "if (!to || {{me.thread() >= me.channels => false}}) return;", "sums of channels that do not exist"
        ),
        Fault(
            "partial sum",
            "for (int turn = {{0 => 1}}; turn < kTileTokens; ++turn) sum",
            "a turn's dD and dbias are left out",
        ),
        Fault(
            "index",
            "const int64_t row = {{me.batch * args.directions + me.direction()"
            " => me.direction() * args.batch + me.batch}};",
            "dD by direction, then clip",
        ),
        Fault(
            "index",
            "clip_row = {{me.batch * args.directions + me.direction() => me.direction() * args.batch + me.batch}};",
            "dA by direction, then clip",
        ),
        Fault("barrier", "{{__syncthreads(); => }} for (int i = 0; i < tiles; ++i) {", "before bias and skip are read"),
        Fault("barrier", "before[n] = next_before[n]; {{__syncthreads(); => }}", "before a tile is walked"),
        Fault("barrier", ".fetch(me, start)); {{__syncthreads(); => }} }", "after the next block's B and C"),
        Fault("barrier", "{{__syncthreads(); => }} finish_projections(", "before the warps' sums are added"),
        Fault(
            "barrier", "if (meeting.middle) { {{__syncthreads(); => }} other", "before the second reads in the middle"
        ),
        Fault("barrier", "{{__syncthreads(); => }} store_channel_sums(args.dD", "before turns are summed"),
        Fault("alignment", without(COLUMNS, "inputs.u"), "u need not be aligned"),
        Fault("alignment", without(COLUMNS, "inputs.delta"), "delta need not be aligned"),
        Fault("alignment", without(COLUMNS, "inputs.dout"), "dout need not be aligned"),
        Fault("alignment", without(COLUMNS, "inputs.z"), "z need not be aligned"),
        Fault("alignment", without(COLUMNS, DDELTA), "gradients need not be aligned"),
        Fault(
            "configuration",
            "load_checkpoint(before, args, me.forgotten(), start, {{block => 0}}); stage",
            "all blocks of states begin with the first's checkpoint",
        ),
        Fault(
            "configuration",
            "if (i == 0) load_states(g, args.dlast_state, args, me, states_row, {{block => 0}}, order);",
            "all blocks of states begin with the first's gradient",
        ),
        Fault(
            "configuration", "if ({{i > 0 => i > 1}}) g[n] = waiting", "the second tile goes on with another block's g"
        ),
        Fault(
            "configuration",
            "dA[n] = {{i > 0 ? waiting[waiting_place(blocks, block, 2 * kStates, kStates + n)] : acc_t(0)"
            " => acc_t(0)}};",
            "dA of the last tile alone",
        ),
        Fault(
            "configuration",
            "{{waiting[waiting_place(blocks, block, 2 * kStates, n)] = g[n];"
            " => if (sizeof(in_t) > 2) waiting[waiting_place(blocks, block, 2 * kStates, n)] = g[n];}}",
            "waiting gradients are not kept in half precision",
        ),
        Fault("constant", "ddelta[k] = ({{w_A.at(k) * kLn2<acc_t> => w_A.at(k)}} +", "log2(e) stays in ddelta"),
        Fault(
            "term",
            "du[k] = {{g_B.at(k) * tile.steps[turn][me.pack() + k].delta + skip.at(k) * dy.at(k)"
            " => g_B.at(k) * tile.steps[turn][me.pack() + k].delta}};",
            "du without the skip",
        ),
        Fault("mask", "if ({{exists => true}}) dD.at(k) +=", "padding counts for dbias"),
        Fault(
            "index",
            "if (exists && !args.shared_u) dense_pack<in_t, Layout>(args.du.data, {{place_of_both => place}})",
            "both directions write the first's du",
        ),
        Fault("order", "if (exists && {{!meeting.second => true}}) {", "the second leaves its sums, too"),
        Fault(
            "configuration",
            "du[k] += {{other.du.at(k) => sizeof(in_t) == 2 ? acc_t(0) : other.du.at(k)}};",
            "du of one u is of one direction in half precision",
        ),
        Fault(
            "configuration",
            "dz_of_y.at(k) * (left_y.at(k) + {{other.y.at(k) => sizeof(in_t) == 2 ? acc_t(0) : other.y.at(k)}});",
            "dz is of one direction in half precision",
        ),
        Fault("scratch", "args.z.data && {{!is_wide(args) => false}} ?", "no room for y of half precision"),
        Fault("scratch", "return args.shared_u && {{!is_wide(args) => false}} ?", "no room for du of half precision"),
        Fault("scratch", "{{wide ? args.du.data : du => wide ? args.dz.data : du}},", "du is left where y is"),
        Fault(
            "configuration",
            "if ({{args.state > kBlockStates => false}}) return ManyBlocks::kChannels;",
            "splits of many states counted as of few",
        ),
        Fault(
            "configuration",
            "if ({{args.dtype == Dtype::float64 => false}}) return OfDouble::kChannels;",
            "splits of double counted as of float",
        ),
        Fault("scratch", "waiting_elements(args, args.split_channels, {{2 => 1}});", "room for half of what waits"),
        Fault(
            "order", "if (me.direction() == 0 || {{!args.shared_u => args.shared_u}}) clear_channels", "padding's du"
        ),
        Fault(
            "configuration",
            "if ({{one_block => true}}) return launch_layout<in_t, OfDouble, true>",
            "states beyond 16 are left out in double",
        ),
    ),
]
