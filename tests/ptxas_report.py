"""Registers, stack and spills of each kernel, from what nvcc -Xptxas=-v wrote. Exits 1 if a kernel spills."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

KERNEL = re.compile(
    r"Compiling entry function '(?P<name>\S+)'.*?(?P<stack>\d+) bytes stack frame, (?P<stores>\d+) bytes spill stores, "
    r"(?P<loads>\d+) bytes spill loads.*?Used (?P<registers>\d+) registers",
    re.DOTALL,
)


def readable(names: list[str]) -> list[str]:
    plain = subprocess.run(["c++filt"], input="\n".join(names), capture_output=True, text=True, check=True).stdout
    return [re.sub(r"ssamba::|\(anonymous namespace\)::|^void |\(.*", "", name) for name in plain.splitlines()]


def main(log: Path) -> int:
    kernels = [match.groupdict() for match in KERNEL.finditer(log.read_text())]
    if not kernels:
        print(f"{log}: no kernel was compiled", file=sys.stderr)
        return 1
    for kernel, name in zip(kernels, readable([kernel["name"] for kernel in kernels]), strict=True):
        spills = f", SPILLS {kernel['stores']} + {kernel['loads']} bytes" if int(kernel["stores"]) else ""
        print(f"{kernel['registers']:>4} registers  {name}{spills}")
    spilling = sum(int(kernel["stores"]) > 0 for kernel in kernels)
    print(f"{len(kernels)} kernels, {spilling} with spills")
    return 1 if spilling else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
