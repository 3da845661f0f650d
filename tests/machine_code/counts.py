"""What is counted of a kernel, and what a tile of a scan takes.

A scan's loop takes a tile of 16 tokens once round. Three numbers say what that costs a thread:

    loop   all instructions of the loop, whatever they are for
    tile   the longest way once round that a whole tile can take: what is left when the blocks are taken out that
           read or write packs at an edge, neighbour by neighbour, that store states (checkpoints, or the last tile's),
           and that serve a warp whose lanes have parted. Both sides of every other branch are open to it, so a real
           tile takes as many instructions or fewer: it leaves its sums to the other direction, or takes what that left
    saving the same with the blocks that store states: a tile of a forward pass in training

An instruction of one thread for t tokens of one channel counts 1/t, of n lanes that share a channel n/t. So a tile that
takes I instructions counts I n / 16 for a token, channel and direction.
"""

from __future__ import annotations

import re
from collections import Counter

from flow import Block, Flow, Loop
from sass import Instruction, Kernel

TILE_TOKENS = 16
GLOBAL = ("LDG", "STG")
LOCAL = ("LDL", "STL")
ATOMIC = ("ATOM", "ATOMG", "ATOMS", "RED", "REDG")
LANES = re.compile(r"(\d+) lanes")
PREDICATE = re.compile(r"U?P\d")
WIDTHS = {"U8": 8, "S8": 8, "U16": 16, "S16": 16, "64": 64, "128": 128}

# What an instruction is for, by the first name that fits; the rest is integer arithmetic, and "other".
KINDS = (
    ("exponentials", r"MUFU\.EX2"),
    ("reciprocals", r"MUFU"),
    ("float arithmetic", r"(F|D|H)(FMA|MUL|ADD|MNMX)|HFMA2|HADD2|HMUL2|FFMA2|FADD2|FMUL2"),
    ("conversions", r"F2F|F2FP|I2F|F2I|PRMT|HADD2\.F32"),
    ("comparisons", r"U?(I|F|D)SETP|U?PLOP3|P2R|R2P|U?ISETP|VOTE"),
    ("selects", r"U?F?SEL"),
    ("shared memory", r"LDS|STS|LDSM"),
    ("global memory", r"LDG|STG|LD|ST"),
    ("shuffles", r"SHFL"),
    ("branches", r"BRA|BSSY|BSYNC|CALL|RET|EXIT|WARPSYNC|BREAK"),
    ("barriers", r"BAR"),
    ("constants", r"U?LDC|LDCU|S2R|S2UR|CS2R"),
    ("moves", r"U?MOV|R2UR|UMOV|IMAD\.MOV"),
    ("integer arithmetic", r"U?(IMAD|IADD3?|LEA|LOP3|SHF|VIADD|IABS|IMNMX|VIMNMX|IADD)|LOP3|VIADDMNMX"),
)


def kinds(instructions: list[Instruction]) -> Counter:
    found: Counter = Counter()
    for one in instructions:
        found[next((kind for kind, names in KINDS if re.match(rf"({names})(\.|$)", one.opcode)), "other")] += 1
    return found


def width(one: Instruction) -> int:
    """Bits that one thread moves."""
    return next((WIDTHS[part] for part in one.opcode.split(".")[1:] if part in WIDTHS), 32)


def written_predicates(one: Instruction) -> set[str]:
    """Predicates among an instruction's results, which come first."""
    return {part for part in one.operands.replace(" ", "").split(",")[:2] if PREDICATE.fullmatch(part)}


def element_accesses(block: Block) -> list[tuple[Instruction, int, tuple[str, int]]]:
    """Global accesses no wider than an element may be: with their offset, and the value of which predicate they are
    under."""
    versions: Counter = Counter()
    found = []
    for one in block.instructions:
        if one.name in GLOBAL and width(one) <= 64:
            offset = re.search(r"\[R\w+(?:\.\w+)*(?:\+(-?\w+))?\]", one.operands)[1]
            found.append((one, int(offset or "0", 16), (one.predicate, versions[one.predicate.lstrip("!")])))
        versions.update(written_predicates(one))
    return found


