"""The documentation is run: every shell and Python block of the README and of docs/, page by page, in order.

A block that needs what a test machine hasn't is preceded by `<!-- not run: the reason -->`.
"""

from __future__ import annotations

import importlib
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"(<!-- not run: [^>]+-->\n)?```(sh|python)\n(.*?)```", re.DOTALL)


def blocks(page: Path) -> list[tuple[str, str]]:
    """(language, code) of the blocks of a page that are to be run."""
    return [(language, code) for skip, language, code in BLOCK.findall(page.read_text()) if not skip]


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page)], ids=lambda page: page.name)
def test_the_page_does_what_it_says(page: Path, tmp_path: Path) -> None:
    if any("inversynth train" in code for _, code in blocks(page)):
        pytest.importorskip("keras", reason="training needs Keras (the extra `train`)")
    if any("--engine ray" in code for _, code in blocks(page)):
        pytest.importorskip("ray", reason="needs the extra `ray`")
    if any("--baselines" in code for _, code in blocks(page)):
        pytest.importorskip("cma", reason="needs the extra `baselines`")
    shutil.copy(ROOT / "demo" / "recording.flac", tmp_path / "sound.flac")
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    for language, code in blocks(page):
        command = ["sh", "-e", "-c", code] if language == "sh" else [sys.executable, "-c", code]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=600)
        assert done.returncode == 0, f"{code}\n{done.stdout}{done.stderr}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_to_a_file_leads_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#:\s]+)\)|src=\"([^\":]+)\"", page.read_text()):
        assert (page.parent / (target[0] or target[1])).exists(), target


def test_the_figures_of_the_readme_are_those_of_the_cards() -> None:
    cards = [json.loads((ROOT / "models" / name / "card.json").read_text()) for name in ("paper", "paper-c6xl")]
    found = [card["measures"] for card in cards]
    rows = {
        "mean percentile rank": [each["mean_mpr"]["unmasked"] for each in found] + [found[0]["chance_mpr"]],
        **{
            title: [100 * each["sound"][key][kind] for each in found] + [100 * found[0]["chance_sound"][key][kind]]
            for title, key, kind in (
                ("correlation of the log spectrograms, mean", "rho_stft", "mean"),
                ("correlation of the log spectrograms, median", "rho_stft", "median"),
                ("correlation of the spectra, mean", "rho_ft", "mean"),
            )
        },
    }
    readme = (ROOT / "README.md").read_text()
    for name, figures in rows.items():
        row = re.search(rf"\| {name} \| ([\d.]+) \| ([\d.]+) \| [\d.]+ \| ([\d.]+) \|", readme)
        assert row, name
        assert [float(figure) for figure in row.groups()] == [round(figure, 2) for figure in figures]
    assert f"{cards[0]['training']['sounds']:,.0f} fresh sounds" in readme
    assert f"{found[0]['num_examples']:,} more" in readme


def test_the_tables_of_the_datasets_page_are_those_of_the_benchmark(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    benchmark = importlib.import_module("dataset")
    found = json.loads((ROOT / "benchmarks" / "dataset.json").read_text())
    page = (ROOT / "docs" / "datasets.md").read_text()
    assert benchmark.markdown(found) in page
    assert benchmark.rewritten(page, found) == page


FIGURES = {
    "render": "bank",
    "evaluation": "evaluation",
    "play": "play",
    "refine": "refine",
    "objectives": "refine",
    "onset": "live",
    "confidence": "live",
    "false_moves": "live",
    "live": "stage",
}
"""Benchmarks, and the pages that their figures are on."""


@pytest.mark.parametrize(("name", "on"), FIGURES.items(), ids=FIGURES)
def test_the_figures_of_a_page_are_those_of_the_benchmark(name: str, on: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    found = json.loads((ROOT / "benchmarks" / f"{name}.json").read_text())
    markdown = importlib.import_module(name).markdown(found)
    page = (ROOT / "docs" / f"{on}.md").read_text()
    assert markdown in page
    assert importlib.import_module("pages").rewritten(page, f"benchmarks/{name}.json", markdown) == page
