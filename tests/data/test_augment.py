"""Augmentations: distributions, lengths, seeds, and what must stay untouched."""

import pytest
import torch

from ssamba.data import add_noise, mixup, roll, spec_augment


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def features(batch=4, frames=50, bins=16, seed=9):
    return torch.randn(batch, frames, bins, generator=seeded(seed)) + 3.0  # nowhere 0


LENGTHS = torch.tensor([50, 31, 1, 0])


def runs(mask):
    """(first, width) of the true places of each row, which must be one run."""
    width = mask.sum(dim=1)
    first = mask.int().argmax(dim=1)
    place = torch.arange(mask.shape[1])
    assert torch.equal(mask, (place >= first[:, None]) & (place < (first + width)[:, None]))
    return first, width


def test_spec_augment_distribution():
    """Widths uniform over 0..n-1, places uniform over all that fit; 4000 clips at once."""
    x = torch.ones(4000, 30, 16)
    out = spec_augment(x, freq=5, time=7, generator=seeded(1))
    hidden = out == 0
    assert ((out == 0) | (out == 1)).all()
    bins, frames = hidden.all(dim=1), hidden.all(dim=2)
    assert torch.equal(hidden, bins[:, None, :] | frames[:, :, None])
    for mask, widest, room in ((bins, 5, 16), (frames, 7, 30)):
        first, width = runs(mask)
        torch.testing.assert_close(torch.bincount(width) / 4000, torch.full((widest,), 1 / widest), rtol=0, atol=0.03)
        narrow = first[width == 1]
        counts = torch.bincount(narrow, minlength=room) / len(narrow)
        torch.testing.assert_close(counts, torch.full((room,), 1 / room), rtol=0, atol=0.03)
    assert torch.corrcoef(torch.stack([bins.sum(1), frames.sum(1)]).float())[0, 1].abs() < 0.06


def test_spec_augment_lengths():
    hidden = torch.zeros(4, 50, dtype=torch.bool)
    for seed in range(200):
        x = features()
        out = spec_augment(x, freq=0, time=60, generator=seeded(seed), lengths=LENGTHS)
        mask = (out == 0).all(dim=2)
        runs(mask)
        assert torch.equal(out[~mask], x[~mask])
        hidden |= mask
    for row, length in zip(hidden, LENGTHS.tolist(), strict=True):
        assert not row[length:].any()
        if length > 1:
            assert row[:length].all()  # every valid frame is hidden at times, the last too


def test_spec_augment_of_width_zero_changes_nothing():
    assert torch.equal(spec_augment(features(), 0, 0, seeded()), features())
    assert torch.equal(spec_augment(features(), 1, 1, seeded()), features())


def test_noise():
    x = torch.zeros(2000, 20, 8, dtype=torch.float64)
    noise = add_noise(x, 0.4, seeded(1))
    assert noise.abs().max() < 0.2
    assert abs(noise.mean()) < 3e-4
    spread = noise.flatten(1).std(dim=1) * 12**0.5  # of u (U - 1/2) this is u, uniform over 0..0.4
    ranks = torch.sort(spread).values
    torch.testing.assert_close(ranks, torch.linspace(0, 0.4, 2000, dtype=torch.float64), rtol=0, atol=0.035)
    y = add_noise(features(), 0.4, seeded(1), LENGTHS)
    for before, after, length in zip(features(), y, LENGTHS.tolist(), strict=True):
        assert torch.equal(before[length:], after[length:])
        assert (before[:length] != after[:length]).float().mean() > 0.99 or length == 0
    assert torch.equal(add_noise(features(), 0.0, seeded()), features())


def test_roll():
    x = torch.arange(20.0).expand(3000, 20)[:, :, None] + torch.zeros(1, 1, 2)
    out = roll(x, 4, seeded(1))
    shift = (-out[:, 0, 0].long()) % 20
    shift = torch.where(shift > 10, shift - 20, shift)
    for one, by in zip(out[:50], shift[:50].tolist(), strict=True):
        assert torch.equal(one, torch.roll(x[0], by, dims=0))
    counts = torch.bincount(shift + 4, minlength=8)
    assert len(counts) == 8  # -4 .. 3
    torch.testing.assert_close(counts / 3000, torch.full((8,), 1 / 8), rtol=0, atol=0.025)


def test_roll_stays_within_the_valid_frames():
    for seed in range(20):
        x = features()
        out = roll(x, 40, seeded(seed), LENGTHS)
        for before, after, length in zip(x, out, LENGTHS.tolist(), strict=True):
            assert torch.equal(before[length:], after[length:])
            if length:
                assert any(torch.equal(torch.roll(before[:length], by, 0), after[:length]) for by in range(length))
    assert torch.equal(roll(features(), 0, seeded()), features())


