"""Tables of what the scans' loops take: what they are made of, and beside mamba-ssm's.

mamba-ssm's kernel walks chunks of threads x items tokens, all states of a chunk in turn; a thread holds `items` tokens
of one channel. So a token takes (state loop x 16 + the rest of the chunk's loop) / items, times what the last chunk is
padded by. Its loops are counted as ours are: whole, and the longest way past the blocks for warps whose lanes have
parted. That way takes all warps through the sums that one warp makes for the block; `least` is the shortest way through
the state loop, which is fewer than any warp takes.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator

from counts import TILE_TOKENS, kinds, lanes, largest_loop, parted, per_token, tile_path
from flow import Flow, Loop
from sass import Kernel

STATES = 16
LENGTHS = ((2048, "a multiple of 2,048"), (2047, "other, above 1,024"), (513, "513"))


def what_loops_are(kernels: list[Kernel]) -> Iterator[str]:
    """A line for each kernel's tile: instructions of a thread by what they are for."""
    for kernel in kernels:
        if lanes(kernel.name) and kernel.name.endswith("true>"):
            flow = Flow(kernel.instructions)
            loop = largest_loop(flow)
            way = tile_path(flow, loop)
            whole = sum(1 for _ in flow.instructions(loop.blocks))
            made = ", ".join(f"{kind} {number}" for kind, number in kinds(way).most_common())
            yield (
                f"{kernel.architecture} {kernel.name}: loop {whole}, tile {len(way)}; a token, channel and direction "
                f"{per_token(whole, kernel.name):.0f}, {per_token(len(way), kernel.name):.0f}; {made}"
            )


def peer_layout(length: int) -> tuple[int, int]:
    """Threads and items of mamba-ssm's block for clips of a length."""
    for most, layout in ((128, (32, 4)), (256, (32, 8)), (512, (32, 16)), (1024, (64, 16))):
        if length <= most:
            return layout
    return 128, 16


def peer_kernel(kernels: list[Kernel], backward: bool, length: int) -> Kernel:
    """Of bfloat16, with B and C that vary, softplus and a gate."""
    threads, items = peer_layout(length)
    even = "true" if length % (threads * items) == 0 else "false"
    kind, rows, flags = ("bwd", "", 4) if backward else ("fwd", "1, ", 3)
    wanted = f"traits<{threads}, {items}, {rows}{even}, {'true, ' * flags}bf16, float>"
    return next(
        kernel for kernel in kernels if f"selective_scan_{kind}_kernel<" in kernel.name and wanted in kernel.name
    )


def peer_loops(flow: Flow) -> tuple[Loop, Loop]:
    """The chunk's loop and, in it, the states'."""
    chunk = largest_loop(flow)
    inner = [loop for loop in flow.loops() if loop.blocks < chunk.blocks]
    return chunk, max(inner, key=lambda loop: sum(1 for _ in flow.instructions(loop.blocks)))


def peer_counts(kernel: Kernel, length: int) -> tuple[float, float, float, float]:
    """Instructions a token and channel: the longest way, the same with the state loop's shortest, and both loops whole;
    and the share of padding in them."""
    flow = Flow(kernel.instructions)
    chunk, states = peer_loops(flow)
    cold = {number for number in chunk.blocks if parted(flow.blocks[number])}
    threads, items = peer_layout(length)
    padding = math.ceil(length / (threads * items)) * threads * items / length

    def size(blocks) -> int:
        return sum(1 for _ in flow.instructions(blocks))

    inner = size(flow.longest_path(states, cold))
    rest = size(flow.longest_path(chunk, cold)) - inner
    least = size(flow.longest_path(states, cold, longest=False))
    whole = size(states.blocks) * STATES + size(chunk.blocks - states.blocks)
    return (*tuple(total / items * padding for total in (inner * STATES + rest, least * STATES + rest, whole)), padding)


def beside_peer(ours: list[Kernel], theirs: list[Kernel]) -> Iterator[str]:
    yield "| tokens | mamba-ssm (least; whole loops) | ours: a tile (saving states; whole loop) | a tile's share |"
    yield "|---|--:|--:|--:|"
    for backward in (False, True):
        for length, said in LENGTHS:
            kernel = peer_kernel(theirs, backward, length)
            most, least, whole, _ = peer_counts(kernel, length)
            tiles = math.ceil(length / TILE_TOKENS) * TILE_TOKENS / length
            cells, shares = [], []
            for one in ours:
                if not re.match(rf"selective_scan{'_backward' if backward else ''}_kernel<bf16, .*true>", one.name):
                    continue
                flow = Flow(one.instructions)
                loop = largest_loop(flow)
                tile = per_token(len(tile_path(flow, loop)), one.name) * tiles
                saving = per_token(len(tile_path(flow, loop, saving=True)), one.name) * tiles
                everything = per_token(sum(1 for _ in flow.instructions(loop.blocks)), one.name) * tiles
                saved = "" if backward else f"{saving:.0f}; "
                cells.append((lanes(one.name), f"{lanes(one.name)}: {tile:.0f} ({saved}{everything:.0f})"))
                shares.append((lanes(one.name), f"{tile / most:.2f}"))
            name = f"{'backward' if backward else 'forward'}, {said}"
            yield (
                f"| {name} | {most:.0f} ({least:.0f}; {whole:.0f}) | {', '.join(text for _, text in sorted(cells))} | "
                f"{', '.join(text for _, text in sorted(shares))} |"
            )
