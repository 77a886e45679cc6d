"""The bench's cases: a file each, which registers itself. A case is a generator of Rows, called once a round."""
import importlib, pkgutil

CASES = {}  # name → (title, generator)


def case(name, title):
    """Registers a case."""

    def register(rows):
        CASES[name] = (title, rows)
        return rows

    return register


def load():
    """Imports all files of this folder."""
    for module in pkgutil.iter_modules(__path__):
        importlib.import_module(f"cases.{module.name}")
    return CASES
