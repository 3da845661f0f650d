"""ONNX Runtime's `com.microsoft.LinearAttention` as a selective scan.

Its rule "gated" is S_t = exp(g_t) S_{t-1} + k_t ⊗ v_t, o_t = q_t S_t. With a head for each channel, k = B, q = C,
v = Δ u and g = Δ A that is the scan. The decay g is a tensor (B, L, D N), N times as large as u: made by the graph
where Δ comes by softplus, and by us, before the clock starts, where Δ is given.

Source: the operator's schema in ONNX Runtime 1.32.0.
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

import torch
from torch import Tensor

from .comparison import Scan

IR_VERSION, OPSET = 10, 18  # of ONNX


def prepare(inputs: dict[str, Any], resources: ExitStack) -> Scan:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(scan_model(inputs), options, providers=["CPUExecutionProvider"])
    fed = {name: onnxruntime.OrtValue.ortvalue_from_numpy(x.numpy()) for name, x in fed_tensors(inputs).items()}

    def run() -> Tensor:
        (y,) = session.run_with_ort_values(["y"], fed)
        return torch.from_numpy(y.numpy())

    return Scan(run, onnxruntime.__version__)


def fed_tensors(inputs: dict[str, Any]) -> dict[str, Tensor]:
    """What the graph reads: u, delta and A, or value and decay made of them, beside B and C."""
    u, delta, A, B, C = (inputs[name] for name in ("u", "delta", "A", "B", "C"))
    if inputs["delta_softplus"]:
        return {"u": u, "delta": delta, "A": A, "B": B, "C": C}
    return {"value": delta * u, "decay": (delta.unsqueeze(-1) * A).flatten(2), "B": B, "C": C}


def scan_model(inputs: dict[str, Any]) -> bytes:
    """The graph, serialised."""
    from onnx import TensorProto, helper

    batch, length, channels = inputs["u"].shape
    nodes = []
    if inputs["delta_softplus"]:
        constants = {"last": [-1], "flat": [batch, length, -1]}
        nodes = [
            *(helper.make_node("Constant", [], [name], value_ints=value) for name, value in constants.items()),
            helper.make_node("Softplus", ["delta"], ["step"]),
            helper.make_node("Mul", ["step", "u"], ["value"]),
            helper.make_node("Unsqueeze", ["step", "last"], ["column"]),
            helper.make_node("Mul", ["column", "A"], ["rates"]),
            helper.make_node("Reshape", ["rates", "flat"], ["decay"]),
        ]
    attention = helper.make_node(
        "LinearAttention",
        ["C", "B", "value", "", "decay"],  # query, key, value, no state before, decay
        ["y", "state"],
        domain="com.microsoft",
        update_rule="gated",
        scale=1.0,
        q_num_heads=1,
        kv_num_heads=channels,
    )
    given = [helper.make_tensor_value_info(name, TensorProto.FLOAT, x.shape) for name, x in fed_tensors(inputs).items()]
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, inputs["u"].shape)
    graph = helper.make_graph([*nodes, attention], "selective_scan", given, [y])
    opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid("com.microsoft", 1)]
    return helper.make_model(graph, ir_version=IR_VERSION, opset_imports=opsets).SerializeToString()
