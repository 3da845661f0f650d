"""The mean of a model's weights over epochs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn


class WeightAverage:
    """Running mean of all weights of a module, each set counting alike; `count` sets are in it so far."""

    def __init__(self) -> None:
        self.count = 0
        self._means: dict[str, Tensor] = {}

    @torch.no_grad()
    def add(self, module: nn.Module) -> None:
        """Take in the weights as they are now: mean += (weights - mean) / count, in float32 or wider."""
        self.count += 1
        for name, value in _weights(module).items():
            wide = value.to(torch.promote_types(value.dtype, torch.float32))
            if self.count == 1:
                self._means[name] = wide.clone()
            else:
                mean = self._means[name].to(wide.device)
                self._means[name] = mean + (wide - mean) / self.count

    @contextmanager
    def applied_to(self, module: nn.Module) -> Iterator[None]:
        """The module has the mean as its weights inside the block, and its own ones again after it."""
        weights = _weights(module)
        kept = {name: value.clone() for name, value in weights.items()}
        _copy(self._means, weights)
        try:
            yield
        finally:
            _copy(kept, weights)

    def state_dict(self) -> dict[str, Any]:
        return {"count": self.count, "means": self._means}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.count, self._means = state["count"], dict(state["means"])


def _weights(module: nn.Module) -> dict[str, Tensor]:
    return {name: value for name, value in module.state_dict().items() if value.is_floating_point()}


@torch.no_grad()
def _copy(source: dict[str, Tensor], target: dict[str, Tensor]) -> None:
    for name, value in target.items():
        value.copy_(source[name])