def one_by_one(block: Block) -> bool:
    """Whether neighbours are read or written under conditions of their own: a pack that is not whole."""
    accesses = element_accesses(block)
    return len({guard for *_, guard in accesses}) > 1 and len({offset for _, offset, _ in accesses}) > 1


def stores_states(block: Block) -> bool:
    """Whether states are written: single values, each under a condition of its own, that are no neighbours."""
    guards = [guard for one, _, guard in element_accesses(block) if one.name == "STG" and one.predicate]
    return len(guards) > 1 and len(set(guards)) == len(guards) and not one_by_one(block)


def parted(block: Block) -> bool:
    """Whether a block is for warps whose lanes go different ways at a shuffle."""
    return any("COLLECTIVE" in one.opcode for one in block.instructions)


def largest_loop(flow: Flow) -> Loop | None:
    return max(flow.loops(), key=lambda loop: sum(1 for _ in flow.instructions(loop.blocks)), default=None)


def edges(flow: Flow, loop: Loop) -> set[int]:
    """The blocks that only packs at an edge come through: those that go one by one, and all of a branch's side where
    some do if its other side reads or writes whole packs."""
    single = {number for number in loop.blocks if one_by_one(flow.blocks[number])}
    found = set(single)
    for number in loop.blocks:
        sides = flow.blocks[number].next
        if len(sides) != 2 or any(side not in loop.blocks or len(flow.before[side]) != 1 for side in sides):
            continue
        regions = [{one for one in loop.blocks if flow.dominates(side, one)} for side in sides]
        for edge, whole in (regions, regions[::-1]):
            if edge & single and not whole & single and any(one.name in GLOBAL for one in flow.instructions(whole)):
                found |= edge
    return found


def tile_path(flow: Flow, loop: Loop, saving: bool = False) -> list[Instruction]:
    avoided = edges(flow, loop)
    for number in loop.blocks:
        block = flow.blocks[number]
        if parted(block) or (not saving and stores_states(block)):
            avoided.add(number)
    return list(flow.instructions(flow.longest_path(loop, avoided)))


def lanes(name: str) -> int | None:
    """Of a scan's kernel: how many share a channel."""
    found = LANES.search(name)
    return int(found[1]) if found else None


def per_token(instructions: int, name: str) -> float:
    return instructions * lanes(name) / TILE_TOKENS


def count(kernel: Kernel) -> dict[str, int]:
    """The numbers of a kernel, in the order of the budget. Those that are zero are left out, but for `instructions`."""
    code, flow = kernel.instructions, Flow(kernel.instructions)
    names = Counter(one.name for one in code)
    memory = Counter(f"{one.name}.{width(one)}" for one in code if one.name in GLOBAL)
    numbers = {
        "instructions": len(code),
        "local": sum(names[name] for name in LOCAL),
        "calls": len(flow.calls()),
        "atomics": sum(names[name] for name in ATOMIC),
        "barriers": names["BAR"],
        "shuffles": names["SHFL"],
        "exponentials": sum(one.opcode.startswith("MUFU.EX2") for one in code),
        **{key: memory[key] for key in sorted(memory, key=lambda key: (key[:3], -int(key[4:])))},
    }
    loop = largest_loop(flow)
    if loop and lanes(kernel.name):
        numbers["loop"] = sum(1 for _ in flow.instructions(loop.blocks))
        if kernel.name.endswith("true>"):  # otherwise states are walked in blocks, by a loop in the loop
            numbers["tile"] = len(tile_path(flow, loop))
        if "tile" in numbers and "backward" not in kernel.name:
            numbers["saving"] = len(tile_path(flow, loop, saving=True))
    return {key: value for key, value in numbers.items() if value or key == "instructions"}
