"""Blocks, loops and paths of a kernel: what its branches say, without running it.

A loop is a natural loop: the blocks between a branch back and its target, where every way to the branch leads through
the target. So code that a compiler has put behind the kernel's end, branching back into the middle, makes none.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field

from sass import Instruction

ENDS = ("EXIT", "RET")


@dataclass(eq=False)
class Block:
    instructions: list[Instruction]
    next: list[int] = field(default_factory=list)  # numbers of the blocks that may follow
    jumps: bool = False  # by a CALL


@dataclass
class Loop:
    head: int
    blocks: set[int]


class Flow:
    """The blocks that are reached from a kernel's entry, by number; those of subroutines are not."""

    def __init__(self, instructions: list[Instruction]) -> None:
        self.blocks = split(instructions)
        self.order = self._postorder()[::-1]
        self.rank = {number: i for i, number in enumerate(self.order)}
        self.before: dict[int, list[int]] = {number: [] for number in self.order}
        for number in self.order:
            for follower in self.blocks[number].next:
                self.before[follower].append(number)
        self.dominator = self._dominators()

    def _postorder(self) -> list[int]:
        done, seen, stack = [], {0}, [(0, iter(self.blocks[0].next))]
        while stack:
            number, followers = stack[-1]
            for follower in followers:
                if follower not in seen:
                    seen.add(follower)
                    stack.append((follower, iter(self.blocks[follower].next)))
                    break
            else:
                done.append(number)
                stack.pop()
        return done

    def _dominators(self) -> dict[int, int]:
        """Of each block the nearest one that every way to it leads through (Cooper, Harvey and Kennedy, 2001)."""
        nearest = {0: 0}
        changed = True
        while changed:
            changed = False
            for number in self.order[1:]:
                known = [one for one in self.before[number] if one in nearest]
                best = known[0]
                for one in known[1:]:
                    while one != best:
                        if self.rank[one] > self.rank[best]:
                            one = nearest[one]
                        else:
                            best = nearest[best]
                if nearest.get(number) != best:
                    nearest[number] = best
                    changed = True
        return nearest

    def dominates(self, one: int, other: int) -> bool:
        while self.rank[other] > self.rank[one]:
            other = self.dominator[other]
        return one == other

    def loops(self) -> list[Loop]:
        """One for each head, whatever the number of branches back to it."""
        bodies: dict[int, set[int]] = {}
        for number in self.order:
            for head in self.blocks[number].next:
                if not self.dominates(head, number):
                    continue
                body = bodies.setdefault(head, {head})
                stack = [number]
                while stack:
                    one = stack.pop()
                    if one not in body:
                        body.add(one)
                        stack.extend(self.before[one])
        return [Loop(head, body) for head, body in bodies.items()]

    def instructions(self, blocks: set[int] | list[int]) -> Iterator[Instruction]:
        for number in sorted(blocks):
            yield from self.blocks[number].instructions

    def calls(self) -> list[Instruction]:
        """Calls of subroutines, and of what lies outside the kernel."""
        ends = [block.instructions[-1] for block in self.blocks if not block.jumps]
        return [last for last in ends if last.name == "CALL"]

    def longest_path(self, loop: Loop, avoided: Collection[int] = (), longest: bool = True) -> list[int]:
        """The blocks of the longest way once through a loop past those to be avoided, or of the shortest; empty if
        there is none.

        Inner loops count as if they were left at their end: a way takes none of their branches back.
        """
        choose = max if longest else min
        lengths: dict[int, tuple[int, int | None]] = {}
        for number in sorted(loop.blocks, key=self.rank.__getitem__):
            if number in avoided:
                continue
            ways = [one for one in self.before[number] if one in lengths and self.rank[one] < self.rank[number]]
            if number != loop.head and not ways:
                continue
            last = choose(ways, key=lambda one: lengths[one][0]) if number != loop.head else None
            done = lengths[last][0] if last is not None else 0
            lengths[number] = (done + len(self.blocks[number].instructions), last)
        ends = [number for number in lengths if loop.head in self.blocks[number].next]
        if not ends:
            return []
        path, number = [], choose(ends, key=lambda one: lengths[one][0])
        while number is not None:
            path.append(number)
            number = lengths[number][1]
        return path[::-1]


def split(instructions: list[Instruction]) -> list[Block]:
    """Blocks in the order of the listing, each with the numbers of those that may follow it.

    sm_80's compiler also leaves loops by CALLs that nobody returns from: those are jumps.
    """
    jumps = ("BRA", "JMP", "CALL")
    starts = {instructions[0].address}
    for here, behind in zip(instructions, [*instructions[1:], None], strict=True):
        if here.name in ("BRX", "JMX"):
            raise ValueError(f"a branch through a table at {here.address:#x}: its targets are not known")
        if here.name in jumps:
            starts.add(here.target)
        if here.name in (*jumps, *ENDS) and behind:
            starts.add(behind.address)
    blocks: list[Block] = []
    for one in instructions:
        if one.address in starts:
            blocks.append(Block([]))
        blocks[-1].instructions.append(one)
    number_at = {block.instructions[0].address: number for number, block in enumerate(blocks)}
    for number, block in enumerate(blocks):
        last = block.instructions[-1]
        if last.name in ("BRA", "JMP") and last.target in number_at:  # or it is the branch that ends the text
            block.next.append(number_at[last.target])
        falls = last.name not in ("BRA", "JMP", *ENDS) or last.conditional
        if falls and number + 1 < len(blocks) and number + 1 not in block.next:
            block.next.append(number + 1)
    for block in blocks:
        last = block.instructions[-1]
        if last.name == "CALL" and last.target in number_at and not returns(blocks, number_at[last.target]):
            block.jumps = True
            block.next = [number_at[last.target], *(block.next if last.conditional else [])]
    return blocks


def returns(blocks: list[Block], start: int) -> bool:
    """Whether a way from a block leads to a return: a subroutine's does."""
    seen, stack = {start}, [start]
    while stack:
        block = blocks[stack.pop()]
        if block.instructions[-1].name == "RET":
            return True
        stack.extend(number for number in block.next if number not in seen)
        seen.update(block.next)
    return False
