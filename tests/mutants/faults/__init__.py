"""The faults: a file for each source file, or for a few small ones."""

from __future__ import annotations

import importlib
import pkgutil

from mutants.plant import Fault


def all_faults() -> list[Fault]:
    faults: list[Fault] = []
    for module in pkgutil.iter_modules(__path__):
        faults += importlib.import_module(f"{__name__}.{module.name}").FAULTS
    numbers = [fault.number for fault in faults]
    if twice := {number for number in numbers if numbers.count(number) > 1}:
        raise ValueError(f"fault numbers given twice: {sorted(twice)}")
    return sorted(faults, key=lambda fault: fault.number)
