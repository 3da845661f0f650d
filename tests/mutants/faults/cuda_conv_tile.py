"""What the convolution's kernels share, and who is launched."""

from mutants.plant import Fault, in_file

FAULTS = [
    *in_file(
        "csrc/cuda/conv_tile.cuh",
        100,
        Fault(
            "index",
            "int64_t({{blockIdx.x % channel_blocks => blockIdx.x / channel_blocks}}) * kLanes * kPack",
            "blocks of channels and chunks change places",
        ),
        Fault(
            "length",
            "thread.length = {{given < 0 ? 0 : given < args.length ? given : args.length"
            " => given < args.length ? given : args.length}};",
            "a negative length is believed",
            equivalent="a clip of less than no tokens is padding from its first on, as one of none",
        ),
        Fault(
            "length",
            "thread.length = {{given < 0 ? 0 : given < args.length ? given : args.length => given < 0 ? 0 : given}};",
            "a length above L is believed",
        ),
        Fault(
            "bound",
            "if (t >= 0 && {{t < thread.length"
            " => t <= thread.length}}) return load_pack<in_t, kPack>(row_at<in_t>(args.x",
            "one token behind the clip's end is read",
        ),
        Fault(
            "mask",
            "if (t >= 0 && {{t < thread.length => t < args.length}}) return load_pack<in_t, kPack>(row_at<in_t>(args.x",
            "padding is read as tokens",
        ),
        Fault(
            "length",
            "row = t - ({{args.reverse[0] ? thread.length : -history => args.reverse[0] ? args.length : -history}});",
            "the initial state stands behind the padding",
        ),
        Fault(
            "bound", "if (row >= 0 && {{row < history => row <= history}})", "one row behind the initial state is read"
        ),
        Fault(
            "order",
            "return {{args.reverse[direction] ? args.width - 1 - m : m => m}};",
            "taps are not mirrored where time is",
        ),
        Fault(
            "index",
            "static_cast<const acc_t*>(args.weight) + ({{direction * args.width + tap => tap}}) * args.channels;",
            "both directions take the first's taps",
        ),
        Fault(
            "index",
            "static_cast<const acc_t*>(args.bias) + {{direction * args.channels + channel => channel}}",
            "both directions take the first's bias",
        ),
        Fault(
            "bound", "if (!args.bias || {{channel >= args.channels => false}}) return {};", "no edge test of the bias"
        ),
        Fault(
            "bound",
            "if ({{channel >= args.channels => false}}) return {}; const auto* weight",
            "no edge test of the taps",
        ),
        Fault(
            "bound",
            "if ({{thread.channel >= args.channels => false}}) return {}; if (t >= 0",
            "no edge test of a token's channels",
        ),
        Fault(
            "alignment",
            "return {{args.channels % kPack == 0 => true}} &&",
            "channels need not fill packs",
            equivalent="rows of the result, which the op makes, would not fit packs either",
        ),
        Fault("alignment", "&& {{packs_fit(args.x, sizeof(in_t), kPack) => true}} &&", "x need not be aligned"),
        Fault(
            "alignment",
            "{{packs_fit(args.initial_state, sizeof(in_t), kPack) => true}} &&",
            "the initial state need not be aligned",
        ),
        Fault(
            "alignment",
            "&& {{aligned_to_16(args.weight) => true}} &&",
            "the taps need not be aligned",
        ),
        Fault("alignment", "&& {{aligned_to_16(args.bias) => true}};", "the bias need not be aligned"),
        Fault(
            "grid",
            "unsigned({{channel_blocks * ceil_divide(args.length, kConvChunk)"
            " => channel_blocks * (args.length > kConvChunk ? args.length / kConvChunk : 1)}})",
            "the last, shorter chunk has no block",
        ),
        Fault(
            "grid",
            "const unsigned channel_blocks = unsigned({{ceil_divide(args.channels, kLanes * kPack)"
            " => args.channels / (kLanes * kPack) + 1}});",
            "one block of channels too many where they fill the last",
        ),
        Fault(
            "dispatch",
            "case 3: {{return body(Number<3>{}); => return body(Number<2>{});}}",
            "three taps are taken for two",
        ),
        Fault(
            "index",
            "row_at<in_t>(args.initial_state, 0, {{thread.batch => 0}}, row)",
            "all clips begin with the first's state",
        ),
    ),
    *in_file(
        "csrc/cuda/causal_conv1d.cu",
        130,
        Fault(
            "dispatch",
            "&& {{args.width <= kMostRegisterTaps"
            " => args.width <= kMostRegisterTaps + 1}} && !args.dinitial_state.data;",
            "five taps go to the kernel for a few",
        ),
        Fault(
            "dispatch",
            "const bool in_registers = {{args.width >= 2 => args.width >= 1}} &&",
            "one tap goes to the kernel for a few",
        ),
        Fault(
            "dispatch",
            "&& {{!args.dinitial_state.data => true}};",
            "a state's gradient is asked of the kernel that has none",
        ),
        Fault(
            "grid",
            "if ({{args.length > 0 => true}}) launch_causal_conv1d_backward",
            "a grid without blocks is launched",
        ),
    ),
    *in_file(
        "csrc/rows.h",
        140,
        Fault(
            "offset",
            "return static_cast<const T*>(x.data) + direction * x.direction + {{batch * x.batch"
            " => int32_t(batch * x.batch)}}",
            "clips of an input more than 2^31 elements away",
        ),
        Fault(
            "offset",
            "return static_cast<T*>(x.data) + direction * x.direction + batch * x.batch +"
            " {{time * x.time => int32_t(time * x.time)}};",
            "tokens of an output more than 2^31 elements away",
        ),
        Fault(
            "offset",
            "return static_cast<const T*>(x.data) + {{direction * x.direction => int32_t(direction * x.direction)}} +",
            "a direction more than 2^31 elements away",
        ),
    ),
]
