"""Who is compared, what each computes, and the command that installs it. Nothing of theirs is imported here."""

from __future__ import annotations

from dataclasses import dataclass

# What a comparison is of: all that take part in it compute this, from y = C h of the states h on.
COMPUTED = {
    "given": "step sizes Δ given",
    "softplus": "Δ by softplus",
    "gated": "Δ by bias and softplus, D u added, gated by silu(z)",
}

INTEL_PYTHON = "SSAMBA_INTEL_PYTHON"  # names the Python of an environment with Intel's extension


@dataclass(frozen=True)
class Peer:
    """`module` is its file beside this one, `packages` what that imports, `install` the command that brings them."""

    module: str
    computes: tuple[str, ...]
    packages: tuple[str, ...] = ()
    install: str = ""


PEERS = {
    "ssamba": Peer("ours", tuple(COMPUTED)),
    "ggml": Peer("ggml", ("softplus",), ("libggml",), "pip install libggml-python==0.20.2.post1"),
    "ONNX Runtime": Peer(
        "onnx_runtime",
        ("given", "softplus"),
        ("onnxruntime", "onnx"),
        "pip install onnxruntime==1.32.0 onnx==1.23.2",
    ),
    "Intel's extension": Peer(
        "intel",
        ("gated",),
        ("intel_extension_for_pytorch",),
        "python -m venv intel && intel/bin/pip install torch==2.8.0 intel-extension-for-pytorch==2.8.0 numpy "
        f"&& export {INTEL_PYTHON}=intel/bin/python",
    ),
    "mambapy": Peer("mambapy", ("gated",), ("mambapy",), "pip install mambapy==1.2.0"),
}


def absent(error: ImportError) -> str:
    """What is not installed, in one sentence with the command that installs it, where it is a peer's."""
    package = (error.name or "").partition(".")[0]
    commands = (peer.install for peer in PEERS.values() if package in peer.packages)
    command = next(commands, None)
    return f"{error}; install it by `{command}`" if command else str(error)


def written_for(provider: str) -> str:
    """How a sentence ends about a peer that is installed and broken: by the versions that are known to work."""
    install = PEERS[provider].install if provider in PEERS else ""
    return f"; written for `{install}`" if install else ""
