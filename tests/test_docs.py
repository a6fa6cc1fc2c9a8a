"""The documentation is run: every shell and Python block of the README and of docs/ and below, page by page, in order.

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
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
TOP = [ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", ROOT / "SECURITY.md"]
BLOCK = re.compile(r"(<!-- not run: [^>]+-->\n)?```(sh|python)(?: title=\"([\w.]+)\")?\n(.*?)```", re.DOTALL)


def blocks(page: Path) -> list[tuple[str, str]]:
    """(language, code) of the blocks of a page that are to be run; one with a title is a file, which is to be saved."""
    found = BLOCK.findall(page.read_text())
    return [(title or language, code) for skip, language, title, code in found if not skip]


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page)], ids=lambda page: page.name)
def test_the_page_does_what_it_says(page: Path, tmp_path: Path) -> None:
    if any("inversynth train" in code for _, code in blocks(page)):
        pytest.importorskip("keras", reason="training needs Keras (the extra `train`)")
    if any("--engine ray" in code for _, code in blocks(page)):
        pytest.importorskip("ray", reason="needs the extra `ray`")
    if any("--baselines" in code for _, code in blocks(page)):
        pytest.importorskip("cma", reason="needs the extra `baselines`")
    shutil.copy(ROOT / "demo" / "recording.flac", tmp_path / "sound.flac")
    folder = ROOT if "git clone" in page.read_text() else tmp_path  # what begins with a clone goes on in the checkout
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    for language, code in blocks(page):
        if language not in ("sh", "python"):
            (folder / language).write_text(code)
            continue
        command = ["sh", "-e", "-c", code] if language == "sh" else [sys.executable, "-c", code]
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=600)
        assert done.returncode == 0, f"{code}\n{done.stdout}{done.stderr}"


@pytest.mark.parametrize("page", [*PAGES, *TOP], ids=lambda page: page.name)
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


FIGURES = {
    "render": "bank",
    "scoring": "bank",
    "evaluation": "evaluation",
    "play": "play",
    "refine": "refine",
    "objectives": "refine",
    "onset": "live",
    "confidence": "live",
    "false_moves": "live",
    "live": "stage",
    "models": "models",
    "recordings": "recordings",
    "dataset": "datasets",
}
"""Benchmarks, and the pages that their figures are on."""


def test_every_benchmark_with_figures_has_a_page() -> None:
    assert {path.stem for path in (ROOT / "benchmarks").glob("*.json")} == set(FIGURES)


@pytest.mark.parametrize(("name", "on"), FIGURES.items(), ids=FIGURES)
def test_the_figures_of_a_page_are_those_of_the_benchmark_with_their_commit_and_machine(
    name: str, on: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    found = json.loads((ROOT / "benchmarks" / f"{name}.json").read_text())
    pages = importlib.import_module("pages")
    figures = pages.dated(importlib.import_module(name).markdown(found), found)
    assert figures.endswith(f"Measured at commit {found['commit']}.")
    assert {"cpu", "cores", "inversynth"} <= set(found["machine"])
    page = (ROOT / "docs" / f"{on}.md").read_text()
    assert figures in page
    assert pages.rewritten(page, f"benchmarks/{name}.json", figures) == page


def git(*words: str) -> str:
    """What git says in this checkout; skips the test where there is none, or one without its history."""
    try:
        done = subprocess.run(["git", "-C", str(ROOT), *words], capture_output=True, text=True, check=False)
    except OSError:
        pytest.skip("git is not installed")
    if done.returncode:
        pytest.skip(f"no history to look at: git {' '.join(words)}: {done.stderr.strip()}")
    return done.stdout


@pytest.mark.parametrize("name", FIGURES)
def test_the_commit_of_the_figures_is_one_that_they_can_be_of(name: str) -> None:
    """A commit of this history; and figures that are older than their commit ("or before") were the same then."""
    if git("rev-parse", "--is-shallow-repository").strip() == "true":
        pytest.skip("this checkout has no history")
    found = json.loads((ROOT / "benchmarks" / f"{name}.json").read_text())
    commit, *rest = found.pop("commit").split(" ", 1)
    assert rest in ([], ["or before"]), "these figures are of sources that nobody has"
    history = git("rev-list", "HEAD").split()
    assert [full for full in history if full.startswith(commit)]
    if rest:
        then = json.loads(git("show", f"{commit}:benchmarks/{name}.json"))
        assert then == found
