"""The numbers of the demo: how much sound, which model, how long it trains."""

from __future__ import annotations

from dataclasses import dataclass, field

from .spoken_words import SpokenWordsSettings

# A patch spans all mel bins and 40 ms, so that a clip of one second is a sequence of 24 tokens.
MODEL = {
    "embed_dim": 96,
    "depth": 8,
    "drop_path": 0.0,
    "fshape": 128,
    "fstride": 128,
    "tshape": 4,
    "tstride": 4,
    "input_tdim": 98,
}
# At the published weight of 10, rebuilding drowns telling apart, and fewer words are recognised.
OBJECTIVE = {"masked_patches": 12, "masking": "frame", "generative_weight": 1.0}


@dataclass(frozen=True)
class Recipe:
    """Sizes of one demo; the fields named *_settings are keywords of the training settings."""

    sounds: SpokenWordsSettings
    pretrain_settings: dict
    finetune_settings: dict
    labels_per_word: int = 10
    model_settings: dict = field(default_factory=lambda: dict(MODEL))


def recipe(quick: bool, seed: int) -> Recipe:
    """The full demo (at most 12 minutes on two cores) or the quick one (at most 3)."""
    common = {"batch_size": 64, "learning_rate": 1e-3, "beta1": 0.9, "beta2": 0.98, **OBJECTIVE}
    finetune = {"batch_size": 20, "learning_rate": 2e-3, "beta1": 0.9, "beta2": 0.98}
    if quick:
        return Recipe(
            SpokenWordsSettings(variants=(4, 1, 2), seed=seed),
            {**common, "max_steps": 400, "validate_every": 100},
            {**finetune, "max_steps": 250, "validate_every": 50},
        )
    return Recipe(
        SpokenWordsSettings(variants=(6, 2, 3), seed=seed),
        {**common, "max_steps": 1600, "validate_every": 200},
        {**finetune, "max_steps": 500, "validate_every": 50},
    )
