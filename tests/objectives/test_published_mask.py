"""The published mask rule in its batched form: same distribution as the published sampler, always an end."""

from __future__ import annotations

from random import Random

import numpy as np
import pytest
import torch

from ssamba.config import SSAMBAConfig
from ssamba.objectives.masking import published_clusters, sample_mask

DRAWS = 6000


@pytest.mark.parametrize("masked", [250, 300, 400])
def test_chance_of_every_patch(golden, masked):
    """Both sides are means of 6000 draws. z of patches: mean square about 1, none far out; z of bands: none far out."""
    wanted = golden.read("masks")[f"prob512_k{masked}"].double()
    mask = torch.cat([published_clusters(1000, 8, 64, masked, 3, 5, seed) for seed in range(DRAWS // 1000)])
    assert (mask.sum(1) == masked).all()
    found = mask.double().mean(0)
    assert found[0] == wanted[0] == found[511] == wanted[511] == 0  # never covered; always among those let go
    z = ((found - wanted) / (2 * wanted * (1 - wanted) / DRAWS).sqrt())[1:511]
    assert z.abs().max() < 5
    assert 0.7 < z.square().mean() < 1.4
    bands = mask.double().unflatten(1, (8, 64)).mean(2)  # (draws, 8)
    z = (bands.mean(0) - wanted.unflatten(0, (8, 64)).mean(1)) / (bands.var(0) * 2 / DRAWS).sqrt()
    assert z.abs().max() < 4.5


def one_by_one(random, rows, columns, masked):
    """The published rule for one clip, with a set, its lowest members kept."""
    side, hidden = 3 + random.randrange(3), set()
    while len(hidden) <= masked:
        start = random.randrange(rows * columns)
        places = [start + columns * i + j for i in range(side) for j in range(side)]
        hidden |= {place for place in places if 0 < place < rows * columns}
    return sorted(hidden)[:masked]


@pytest.mark.parametrize(
    ("name", "columns", "masked"), [*[("patch512", 64, k) for k in (100, 250, 300, 400)], ("patch128_pt16", 16, 50)]
)
def test_the_rule_gives_the_golden_draws(golden, name, columns, masked):
    """The oracle of the test below, with the generator of the published code."""
    drawn = golden.read("masks")
    for seed in range(3):
        assert one_by_one(Random(seed), 8, columns, masked) == drawn[f"{name}_k{masked}_seed{seed}"].tolist()


def test_pairs_of_patches_on_another_grid():
    """How often neighbours are hidden together, on 5 x 9 patches, where squares often wrap and are cut."""
    random, wanted = Random(0), np.zeros((3000, 45))
    for clip in wanted:
        clip[one_by_one(random, 5, 9, 12)] = 1
    found = published_clusters(3000, 5, 9, 12, 3, 5, seed=1).double().numpy()
    for step in (1, 2, 9, 10, 18, 36):
        together = [(clips[:, step:] * clips[:, :-step]).mean(0) for clips in (found, wanted)]
        spread = np.sqrt(together[1] * (1 - together[1]) * 2 / 3000) + 1e-3
        assert np.abs((together[0] - together[1]) / spread).max() < 4.5, step


def test_named_option_of_the_configuration():
    config = SSAMBAConfig.tiny(masking="published_cluster", masked_patches=300)
    mask = sample_mask(config, 4, 64, seed=2)
    assert torch.equal(mask, published_clusters(4, 8, 64, 300, 3, 5, 2))
    assert torch.equal(mask, sample_mask(config, 4, 64, seed=2))
    assert not torch.equal(mask, sample_mask(config, 4, 64, seed=3))
    assert not torch.equal(mask[0], mask[1])
    assert SSAMBAConfig().masking == "cluster"
    shorter = sample_mask(config, 2, 64, torch.tensor([64, 32]), seed=2).unflatten(1, (8, 64))
    assert shorter.sum((1, 2)).tolist() == [300, 150]
    assert not shorter[1, :, 32:].any()


@pytest.mark.parametrize(("rows", "columns", "masked"), [(8, 64, 510), (2, 2, 2), (1, 3, 1), (8, 5, 38)])
def test_ends_with_as_much_hidden_as_can_be(rows, columns, masked):
    mask = published_clusters(20, rows, columns, masked, 3, 5, seed=0)
    assert (mask.sum(1) == masked).all()
    assert not mask[:, 0].any()


@pytest.mark.parametrize("masked", [511, 512, 600])
def test_what_never_ends_in_the_published_code_is_refused(masked):
    message = rf"masked_patches is {masked}, but the published cluster rule covers only patches 1 to 511 .* 510 at most"
    with pytest.raises(ValueError, match=message):
        published_clusters(2, 8, 64, masked, 3, 5, seed=0)
    with pytest.raises(ValueError, match=r"masked_patches is 400, .* 8 x 50 = 400 patches"):
        sample_mask(SSAMBAConfig.tiny(masking="published_cluster"), 2, 50)
    with pytest.raises(ValueError, match=r"masked_patches is 399, .* 398 at most"):
        sample_mask(SSAMBAConfig.tiny(masking="published_cluster", masked_patches=399), 2, 50)
