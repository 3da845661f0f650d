from mutants.pack_access import without
from mutants.plant import Fault, in_file

OUT = "channel_column<const in_t>(Input{args.out.data, 0, 0, args.channels, 0}, me)"
COLUMNS = ("inputs.u", "inputs.delta", "inputs.z", OUT)


FAULTS = [
    *in_file(
        "csrc/cuda/selective_scan_kernel.cu",
        500,
        Fault(
            "bound",
            "if ({{start + kTileTokens <= me.length => start < me.length}} && access.whole",
            "tokens behind the clip's end are read",
        ),
        Fault("alignment", "access.whole && {{projections.access.whole => true}})", "B and C need not be whole"),
        Fault("alignment", "&& {{access.whole => true}} && projections.access.whole)", "channels need not be whole"),
        Fault("mask", "{{if (!exists) delta[i] = 0; => }}", "steps behind the clip's end"),
        Fault(
            "term",
            "args.delta_softplus ? softplus({{raw => widen(from.delta.at(i))}}) : raw;",
            "softplus without the bias",
        ),
        Fault(
            "partial sum",
            "y[i] = {{kSums == 2 ? sums[0] + sums[kSums - 1] : sums[0] => sums[0]}};",
            "every second state is left out of y",
        ),
        Fault(
            "checkpoint",
            "if (!args.checkpoints || {{start >= me.length => false}}) return;",
            "of a clip without tokens",
            equivalent="it has a place of its own that nobody reads, and none where L is 0",
        ),
        Fault(
            "checkpoint",
            "{{store_checkpoint(args, me.forgotten(), start, block, h); walk(tile, me, decay, h);"
            " => walk(tile, me, decay, h); store_checkpoint(args, me.forgotten(), start, block, h);}}",
            "after the tile, not before",
        ),
        Fault("barrier", "auto next = fetch(0); {{__syncthreads(); => }}", "before bias and skip are read"),
        Fault("barrier", "{{__syncthreads(); => }} const int64_t place", "before a tile is walked"),
        Fault("barrier", "if (block > 0) { {{__syncthreads(); => }} stage(", "before the next block's B and C"),
        Fault("barrier", ".fetch(me, start)); {{__syncthreads(); => }} }", "after the next block's B and C"),
        Fault("barrier", "{{__syncthreads(); => }} auto summed", "before y is read"),
        Fault(
            "barrier", "if (meeting.middle) { {{__syncthreads(); => }} other", "before the second reads in the middle"
        ),
        Fault("alignment", without(COLUMNS, "inputs.u"), "u need not be aligned"),
        Fault("alignment", without(COLUMNS, "inputs.delta"), "delta need not be aligned"),
        Fault("alignment", without(COLUMNS, "inputs.z"), "z need not be aligned"),
        Fault("alignment", without(COLUMNS, OUT), "out need not be aligned"),
        Fault(
            "order",
            "if ({{me.direction() == 0 => args.reverse[0]}}) clear_channels<in_t>(args.out, args, me);",
            "only walks backwards clear the padding",
        ),
        Fault(
            "configuration",
            "if ({{i > 0 => i > 1}}) h[n] = waiting",
            "the second tile goes on with another block's states",
        ),
        Fault(
            "configuration",
            "if (i == 0) load_states(h, args.initial_state, args, me, states_row, {{block => 0}});",
            "all blocks of states begin with the first's",
        ),
        Fault(
            "configuration", "load_decay(decay, args, me, {{block => 0}}); if (i == 0)", "all blocks take the first's A"
        ),
        Fault(
            "configuration",
            "if (!kOneBlock) {{waiting[waiting_place(blocks, block, kStates, n)] = h[n];"
            " => if (sizeof(in_t) > 2) waiting[waiting_place(blocks, block, kStates, n)] = h[n];}}",
            "waiting states are not kept in half precision",
        ),
        Fault(
            "order",
            "if (args.directions == 2 && {{!meeting.middle => true}}) other",
            "the middle is read early, too",
            equivalent="it is read again after the barrier",
        ),
        Fault(
            "order",
            "if (exists && {{!meeting.second => true}}) partial.store(0, access, y);",
            "the second leaves its y, too",
        ),
        Fault(
            "offset",
            "first_place + {{unsigned(t) * uint64_t(unsigned(args.channels))"
            " => uint64_t(unsigned(t) * unsigned(args.channels))}};",
            "clips of more than 2^32 elements",
            survives="such a clip is too large for the emulator",
        ),
        Fault("scratch", "return args.directions == 2 && {{!wide => false}} ?", "no room for y of half precision"),
        Fault(
            "scratch",
            "if ({{args.dtype == Dtype::float64 => false}}) return kDoubleLanes;",
            "scratch of double by float's lanes",
            equivalent="wider blocks of channels round up to at least as much scratch",
        ),
        Fault("scratch", "static_cast<Acc<in_t>*>(scratch) + {{partial => int64_t(0)}}", "waiting states lie over y"),
        Fault(
            "scratch",
            "waiting_elements(args, kThreads / {{forward_lanes(args) => (2 * forward_lanes(args))}}, 1);",
            "room for the waiting states of half the channels",
        ),
        Fault(
            "dispatch",
            "default: {{return launch_with_lanes<in_t, 8, true>(args, parts, stream);"
            " => return launch_with_lanes<in_t, 4, true>(args, parts, stream);}}",
            "narrow blocks are never launched",
            equivalent="the choice of a block is of time: values and scratch are those of any other",
        ),
        Fault(
            "configuration",
            "if ({{one_block => true}}) return launch_with_lanes<in_t, kDoubleLanes, true>",
            "states beyond 16 are left out in double",
        ),
    ),
    *in_file(
        "csrc/cuda/selective_scan.cu",
        540,
        Fault("bound", "args.delta, args.B, args.C, {{args.z => args.C}}", "z may be strided too far"),
        Fault("bound", "{{args.u => args.delta}}, args.delta, args.B", "u may be strided too far"),
        Fault("bound", "check({{args.length <= kMost => true}} && args.channels", "too many tokens are not refused"),
        Fault("bound", "check({{args.groups * args.state <= kFarthest => true}}, op", "too many groups and states"),
        Fault(
            "bound",
            "check({{args.length <= 1 || x.time <= kFarthest => x.time <= kFarthest}}, op",
            "one token's stride counts",
        ),
        Fault("bound", "{{check_distance(args.dout, args, s.op); => }}", "dout may be strided too far"),
    ),
]
