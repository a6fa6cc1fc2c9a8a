"""The rooms of the package: each imports only what stands above it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "src" / "inversynth"
ROOMS = [
    "version",
    "errors",
    "_native",
    "spec",
    "system",
    "metrics",
    "audio",
    "midi",
    "networks",
    "synths",
    "search",
    "dataset",
    "predict",
    "training",
    "matching",
    "evaluation",
    "live",
    "cli",
]
"""From the top; a module of the package's own folder is a room, too."""


def room_of(module: str) -> str:
    return module.split(".")[0]


MODULES = {
    ".".join(file.relative_to(PACKAGE).with_suffix("").parts): file
    for file in sorted(PACKAGE.rglob("*.py"))
    if file.parent != PACKAGE or file.stem in ROOMS
}


def imported(module: str, file: Path) -> Iterator[str]:
    """The modules of this package that one imports, anywhere in it, as paths below the package."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.level:
            base = module.split(".")[: -node.level]
            path = [*base, *(node.module.split(".") if node.module else [])]
            yield from [".".join([*path, alias.name]) for alias in node.names] if not path else [".".join(path)]


@pytest.mark.parametrize("module", MODULES)
def test_a_module_imports_only_what_stands_above_it(module: str) -> None:
    own = ROOMS.index(room_of(module))
    below = [path for path in imported(module, MODULES[module]) if ROOMS.index(room_of(path)) > own]
    assert not below


def test_every_room_is_in_the_order() -> None:
    rooms = {path.name for path in PACKAGE.iterdir() if path.is_dir() and (path / "__init__.py").exists()}
    assert rooms <= set(ROOMS)


def test_training_and_the_live_path_never_import_each_other() -> None:
    for module, file in MODULES.items():
        heavy = {"training": ("live", "midi"), "live": ("training", "networks")}.get(room_of(module), ())
        assert not [path for path in imported(module, file) if path.startswith(heavy)], module


@pytest.mark.parametrize("module", [module for module in MODULES if not module.startswith("synths")])
def test_no_generic_room_imports_a_synth_of_its_own(module: str) -> None:
    own = ("synths.paper", "synths.sine")
    assert not [path for path in imported(module, MODULES[module]) if path.startswith(own)]
