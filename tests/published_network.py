"""The published network stated once more, as its specification reads: sequences are reversed, states step by step.

It works on a state_dict by published names and shares nothing with the package.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F


def random_checkpoint(width, depth, columns, state=16, conv=4, rank=3, norm="layernorm", seed=0):
    """A pretraining state_dict of 8 x columns patches of 16 x 16, no parameter at a symmetric value."""
    generator, inner = torch.Generator().manual_seed(seed), 2 * width

    def around(centre, scale, *shape):
        return centre + scale * torch.randn(shape, generator=generator)

    names = {
        "p_input_fdim": torch.tensor(128),
        "p_input_tdim": torch.tensor(16 * columns),
        "mask_embed": around(0, 0.2, 1, 1, width),
        "v.cls_token": around(0, 0.5, 1, 1, width),
        "v.pos_embed": around(0, 0.5, 1, 1 + 8 * columns, width),
        "v.patch_embed.proj.weight": around(0, 0.06, width, 1, 16, 16),
        "v.patch_embed.proj.bias": around(0, 0.1, width),
        "v.head.weight": around(0, 0.02, 1000, width),
        "v.head.bias": around(0, 0.02, 1000),
        "v.norm_f.weight": around(1, 0.1, width),
    }
    for layer in range(depth):
        mixer = {"in_proj.weight": around(0, width**-0.5, 2 * inner, width), "norm.weight": around(1, 0.1, width)}
        for b in ("", "_b"):
            mixer[f"A{b}_log"] = around(0.5, 0.5, inner, state)
            mixer[f"D{b}"] = around(1, 0.2, inner)
            mixer[f"conv1d{b}.weight"] = around(0, 0.5, inner, 1, conv)
            mixer[f"conv1d{b}.bias"] = around(0, 0.3, inner)
            mixer[f"x_proj{b}.weight"] = around(0, inner**-0.5, rank + 2 * state, inner)
            mixer[f"dt_proj{b}.weight"] = around(0, rank**-0.5, inner, rank)
            mixer[f"dt_proj{b}.bias"] = around(-2, 1.0, inner)
        mixer["out_proj.weight"] = around(0, inner**-0.5, width, inner)
        for name, tensor in mixer.items():
            names[f"v.layers.{layer}.{name if name.startswith('norm') else 'mixer.' + name}"] = tensor
        if norm == "layernorm":
            names[f"v.layers.{layer}.norm.bias"] = around(0, 0.1, width)
    if norm == "layernorm":
        names["v.norm_f.bias"] = around(0, 0.1, width)
    for head in ("cpredlayer", "gpredlayer"):
        for index, size in ((0, width), (2, 256)):
            names[f"{head}.{index}.weight"] = around(0, width**-0.5, size, width)
            names[f"{head}.{index}.bias"] = around(0, 0.1, size)
    return {f"module.{name}": tensor for name, tensor in names.items()}


class PublishedNetwork:
    """Forward passes in float64 on the parameters of a state_dict, which get gradients."""

    def __init__(self, state):
        self.p = {name[7:]: t.double().requires_grad_() for name, t in state.items() if t.is_floating_point()}
        self.depth = 1 + max(int(name.split(".")[2]) for name in self.p if name.startswith("v.layers."))

    def norm(self, name, x):
        weight, bias = self.p[f"{name}.weight"], self.p.get(f"{name}.bias")
        if bias is None:
            return x / (x.square().mean(-1, keepdim=True) + 1e-5).sqrt() * weight
        x = x - x.mean(-1, keepdim=True)
        return x / (x.square().mean(-1, keepdim=True) + 1e-5).sqrt() * weight + bias

    def direction(self, layer, x, z, b):
        p = {name.removeprefix(f"v.layers.{layer}.mixer."): tensor for name, tensor in self.p.items()}
        taps = p[f"conv1d{b}.weight"].shape[2]
        u = F.pad(x.transpose(1, 2), (taps - 1, 0))
        u = F.silu(F.conv1d(u, p[f"conv1d{b}.weight"], p[f"conv1d{b}.bias"], groups=x.shape[2])).transpose(1, 2)
        A = -p[f"A{b}_log"].exp()
        states, rank = A.shape[1], p[f"dt_proj{b}.weight"].shape[1]
        dt, B, C = (u @ p[f"x_proj{b}.weight"].T).split([rank, states, states], dim=-1)
        delta = F.softplus(dt @ p[f"dt_proj{b}.weight"].T + p[f"dt_proj{b}.bias"])
        kept, added = (delta[..., None] * A).exp(), (delta * u)[..., None] * B[:, :, None]  # (B, L, E, N)
        h = [added[:, 0]]
        for t in range(1, x.shape[1]):
            h.append(kept[:, t] * h[-1] + added[:, t])
        return ((torch.stack(h, 1) * C[:, :, None]).sum(-1) + p[f"D{b}"] * u) * F.silu(z)

    def mixer(self, layer, s):
        x, z = (s @ self.p[f"v.layers.{layer}.mixer.in_proj.weight"].T).chunk(2, dim=-1)
        backward = self.direction(layer, x.flip(1), z.flip(1), "_b").flip(1)
        return (self.direction(layer, x, z, "") + backward) / 2 @ self.p[f"v.layers.{layer}.mixer.out_proj.weight"].T

    def positions(self, rows, columns):
        """The table carried to another grid: centre crop or bilinear, columns first, as fine-tuning does."""
        table = self.p["v.pos_embed"]
        grid = table[:, 1:].unflatten(1, (8, -1)).permute(0, 3, 1, 2)  # (1, D, f, t)
        if columns < grid.shape[3]:
            start = grid.shape[3] // 2 - columns // 2
            grid = grid[..., start : start + columns]
        else:
            grid = F.interpolate(grid, (8, columns), mode="bilinear", align_corners=False)
        grid = F.interpolate(grid, (rows, columns), mode="bilinear", align_corners=False)
        return torch.cat([table[:, :1], grid.flatten(2).transpose(1, 2)], dim=1)

    def encode(self, x, stride=16, mask=None):
        """x (B, T, 128) → (B, 1 + P, D); patches in mask (B, P) are hidden."""
        weight, bias = self.p["v.patch_embed.proj.weight"], self.p["v.patch_embed.proj.bias"]
        patches = F.conv2d(x.transpose(1, 2).unsqueeze(1), weight, bias, stride)  # (B, D, f, t)
        rows, columns = patches.shape[2:]
        patches = patches.flatten(2).transpose(1, 2)
        if mask is not None:
            patches = torch.where(mask[:, :, None], self.p["mask_embed"], patches)
        hidden = torch.cat([self.p["v.cls_token"].expand(len(x), -1, -1), patches], 1) + self.positions(rows, columns)
        residual = torch.zeros_like(hidden)
        for k in range(0, self.depth, 2):
            even = residual + hidden
            odd = residual.flip(1) + hidden.flip(1)
            hidden = self.mixer(k, self.norm(f"v.layers.{k}.norm", even))
            hidden = hidden + self.mixer(k + 1, self.norm(f"v.layers.{k + 1}.norm", odd)).flip(1)
            residual = even + odd.flip(1)
        return self.norm("v.norm_f", self.norm("v.norm_f", residual + hidden))

    def predictions(self, head, x, mask):
        """(predicted, true) patches (B, K, 256) at the K hidden places of each clip."""
        tokens = self.encode(x, mask=mask)[:, 1:][mask].unflatten(0, (len(x), -1))
        blocks = F.unfold(x.transpose(1, 2).unsqueeze(1), 16, stride=16).transpose(1, 2)  # (B, P, 256)
        p = [self.p[f"{head}.{i}.{part}"] for i in (0, 2) for part in ("weight", "bias")]
        return F.relu(tokens @ p[0].T + p[1]) @ p[2].T + p[3], blocks[mask].unflatten(0, (len(x), -1))

    def discriminative(self, x, mask):
        """(loss, accuracy), clip by clip and patch by patch."""
        loss, right = 0.0, 0
        found, wanted = self.predictions("cpredlayer", x, mask)
        for predicted, target in zip(found, wanted, strict=True):
            scores = target @ predicted.T
            loss = loss - scores.log_softmax(1).diagonal().sum()
            right += (scores.softmax(1).argmax(0) == torch.arange(len(target))).sum().item()
        return loss / mask.sum(), right / mask.sum().item()

    def generative(self, x, mask):
        found, wanted = self.predictions("gpredlayer", x, mask)
        return (found - wanted).square().mean()
