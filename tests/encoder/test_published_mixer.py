"""Layer 0's mixer alone, forward and backward, against the published one."""

from __future__ import annotations

import torch

from golden_model import PRECISIONS

TOLERANCE = {"f32": 2e-5, "f64": 1e-10}


def test_mixer_and_its_input_gradient(golden, precision):
    data, dtype = golden.read("mixer_t"), PRECISIONS[precision]
    mixer = golden.model(dtype).layers[0].mixer
    s = data["mixer/in"].to(dtype).requires_grad_()
    out = mixer(s)
    (out * data["mixer/dout_weight"].to(dtype)).sum().backward()
    torch.testing.assert_close(out.detach(), data[f"mixer/out_{precision}"], rtol=0, atol=TOLERANCE[precision])
    torch.testing.assert_close(s.grad, data[f"mixer/din_{precision}"], rtol=0, atol=TOLERANCE[precision])


def test_swapped_directions_are_the_reversed_sequence(golden):
    data = golden.read("mixer_t")
    mixer = golden.model().layers[0].mixer
    s = data["mixer/in"].double()
    with torch.no_grad():
        swapped, reversed_twice = mixer(s, swap=True), mixer(s.flip(1)).flip(1)
    torch.testing.assert_close(swapped, reversed_twice, rtol=0, atol=1e-13)
    assert (swapped - data["mixer/out_f64"]).abs().max() > 1e-3
