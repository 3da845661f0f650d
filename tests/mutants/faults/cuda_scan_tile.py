"""What the scans' kernels share."""

from mutants.plant import Fault, in_file

FAULTS = in_file(
    "csrc/cuda/scan_tile.cuh",
    400,
    Fault(
        "index",
        "channel = {{group * in_group + split * Layout::kChannels => (group * splits + split) * Layout::kChannels}};",
        "groups begin where blocks end",
    ),
    Fault(
        "bound",
        "channels = {{min(in_group - split * Layout::kChannels, Layout::kChannels) => Layout::kChannels}};",
        "a group's last block takes channels of the next",
    ),
    Fault(
        "length",
        "length = int({{given < 0 ? 0 : given > args.length ? args.length : given"
        " => given > args.length ? args.length : given}});",
        "a negative length is believed",
    ),
    Fault(
        "length",
        "length = int({{given < 0 ? 0 : given > args.length ? args.length : given => given < 0 ? 0 : given}});",
        "a length above L is believed",
    ),
    Fault("order", "reverse = {{args.reverse[direction()] => args.reverse[0]}};", "both directions walk as the first"),
    Fault(
        "state",
        "return {{length > 0 ? (length + kTileTokens - 1) / kTileTokens : 1"
        " => (length + kTileTokens - 1) / kTileTokens}};",
        "a clip without tokens hands no state on",
    ),
    Fault(
        "bound",
        "return length > 0 ? {{(length + kTileTokens - 1) / kTileTokens => length / kTileTokens + 1}} : 1;",
        "a tile without tokens behind a last tile that is full",
        equivalent="steps of zero leave a state as it is, and nothing is stored behind the clip's end",
    ),
    Fault(
        "bound",
        "return {{walk_channel() < channels ? int(args.state) - walk_state(block) : 0"
        " => int(args.state) - walk_state(block)}};",
        "states of channels that do not exist",
    ),
    Fault(
        "offset", "+ {{unsigned(batch) * x.batch => int32_t(unsigned(batch) * x.batch)}};", "clips 2^31 elements away"
    ),
    Fault(
        "index",
        "return ({{direction * args.batch + me.batch => direction + me.batch}}) * args.length",
        "batch left out",
    ),
    Fault(
        "offset",
        "return {{(direction * args.batch + me.batch) * args.length * args.channels"
        " => int32_t((direction * args.batch + me.batch) * args.length * args.channels)}} + me.channel",
        "an output of more than 2^31 elements",
    ),
    Fault(
        "mask",
        "for (int t = {{me.length + me.token()"
        " => me.length + 1 + me.token()}}; t < args.length; t += kTileTokens) column",
        "the first token of the padding is not cleared",
    ),
    Fault(
        "mask",
        "t < args.length; {{t += kTileTokens => t += 2 * kTileTokens}}) column.store(t, access, zeros);",
        "padding longer than a tile is not cleared",
    ),
    Fault(
        "index",
        "channel_column<const acc_t>(Input{x, {{args.channels => int64_t(0)}}",
        "one bias and skip for both directions",
    ),
    Fault(
        "index", "me.clip(x) + {{unsigned(me.group) * x.group => int64_t(0)}};", "all groups take the first's B and C"
    ),
    Fault(
        "bound",
        "pack_access<Layout::kProjection>({{args.state - first_state(me, block) => args.state}}, B, C);",
        "states of B and C behind the last are read",
    ),
    Fault(
        "alignment",
        "access = {{pack_access<Layout::kProjection>(args.state - first_state(me, block), B, C)"
        " => pack_access<Layout::kProjection>(args.state - first_state(me, block), B)}};",
        "C need not be aligned",
    ),
    Fault(
        "alignment",
        "access = {{pack_access<Layout::kProjection>(args.state - first_state(me, block), B, C)"
        " => pack_access<Layout::kProjection>(args.state - first_state(me, block), C)}};",
        "B need not be aligned",
    ),
    Fault(
        "configuration",
        "return {{block * kBlockStates + me.first_state() => me.first_state()}};",
        "all blocks of states take the first's B and C",
    ),
    Fault("mask", "return {B.load(t, access, {{t < me.length => true}}),", "B is read behind the clip's end"),
    Fault("index", "widen(from.at(i ^ {{(q & (kCount - 1)) => 0}}));", "copies have all states in the same order"),
    Fault(
        "bound",
        "values[i] = {{(i ^ order) < count ? from[i ^ order] : acc_t(0) => from[i ^ order]}};",
        "states behind N",
    ),
    Fault(
        "index",
        "load_states(decay, args.A, args, me, {{me.direction() => 0}}, block, order);",
        "one A for both directions",
    ),
    Fault(
        "scratch",
        "return (({{int64_t(blockIdx.x) * blocks + block => int64_t(block)}}) * values + i)",
        "all blocks of threads leave their states in one place",
    ),
    Fault(
        "offset",
        "return {{((int64_t(blockIdx.x) * blocks + block) * values + i) * blockDim.x + threadIdx.x"
        " => int32_t(((int64_t(blockIdx.x) * blocks + block) * values + i) * blockDim.x + threadIdx.x)}};",
        "more than 2^31 waiting states",
    ),
    Fault(
        "scratch",
        "block_channels * {{args.directions * state_blocks(args) => state_blocks(args)}} *",
        "room for the waiting states of one direction",
    ),
    Fault(
        "scratch",
        "if ({{args.state <= kBlockStates => args.state <= 2 * kBlockStates}}) return 0;",
        "no room for the waiting states of two blocks",
    ),
    Fault(
        "lane",
        "__shfl_xor_sync({{kAllLanes => 0x0000ffffu}}, odd ?",
        "half the warp is asked",
    ),
    Fault(
        "lane",
        "{{odd ? even_value : odd_value => odd ? odd_value : even_value}}, kStride);",
        "lanes send what they keep",
    ),
    Fault(
        "lane",
        "odd ? even_value : odd_value, {{kStride => 1}});",
        "the neighbour's sum in the place of one further away",
    ),
    Fault(
        "lane",
        "__shfl_xor_sync(kAllLanes, values[{{(2 * i + 1) * kStep => 2 * i * kStep}}], kStride);",
        "lanes send the place that they keep",
    ),
    Fault(
        "checkpoint",
        "const int64_t checkpoints = {{(args.length + kTileTokens - 1) / kTileTokens"
        " => args.length / kTileTokens + 1}};",
        "one checkpoint too many where the last tile is full",
    ),
    Fault(
        "offset",
        "return {{(row * args.state + me.walk_state(block)) * args.channels"
        " => int32_t((row * args.state + me.walk_state(block)) * args.channels)}} +",
        "checkpoints of more than 2^31 elements",
    ),
    Fault(
        "order",
        "second(directions == 1 || {{2 * i + direction >= tiles => 2 * i >= tiles}}),",
        "in the middle tile neither direction is the second",
    ),
    Fault(
        "order",
        "second(directions == 1 || {{2 * i + direction >= tiles => 2 * i + direction > tiles}}),",
        "where directions meet, each takes itself for the first",
    ),
    Fault(
        "order",
        "middle(directions == 2 && {{2 * i + 1 == tiles => false}})",
        "in the middle tile the second does not wait for the first",
    ),
    Fault(
        "configuration",
        "kStepRow = kChannels + {{(kPack >= 4 ? 2 : 0) => 0}};",
        "rows of steps without their gap",
        own=True,
        equivalent="the gap keeps rows in different banks: only time",
    ),
)
