"""From a compiled library to its kernels' instructions, as `cuobjdump -sass` prints them."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

ARCHITECTURE = re.compile(r"^\s*code for (sm_\w+)")
FUNCTION = re.compile(r"^\s*Function : (\S+)")
INSTRUCTION = re.compile(r"^\s*/\*([0-9a-f]{4,})\*/\s+(?:@(!?U?P\w+)\s+)?([A-Z]\w*(?:\.\w+)*)\s*([^;]*?)\s*;")
ADDRESS = re.compile(r"(?<![\w\[])0x([0-9a-f]+)\s*$")
CONDITION = re.compile(r"(?:^|,\s*)!?U?P\d\b")


@dataclass(frozen=True)
class Instruction:
    address: int
    predicate: str  # under which it runs, empty if always
    opcode: str  # with its suffixes: LDG.E.128
    operands: str

    @property
    def name(self) -> str:
        return self.opcode.split(".")[0]

    @property
    def target(self) -> int | None:
        """Where a branch or a call goes."""
        found = ADDRESS.search(self.operands)
        return int(found[1], 16) if found else None

    @property
    def conditional(self) -> bool:
        """Whether a branch may also be passed by."""
        return bool(self.predicate or CONDITION.search(self.operands) or ".DIV" in self.opcode)


@dataclass
class Kernel:
    architecture: str
    mangled: str
    name: str = ""
    instructions: list[Instruction] = field(default_factory=list)


def parse(lines: Iterable[str]) -> Iterator[Kernel]:
    """Kernels in the order of the listing. Names are as the compiler mangled them; `name` is left to `demangle`."""
    architecture, kernel = "", None
    for line in lines:
        if found := INSTRUCTION.match(line):
            if kernel is not None:
                address, predicate, opcode, operands = found.groups()
                kernel.instructions.append(Instruction(int(address, 16), predicate or "", opcode, operands))
        elif found := ARCHITECTURE.match(line):
            architecture = found[1]
        elif found := FUNCTION.match(line):
            if kernel is not None:
                yield without_padding(kernel)
            kernel = Kernel(architecture, found[1])
    if kernel is not None:
        yield without_padding(kernel)


def without_padding(kernel: Kernel) -> Kernel:
    """A kernel's text ends with a branch to itself, behind which NOPs fill a line of the cache."""
    code = kernel.instructions
    while code and (code[-1].name == "NOP" or (code[-1].name == "BRA" and code[-1].target == code[-1].address)):
        code.pop()
    return kernel


def demangle(kernels: list[Kernel]) -> list[Kernel]:
    """Gives every kernel its short name: `selective_scan_kernel<bf16, 4 lanes, 64 threads, true>`."""
    names = "\n".join(kernel.mangled for kernel in kernels)
    plain = subprocess.run(["c++filt"], input=names, capture_output=True, text=True, check=True).stdout
    for kernel, name in zip(kernels, plain.splitlines(), strict=True):
        kernel.name = short_name(name)
    return kernels


SHORTER = (
    (r"^void |ssamba::|\(anonymous namespace\)::|c10::", ""),
    (r"\([^()]*\)$", ""),  # parameters
    (r"ScanLayout<(\d+), (\d+)>", r"\1 lanes, \2 threads"),
    (r"__nv_bfloat16|BFloat16", "bf16"),
    (r"__half|Half", "fp16"),
)


def short_name(name: str) -> str:
    name = re.sub(r"\(int\)|\(bool\)", "", name).replace("(anonymous namespace)::", "")
    for pattern, shorter in SHORTER:
        name = re.sub(pattern, shorter, name)
    return name


def tool() -> str:
    """cuobjdump, which finds nvdisasm beside itself or on PATH: of a CUDA toolkit, or of two small wheels."""
    beside = Path(sys.prefix).glob("lib/python*/site-packages/nvidia/*/bin/cuobjdump")
    toolkit = Path(shutil.which("nvcc") or "/usr/local/cuda/bin/nvcc").resolve().with_name("cuobjdump")
    for found in (shutil.which("cuobjdump"), *beside, toolkit):
        if found and Path(found).exists():
            return str(found)
    raise SystemExit(
        "no cuobjdump: pip install nvidia-cuda-cuobjdump nvidia-cuda-nvdisasm, or put a CUDA toolkit on PATH"
    )


def disassemble(library: Path, architecture: str | None = None) -> list[Kernel]:
    """The kernels of a library, an object or a cubin, of one architecture (`sm_90`) or of all in it."""
    command = [tool(), "-sass", *(["-arch", architecture] if architecture else []), str(library)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        kernels = list(parse(process.stdout))
    if process.returncode:
        raise SystemExit(f"cuobjdump failed for {library}")
    if not kernels:
        raise SystemExit(f"{library} has no machine code{f' for {architecture}' if architecture else ''}")
    return demangle(kernels)
