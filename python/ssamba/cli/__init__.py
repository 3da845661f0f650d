"""The command `ssamba`: one verb for each thing a person does with the package."""

from __future__ import annotations

import sys
import traceback
from importlib import import_module

from ..inference.memory import keep_freed_memory
from .arguments import Parser, UsageError
from .signals import stopping
from .streams import output_fault, usable_streams

VERBS = {
    "prepare": "turn a downloaded data set into manifests",
    "pretrain": "learn from unlabelled audio",
    "finetune": "train a classifier, from a pretrained model or from scratch",
    "repeat": "fine-tune and test over folds and seeds",
    "evaluate": "measure a fine-tuned model on labelled audio",
    "predict": "labels and scores of audio files",
    "embed": "features of audio files, for use elsewhere",
    "convert": "a checkpoint of the published code to this package's form",
    "stats": "mean and standard deviation of a data set",
    "bench": "time and memory, beside other models and the machine's limits",
    "doctor": "what is installed, and does it work here",
    "demo": "the whole story on spoken words made on the spot",
}

MEANT = {"train": "pretrain or finetune"}


def main(argv: list[str] | None = None) -> int:
    """Run the command line; returns the exit code.

    0 done, 1 failed or incomplete (also: standard output cannot be written), 2 wrong use, 128 + number of the signal
    that stopped it.
    """
    argv = _with_dashes(sys.argv[1:] if argv is None else argv)
    with usable_streams(), stopping():
        code, text = _outcome(argv)
        if fault := output_fault():
            code, text = 1, fault
        if text:
            print(f"ssamba: {'' if code >= 128 else 'error: '}{' '.join(text.split())}", file=sys.stderr)
        return code


def _outcome(argv: list[str]) -> tuple[int, str]:
    """The exit code, and what to say about it; a bug is raised."""
    try:
        return _run(argv), ""
    except SystemExit as stop:  # argparse, after --help or --version
        return int(stop.code or 0), ""
    except (Exception, KeyboardInterrupt) as error:
        code = 1 if output_fault() else _exit_code(error)
        if code is None:
            raise
        if "--debug" in argv:
            traceback.print_exc()
        return code, _message(error)


def _exit_code(error: BaseException) -> int | None:
    """The exit code of an error whose message is meant for the user; None for a bug."""
    if hasattr(error, "exit_code"):  # Stopped, Interrupted, NonFiniteError
        return error.exit_code
    if isinstance(error, KeyboardInterrupt):
        return 130
    return 2 if isinstance(error, (UsageError, ValueError, OSError, ImportError)) else None


def _message(error: BaseException) -> str:
    """What the error says; an error of the system says which file it is about first, and without its number."""
    if isinstance(error, KeyboardInterrupt):
        return ": ".join([*map(str, error.args), "stopped"])
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename}: {error.strerror}"
    return str(error)


def _run(argv: list[str]) -> int:
    argv = {"help": [*argv[1:2], "--help"], "version": ["--version"]}.get(argv[0], argv) if argv else argv
    verb = next((argument for argument in argv if not argument.startswith("-")), None)
    parser = _parser()
    if verb is None or argv[0] != verb:
        parser.parse_args(argv)  # --help, --version, or an error
        parser.print_help()
        return 2
    if verb not in VERBS:
        if verb in MEANT:
            raise UsageError(f"unknown verb {verb}; did you mean {MEANT[verb]}? see ssamba --help")
        raise UsageError.unknown("verb", verb, VERBS, "see ssamba --help")
    module = import_module(f".{verb}", __name__)
    verb_parser = Parser(
        prog=f"ssamba {verb}",
        description=module.DESCRIPTION,
        epilog=f"example:\n{module.EXAMPLE}",
    )
    module.add_arguments(verb_parser)
    verb_parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    args = verb_parser.parse_args(argv[1:])
    keep_freed_memory()
    return module.run(args)


def _parser() -> Parser:
    width = max(map(len, VERBS))
    listing = "\n".join(f"  {verb:{width}}  {summary}" for verb, summary in VERBS.items())
    parser = Parser(
        prog="ssamba",
        usage="ssamba VERB [options]",
        description="Self-supervised audio models with bidirectional Mamba.",
        epilog=f"verbs:\n{listing}\n\nssamba VERB --help explains a verb and shows an example.",
    )
    parser.add_argument("--version", action="version", version=f"ssamba {_version()}")
    return parser


def _version() -> str:
    from importlib import metadata

    try:
        return metadata.version("ssamba")
    except metadata.PackageNotFoundError:
        return "(run from source, not installed)"


def _with_dashes(argv: list[str]) -> list[str]:
    """--batch_size means --batch-size."""
    named = [argument.partition("=") for argument in argv]
    return [
        name.replace("_", "-") + is_ + value if name.startswith("--") else name + is_ + value
        for name, is_, value in named
    ]
