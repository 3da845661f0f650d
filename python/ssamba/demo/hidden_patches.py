"""Pictures of what pretraining does: a clip, the part that was hidden, and what the model filled in."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from ssamba import SSAMBA
from ssamba.audio.reading import read_audio

from .report import Example


def fill_in(model: SSAMBA, wave: np.ndarray, title: str, seed: int) -> Example:
    """Hides patches of one wave (samples,) and lets a pretrained `model` rebuild them.

    Raises ValueError if the model was pretrained without the generative objective.
    """
    config = model.config
    if config.objective == "discriminative":
        raise ValueError("the model was pretrained with the discriminative objective alone and cannot fill patches in")
    model.eval()
    with torch.inference_mode():
        x, _ = model.features(torch.from_numpy(wave)[None])
        output = model.pretrain_loss(x, seed=seed)
    log_mel = (x[0] * 2 * config.std + config.mean).numpy()  # (T, F)
    rebuilt = (output.reconstruction[0] * 2 * config.std + config.mean).numpy()  # (K, fshape * tshape)
    hidden, filled_in = np.zeros(log_mel.shape, bool), log_mel.copy()
    columns = config.columns(log_mel.shape[0])
    for values, place in zip(rebuilt, output.mask[0].nonzero()[:, 0].tolist(), strict=True):
        first_bin, first_frame = place // columns * config.fstride, place % columns * config.tstride
        cells = np.s_[first_frame : first_frame + config.tshape, first_bin : first_bin + config.fshape]
        filled_in[cells] = values.reshape(config.fshape, config.tshape).T
        hidden[cells] = True
    return Example(title, wave, config.sample_rate, log_mel, hidden, filled_in)


def examples(checkpoint: Path, test: Path, chosen: dict[str, int], seed: int) -> list[Example]:
    """One example per word: chosen["seven"] = 3 takes the fourth test clip of "seven"."""
    model = SSAMBA.from_pretrained(checkpoint)
    made = []
    for word, index in chosen.items():
        clips = sorted((test / word).glob("*.wav"))
        clip = clips[index % len(clips)]
        title = f"“{word}”, voice {clip.stem.rsplit('-', 1)[0]}"
        made.append(fill_in(model, read_audio(str(clip), model.config.sample_rate), title, seed))
    return made
