"""The golden model t, its inputs, and what the published code computes with it (see tests/golden/README.md)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from ssamba.encoder.position import adapt_position_table
from ssamba.model import SSAMBA

GOLDEN = Path(__file__).parent / "golden"
PRECISIONS = {"f32": torch.float32, "f64": torch.float64}


class Golden:
    """Read-only access to the golden files."""

    def __init__(self) -> None:
        inputs = np.load(GOLDEN / "inputs.npz")
        self.x = torch.from_numpy(inputs["xt"].astype(np.float64) * float(inputs["scale"]))  # (3, 320, 128)
        self.path = GOLDEN / "ckpt_t.pth"
        self.state = torch.load(self.path, weights_only=True)

    def read(self, name: str) -> dict[str, torch.Tensor]:
        with np.load(GOLDEN / f"{name}.npz") as file:
            return {key: torch.from_numpy(np.asarray(file[key])) for key in file.files}

    def model(self, dtype: torch.dtype = torch.float64) -> SSAMBA:
        return SSAMBA.from_official(self.path).to(dtype).eval()

    def finetuned(self, case: str, dtype: torch.dtype) -> tuple[SSAMBA, torch.Tensor]:
        """The model carried over to a case of forward_t.npz; and the input of the case."""
        forward = self.read("forward_t")
        frames, fstride, tstride = forward[f"{case}/meta"][:3].tolist()
        model = SSAMBA.from_official(self.path, num_classes=35, input_tdim=frames, fstride=fstride, tstride=tstride)
        model = model.to(dtype).eval()
        with torch.no_grad():  # again from the stored table, in the precision of the golden run
            table = self.state["module.v.pos_embed"].to(dtype)
            model.pos_embed.copy_(adapt_position_table(table, (8, 16), model.config.grid, "paired"))
        model.head.load_state_dict({name[5:]: forward[name] for name in forward if name.startswith("head/")})
        return model, self.x[:, :frames].to(dtype)
