"""The folder tree is the architecture: imports go down the floors, and in no circle. Imports for types count."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "python" / "ssamba"

# What may import what: only things on a lower floor, or its own room. The package itself is `ssamba`, its public names.
FLOORS = (
    ("__main__",),
    ("cli",),
    ("bench", "demo"),
    ("training",),
    ("ssamba",),
    ("model", "data"),
    ("objectives", "inference"),
    ("checkpoints",),
    ("encoder",),
    ("audio",),
    ("config",),
    ("ssamba_ops",),
)


def modules() -> dict[str, Path]:
    """Every file by its dotted name; `ssamba` is the package itself, a room's `__init__` the room."""
    files = {}
    for file in PACKAGE.rglob("*.py"):
        parts = file.relative_to(PACKAGE).with_suffix("").parts
        files[".".join(part for part in ("ssamba", *parts) if part != "__init__")] = file
    return files


def imports(name: str, file: Path, known: dict[str, Path]) -> Iterator[str]:
    """The modules of this repository that a file imports, anywhere in it."""
    package = name if file.name == "__init__.py" else name.rpartition(".")[0]
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            targets = [(alias.name, ()) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1]
            base = ".".join(above) if node.level else ""
            targets = [(".".join(filter(None, (base, node.module))), [alias.name for alias in node.names])]
        else:
            continue
        for module, names in targets:
            if module.split(".")[0] == "ssamba_ops":
                yield "ssamba_ops"
            elif module in known:
                inside = [f"{module}.{one}" for one in names if f"{module}.{one}" in known]
                yield from inside or [module]


def graph() -> dict[str, set[str]]:
    known = modules()
    return {name: set(imports(name, file, known)) - {name} for name, file in known.items()}


def room(module: str) -> str:
    return module.split(".")[1] if module.startswith("ssamba.") else module


def floor(module: str) -> int:
    found = [number for number, rooms in enumerate(FLOORS) if room(module) in rooms]
    assert found, f"{module} is in no room that FLOORS knows"
    return found[0]


def test_arrows_go_down():
    wrong = [
        f"{module} imports {target}"
        for module, targets in graph().items()
        for target in sorted(targets)
        if room(module) != room(target) and floor(target) <= floor(module)
    ]
    assert not wrong, wrong


def circle(arrows: dict[str, set[str]]) -> list[str]:
    """A way from a module back to it, or nothing."""
    done: set[str] = set()

    def walk(module: str, way: list[str]) -> list[str]:
        if module in way:
            return [*way[way.index(module) :], module]
        if module not in done:
            for target in sorted(arrows.get(module, ())):
                if found := walk(target, [*way, module]):
                    return found
            done.add(module)
        return []

    return next(filter(None, (walk(module, []) for module in sorted(arrows))), [])


def test_no_circle():
    assert not circle(graph())


@pytest.mark.parametrize(
    ("arrows", "found"),
    [({"a": {"b"}, "b": {"c"}, "c": {"b"}}, ["b", "c", "b"]), ({"a": {"b", "c"}, "b": {"c"}, "c": set()}, [])],
)
def test_circles_are_found(arrows, found):
    assert circle(arrows) == found


def test_imports_are_seen(tmp_path):
    """Relative ones, those for types, those inside of functions, and modules imported from their room."""
    file = tmp_path / "x.py"
    file.write_text(
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from ..model import SSAMBA\n"
        "def f():\n    from . import parts\n    import ssamba.config\n    from ssamba_ops import bi_scan\n"
    )
    known = dict.fromkeys(("ssamba.model", "ssamba.inference", "ssamba.inference.parts", "ssamba.config"), file)
    found = set(imports("ssamba.inference.x", file, known))
    assert found == {"ssamba.model", "ssamba.inference.parts", "ssamba.config", "ssamba_ops"}


def test_tests_mirror_the_tree():
    rooms = {path.name for path in PACKAGE.iterdir() if (path / "__init__.py").is_file()}
    assert {name for name in rooms if not (ROOT / "tests" / name).is_dir()} == set()
    assert rooms <= {name for rooms in FLOORS for name in rooms}
