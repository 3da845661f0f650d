"""What holds of every kernel, whatever the budget says, from what its source says.

Where a rule is broken with good cause, `exceptions` of budget.json says for which kernels and why.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from counts import GLOBAL, TILE_TOKENS, count, lanes, largest_loop, tile_path, width
from flow import Flow
from sass import Kernel

BYTES = {"bf16": 2, "fp16": 2, "float": 4, "double": 8}
STATES = 16  # of a block

# Barriers: kernels, the file of their source, how many `__syncthreads()` it has, how many of them a kernel has once
# branches that never run are gone and loops unrolled, and which those are.
BARRIERS = (
    (r"selective_scan_kernel<.*, true>", "selective_scan_kernel.cu", 6, 4, "before the loop, staged, walked, middle"),
    (r"selective_scan_kernel<.*, false>", "selective_scan_kernel.cu", 6, 6, "the same, and two around a block's B, C"),
    (
        r"selective_scan_backward_kernel<.*, true>",
        "selective_scan_backward_kernel.cu",
        6,
        5,
        "before the loop, staged, walked, middle, behind the loop",
    ),
    (
        r"selective_scan_backward_kernel<.*, false>",
        "selective_scan_backward_kernel.cu",
        6,
        6,
        "the same, and one behind a block's B and C",
    ),
    (r"causal_conv1d_backward_kernel<\w+, \d, 1, .*>", "causal_conv1d_backward_kernel.cu", 2, 2, "around the sums"),
    (r"causal_conv1d_backward_kernel<\w+, \d, 2, .*>", "causal_conv1d_backward_kernel.cu", 2, 4, "for each direction"),
    (r"patch_mask_backward_kernel<.*>", "patch_mask.cu", 2, 2, "around the mask token's sums"),
    (r"sum_partials_kernel<.*>", "sum_partials.cuh", 1, 1, "between rows and their sum"),
    (r"sample_patch_mask_kernel", "sample_patch_mask.cu", 1, 1, "between drawing and writing"),
)


@dataclass(frozen=True)
class Breach:
    rule: str
    kernel: str
    architecture: str
    said: str


def arguments(name: str) -> list[str]:
    found = re.search(r"<(.*)>$", name)
    return [part.strip() for part in found[1].split(",")] if found else []


def barriers(name: str) -> int:
    return next((number for pattern, _, _, number, _ in BARRIERS if re.fullmatch(pattern, name)), 0)


def pack_accesses(elements: int, element_bytes: int) -> Counter:
    """The widest accesses that make up a pack: {bits: number}."""
    size = elements * element_bytes
    return Counter({min(8 * size, 128): max(1, size // 16)})


def scan_accesses(name: str) -> tuple[Counter, Counter]:
    """The loads and stores by which a whole tile's packs come and go, as the source means them: {bits: number}.

    Forward: u, delta and z, B and C, what the other direction has left; `out`, or what is left for that. Backward: dout
    besides; du and ddelta, dz, dB and dC, or the sums of y and du that are left.
    """
    threads = int(re.search(r"(\d+) threads", name)[1])
    size = BYTES[arguments(name)[0]]
    wide = max(size, 4)
    pack, projection = TILE_TOKENS // lanes(name), TILE_TOKENS * STATES // threads
    backward = "backward" in name
    loads, stores = Counter(), Counter()
    for _ in range(4 if backward else 3):
        loads += pack_accesses(pack, size)
    for _ in range(2):
        loads += pack_accesses(projection, size)
    for _ in range(2 if backward else 1):
        loads += pack_accesses(pack, wide)
        stores += pack_accesses(pack, wide)
    for _ in range(4 if backward else 1):
        stores += pack_accesses(pack, size)
    for _ in range(2 if backward else 0):
        stores += pack_accesses(projection, wide)
    return loads, stores


def pack_loads(name: str) -> Counter:
    """The loads of a convolution's or a patch mask's packs that are all under way at once."""
    parts = arguments(name)
    if not re.match(r"(causal_conv1d|patch_mask)(_backward)?_kernel<", name) or parts[-1] == "1":
        return Counter()
    size, pack = BYTES[parts[0]], int(parts[-1])
    if name.startswith("patch_mask_backward"):
        rows = 4
    elif name.startswith("patch_mask"):
        rows = 2 if pack > 4 else 4
    else:
        history = int(parts[1]) - 1
        rows = 8 + history * (2 if "backward" in name else int(parts[2]))
    return Counter({bits: rows * number for bits, number in pack_accesses(pack, size).items()})


def exponentials(name: str) -> int:
    """Of one round of a scan's loop, at least: decays of every token and state, softplus and sigmoids of a pack."""
    states, pack = STATES // lanes(name), TILE_TOKENS // lanes(name)
    return TILE_TOKENS * states + pack * (3 if "backward" in name else 2)


def breaches(kernel: Kernel) -> Iterator[Breach]:
    """Every rule that a kernel breaks."""

    def broken(rule: str, said: str) -> Breach:
        return Breach(rule, kernel.name, kernel.architecture, said)

    numbers = count(kernel)
    for rule, what in (
        ("local", "accesses of local memory: registers are spilled, or an array is indexed"),
        ("calls", "calls of subroutines"),
        ("atomics", "atomic operations: sums must have one order"),
    ):
        if numbers.get(rule):
            yield broken(rule, f"{numbers[rule]} {what}")
    expected = barriers(kernel.name)
    if numbers.get("barriers", 0) != expected:
        yield broken("barriers", f"{numbers.get('barriers', 0)} barriers, where its source says {expected}")

    flow = Flow(kernel.instructions)
    if "lanes" in kernel.name:
        loop = largest_loop(flow)
        if arguments(kernel.name)[0] != "double":
            found = sum(one.opcode.startswith("MUFU.EX2") for one in flow.instructions(loop.blocks))
            if found < exponentials(kernel.name):
                said = f"{found} MUFU.EX2 in the loop, where its source has {exponentials(kernel.name)} exponentials"
                yield broken("exponentials", said)
        way = tile_path(flow, loop) if kernel.name.endswith("true>") else list(flow.instructions(loop.blocks))
        for rule, opcode, wanted in zip(("loads", "stores"), GLOBAL, scan_accesses(kernel.name), strict=True):
            yield from narrow(broken, rule, Counter(width(one) for one in way if one.name == opcode), wanted)
    else:
        found = Counter(width(one) for one in kernel.instructions if one.name == "LDG")
        yield from narrow(broken, "loads", found, pack_loads(kernel.name))


def narrow(broken, rule: str, found: Counter, wanted: Counter) -> Iterator[Breach]:
    for bits, number in sorted(wanted.items(), reverse=True):
        if found[bits] < number:
            yield broken(rule, f"{found[bits]} {rule} of {bits} bits, where whole packs take {number}")
