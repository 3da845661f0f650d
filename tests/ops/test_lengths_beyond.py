"""Lengths that no clip can have: refused where they can be read, bounded by the kernels of a GPU, as reading them
before a launch would wait for it."""

from __future__ import annotations

import pytest
import torch

from op_calls import OPS, calls, same

L = 21


@pytest.mark.parametrize("lengths", [(L + 5, -3), (L, -1), (L + 1, 9)], ids=str)
@pytest.mark.parametrize("op", [op for op in OPS if op != "patch_mask"])
def test_lengths_beyond_the_tokens(op, lengths, machine):
    for name, (function, *given) in calls(op, torch.float32, L, 12, [L, L]).items():
        (i,) = (i for i, x in enumerate(given) if isinstance(x, torch.Tensor) and x.dtype == torch.int64)

        def run(values: torch.Tensor, i=i, function=function, given=given):
            return function(*given[:i], values, *given[i + 1 :])

        beyond = torch.tensor(lengths)
        if machine == "cpu":
            bad = 1 if 0 <= lengths[0] <= L else 0
            message = rf"{op}.*: lengths\[{bad}\] is {lengths[bad]}; expected 0 to L = {L}"
            with pytest.raises(RuntimeError, match=message):
                run(beyond)
        else:
            assert same(run(beyond), run(beyond.clamp(0, L))), name
