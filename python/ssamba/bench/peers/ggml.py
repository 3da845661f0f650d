"""ggml's `ssm_scan` by ctypes, from the libraries that libggml-python brings.

    ggml_ssm_scan(memory, state, x, delta, A, B, C, ids, snapshots)

Every tensor is float32 but `ids`, whose int32 say which state a sequence starts from. Sizes with the fastest axis
first, for heads of one channel: state (N, 1, D, B); x (1, D, L, B); delta (D, L, B), whose softplus is taken inside;
A (N, D); B and C (N, 1, L, B). The result holds y in the order of x, and then the last states.

Source: ggml.h of libggml-python 0.20.2.post1.
"""

from __future__ import annotations

import ctypes
from contextlib import ExitStack
from ctypes import CDLL, POINTER, c_bool, c_char_p, c_float, c_int, c_int64, c_size_t, c_void_p
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from .comparison import Scan

TYPES = {torch.float32: 0, torch.int32: 26}  # ggml_type
BESIDE = 64 * 2**20  # bytes, more than enough for what ggml keeps beside the tensors
VECTORS = ("avx512", "avx2", "neon")  # best first


class Room(ctypes.Structure):
    """`ggml_init_params`: bytes to take, where (ggml finds a place if None), whether tensors get none of them."""

    _fields_ = (("size", c_size_t), ("place", c_void_p), ("no_tensors", c_bool))


# What is called, by library: the result, then the arguments.
FUNCTIONS = {
    "libggml-base": {
        "ggml_version": (c_char_p,),
        "ggml_init": (c_void_p, Room),
        "ggml_free": (None, c_void_p),
        "ggml_new_tensor": (c_void_p, c_void_p, c_int, c_int, POINTER(c_int64)),
        "ggml_get_data": (c_void_p, c_void_p),
        "ggml_ssm_scan": (c_void_p, *[c_void_p] * 8, c_int64),
        "ggml_new_graph": (c_void_p, c_void_p),
        "ggml_build_forward_expand": (None, c_void_p, c_void_p),
    },
    "libggml-cpu": {
        "ggml_cpu_init": (None,),
        "ggml_graph_compute_with_ctx": (c_int, c_void_p, c_void_p, c_int),
        **{f"ggml_cpu_has_{vectors}": (c_int,) for vectors in VECTORS},
    },
}


def prepare(inputs: dict[str, Any], resources: ExitStack) -> Scan:
    import libggml

    folder = Path(libggml.__file__).parent
    base, cpu = (library(folder, name) for name in FUNCTIONS)
    cpu.ggml_cpu_init()
    u, delta, A, B, C = (inputs[name] for name in ("u", "delta", "A", "B", "C"))
    batch, length, channels = u.shape
    states = A.shape[1]
    start, ids = torch.zeros(batch, channels, states), torch.arange(batch, dtype=torch.int32)
    size = 2 * sum(x.nbytes for x in (start, u, delta, A, B, C)) + BESIDE  # copies of these, and the result
    memory = base.ggml_init(Room(size, None, False))
    resources.callback(base.ggml_free, memory)
    scan = base.ggml_ssm_scan(
        memory,
        copied(base, memory, start, states, 1, channels, batch),
        copied(base, memory, u, 1, channels, length, batch),
        copied(base, memory, delta, channels, length, batch),
        copied(base, memory, A, states, channels),
        copied(base, memory, B, states, 1, length, batch),
        copied(base, memory, C, states, 1, length, batch),
        copied(base, memory, ids, batch),
        1,
    )
    graph = base.ggml_new_graph(memory)
    base.ggml_build_forward_expand(graph, scan)
    result = (c_float * u.numel()).from_address(base.ggml_get_data(scan))
    y = torch.frombuffer(result, dtype=torch.float32).view(u.shape)

    def run() -> Tensor:
        status = cpu.ggml_graph_compute_with_ctx(memory, graph, torch.get_num_threads())
        if status != 0:
            raise RuntimeError(f"ggml_graph_compute_with_ctx gives {status}, expected 0")
        return y

    vectors = next((name for name in VECTORS if getattr(cpu, f"ggml_cpu_has_{name}")()), "")
    return Scan(run, base.ggml_version().decode(), vectors)


def library(folder: Path, name: str) -> CDLL:
    """The library with its functions declared; raises RuntimeError if it or one of them is not there."""
    file = next((file for file in folder.rglob(f"{name}.*") if file.suffix in (".so", ".dylib")), None)
    if file is None:
        raise RuntimeError(f"the package libggml has no library {name}")
    loaded = CDLL(str(file))
    for function, (result, *arguments) in FUNCTIONS[name].items():
        if not hasattr(loaded, function):
            raise RuntimeError(f"{name} has no function {function}")
        declared = getattr(loaded, function)
        declared.restype, declared.argtypes = result, arguments
    return loaded


def copied(base: CDLL, memory: int, x: Tensor, *sizes: int) -> int:
    """A copy of x in ggml's memory, with the sizes that ggml calls it by, the fastest first."""
    tensor = base.ggml_new_tensor(memory, TYPES[x.dtype], len(sizes), (c_int64 * len(sizes))(*sizes))
    x = x.contiguous()
    ctypes.memmove(base.ggml_get_data(tensor), x.data_ptr(), x.nbytes)
    return tensor