def mixed_waves(batch=6, samples=400, seed=3):
    wave = torch.randn(batch, samples, generator=seeded(seed), dtype=torch.float64) + 0.5
    lengths = torch.tensor([400, 100, 250, 399, 1, 300])[:batch]
    wave = wave * (torch.arange(samples) < lengths[:, None])
    return wave, torch.eye(batch, dtype=torch.float64), lengths


def test_mixup_by_hand():
    """Weight and partner are read off the labels; the wave must be that very mixture."""
    wave, labels, lengths = mixed_waves()
    partners = set()
    for seed in range(40):
        out, soft = mixup(wave, labels, 1.0, seeded(seed), lengths)
        torch.testing.assert_close(soft.sum(dim=1), torch.ones(6, dtype=torch.float64))
        for i, n in enumerate(lengths.tolist()):
            weight = soft[i, i].item()
            partner = next((j for j in range(6) if j != i and soft[i, j] > 0), i)
            partners.add((i, partner))
            own, other = wave[i, :n], torch.zeros(n, dtype=torch.float64)
            m = min(n, int(lengths[partner]))
            other[:m] = (wave[partner, : lengths[partner]] - wave[partner, : lengths[partner]].mean())[:m]
            want = weight * (own - own.mean()) + (1 - weight) * other
            torch.testing.assert_close(out[i, :n], want - want.mean(), rtol=0, atol=1e-12)
            assert (out[i, n:] == 0).all()
    assert len(partners) > 30  # of 36


def test_mixup_weights_and_probability():
    wave, labels = torch.randn(4000, 2, generator=seeded()), torch.zeros(4000, 2)
    labels[:, 0] = 1
    labels[::2] = labels[::2].flip(1)
    _, soft = mixup(wave, labels, 0.3, seeded(4))
    weight = soft.max(dim=1).values
    changed = weight < 1
    assert changed.float().mean() == pytest.approx(0.15, abs=0.02)  # half of the partners have the same label
    own = (soft * labels).sum(dim=1)[changed]
    assert own.mean().item() == pytest.approx(0.5, abs=0.02)
    assert own.var().item() == pytest.approx(1 / 84, rel=0.2)  # Beta(10, 10)
    _, same = mixup(wave, labels, 0.0, seeded(4))
    assert torch.equal(same, labels)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_seed_decides_and_the_dtype_stays(dtype):
    x = features().to(dtype)
    wave, labels, lengths = mixed_waves()
    for change in (
        lambda g: spec_augment(x, 8, 20, g, LENGTHS),
        lambda g: add_noise(x, 0.1, g, LENGTHS),
        lambda g: roll(x, 10, g, LENGTHS),
        lambda g: mixup(wave.to(dtype), labels.to(dtype), 0.9, g, lengths)[0],
    ):
        first = change(seeded(1))
        assert first.dtype == dtype
        assert torch.equal(first, change(seeded(1)))
        assert not torch.equal(first, change(seeded(2)))
        torch.manual_seed(1)
        default = change(None)
        torch.manual_seed(1)
        assert torch.equal(default, change(None))
    assert torch.equal(x, features().to(dtype))  # inputs are not written


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda x: spec_augment(x, 17, 0), r"freq must lie in 0..16 .* freq=17"),
        (lambda x: spec_augment(x, 0, -1), "time=-1"),
        (lambda x: spec_augment(x[0], 0, 0), r"x must have shape \(B, T, F\), got \(50, 16\)"),
        (lambda x: add_noise(x, lengths=torch.tensor([1])), r"lengths must be 4 numbers, got shape \(1,\)"),
        (lambda x: add_noise(x, -0.1), "amount must be at least 0"),
        (lambda x: roll(x, -1), "frames must be at least 0"),
        (
            lambda x: mixup(x[:, :, 0], x[:2, 0], 0.5),
            r"wave \(B, samples\) and labels \(B, C\), got \(4, 50\), \(2, 16\)",
        ),
        (lambda x: mixup(x[:, :, 0], x[:, 0], 1.5), "probability must lie in 0..1"),
        (lambda x: mixup(x[:, :, 0], x[:, 0], 0.5, alpha=0.0), "alpha be above 0"),
    ],
)
def test_bad_input_is_refused(change, message):
    with pytest.raises(ValueError, match=message):
        change(features())
