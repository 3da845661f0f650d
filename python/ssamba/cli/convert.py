"""`ssamba convert`."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from ..training.options import at_home
from .arguments import Parser

if TYPE_CHECKING:
    from ..model import SSAMBA

DESCRIPTION = """\
Turn a checkpoint of the published SSAMBA code (.pth) into a directory that
every verb and SSAMBA.from_pretrained read. Sizes and norm are read from the
file; the result is read back and compared bit by bit. A pretraining checkpoint
is carried over to another length or strides if asked. A fine-tuned one does
not say its input length and strides: if they cannot be told from its position
table, give those that it was fine-tuned with."""

EXAMPLE = """\
  ssamba convert ssamba_base_400.pth pretrained/
  ssamba convert esc50.pth esc50/ --input-tdim 512 \\
      --mean -6.6268077 --std 5.358466"""

OPTIONS = {
    "input_tdim": (int, "N", "frames of input, 10 ms each"),
    "fstride": (int, "N", "mel bins between patches"),
    "tstride": (int, "N", "frames between patches"),
    "mean": (float, "X", "mean of the log-mel it was trained on (default: AudioSet's)"),
    "std": (float, "X", "standard deviation of the log-mel (default: AudioSet's)"),
}


def add_arguments(parser: Parser) -> None:
    parser.add_argument("checkpoint", type=at_home, metavar="CHECKPOINT", help="published checkpoint (.pth)")
    parser.add_argument("out", type=at_home, metavar="OUT", help="directory to write, new or empty")
    for name, (kind, metavar, about) in OPTIONS.items():
        parser.add_argument("--" + name.replace("_", "-"), type=kind, metavar=metavar, help=about)


def run(args: Namespace) -> int:
    out = Path(args.out)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ValueError(f"{out} exists and is not an empty directory; choose another place for the converted model")
    from ..model import SSAMBA

    options = {name: getattr(args, name) for name in OPTIONS if getattr(args, name) is not None}
    model = SSAMBA.from_official(args.checkpoint, **options)
    model.save_pretrained(out)
    written = SSAMBA.from_pretrained(out).state_dict()
    differing = [name for name, tensor in model.state_dict().items() if not tensor.equal(written[name])]
    if differing:
        raise OSError(f"{out} does not hold what was written to it: {', '.join(differing)} read back differently")
    print("\n".join(summary(model, out)))
    return 0


def summary(model: SSAMBA, out: Path) -> list[str]:
    """What was found and what became of it."""
    config = model.config
    lines = [
        f"{out}: {'pretraining' if model.head is None else 'fine-tuned'} model; every tensor read back is the same",
        f"network    {config.depth} layers of width {config.embed_dim}, {config.norm}",
        f"input      {config.input_tdim} frames x {config.input_fdim} mel bins, mean {config.mean}, std {config.std}",
        f"patches    {config.fshape} x {config.tshape}, strides {config.fstride} x {config.tstride}: "
        f"{config.grid[0]} x {config.grid[1]}",
    ]
    if model.head is not None:
        lines += [
            f"classes    {config.num_classes}",
            "untrained  prediction heads and mask token, which the file has not",
        ]
    if model.unused_head:
        lines.append("left out   the 1000-class head that nothing reads")
    return lines
