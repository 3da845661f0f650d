"""Intel's selective scan, for a Python that has Intel's extension and its torch, but not this library.

    python -I intel_scan.py FOLDER THREADS

FOLDER holds inputs.npz: u, delta and z (B, L, D), A (D, N), B and C (B, L, N), D and delta_bias (D,), all float32. The
scan runs once, leaves y (B, L, D) in FOLDER/y.npy, and runs again for every line that it reads. Each run is answered by
a line of JSON: the first by the version, what goes wrong by {"error": ...}.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable


def main() -> None:
    folder, threads = sys.argv[1], int(sys.argv[2])
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what the packages print is no answer
    try:
        run, about = prepare(folder, threads)
        print(json.dumps(about), file=answers)
        for _ in sys.stdin:
            run()
            print(json.dumps({}), file=answers)
    except (Exception, SystemExit) as error:  # the extension exits where torch is not the one that it wants
        print(json.dumps({"error": f"{type(error).__name__}: {error}"}), file=answers)


def prepare(folder: str, threads: int) -> tuple[Callable[[], object], dict[str, str]]:
    """The scan, after its first run, and what it is."""
    import intel_extension_for_pytorch as extension
    import numpy
    import torch

    torch.set_num_threads(threads)
    x = {name: torch.from_numpy(value) for name, value in numpy.load(f"{folder}/inputs.npz").items()}
    # Channels before tokens in memory too: where tokens come first, each call overwrites delta by the step sizes.
    u, delta, B, C, z = (x[name].mT.contiguous() for name in ("u", "delta", "B", "C", "z"))
    scan = torch.ops.torch_ipex.selective_scan_fn

    def run() -> torch.Tensor:
        with torch.inference_mode():
            return scan(u, delta, x["A"], B, C, x["D"], z, x["delta_bias"], True, False)[0]

    numpy.save(f"{folder}/y.npy", run().mT.contiguous().numpy())
    return run, {"version": extension.__version__, "instructions": extension._C._get_current_isa_level()}


if __name__ == "__main__":
    main()
