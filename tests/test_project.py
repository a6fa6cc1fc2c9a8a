"""What a stranger meets first: the documentation site, how to contribute, forms, workflows, how to cite."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from types import ModuleType

import pytest

import inversynth

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]

# -- forms, workflows, citation -----------------------------------------------------------------------

SCHEMAS = {
    "vendor.github-workflows": sorted((ROOT / ".github" / "workflows").glob("*.yml")),
    "vendor.github-issue-forms": sorted(
        path for path in (ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml") if path.name != "config.yml"
    ),
    "vendor.github-issue-config": [ROOT / ".github" / "ISSUE_TEMPLATE" / "config.yml"],
    "vendor.dependabot": [ROOT / ".github" / "dependabot.yml"],
    "vendor.citation-file-format": [ROOT / "CITATION.cff"],
}
"""Schemas that check-jsonschema carries with it, and the files that are to follow them."""


def checked(schema: str, *files: Path) -> subprocess.CompletedProcess[str]:
    pytest.importorskip("check_jsonschema", reason="needs the extra `dev`")
    words = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", schema, *map(str, files)]
    return subprocess.run(words, capture_output=True, text=True, timeout=120)


@pytest.mark.parametrize("schema", SCHEMAS)
def test_what_github_reads_follows_its_schema(schema: str) -> None:
    assert SCHEMAS[schema]
    done = checked(schema, *SCHEMAS[schema])
    assert done.returncode == 0, done.stdout


def test_every_file_that_github_reads_is_checked() -> None:
    files = {path for suffix in ("yml", "yaml") for path in (ROOT / ".github").rglob(f"*.{suffix}")}
    assert files == {path for paths in SCHEMAS.values() for path in paths} - {ROOT / "CITATION.cff"}


def test_a_workflow_with_a_wrong_key_would_be_found(tmp_path: Path) -> None:
    wrong = tmp_path / "ci.yml"
    wrong.write_text((ROOT / ".github" / "workflows" / "ci.yml").read_text().replace("runs-on:", "run-on:"))
    assert checked("vendor.github-workflows", wrong).returncode == 1


def test_the_files_that_a_workflow_names_are_there() -> None:
    for workflow in SCHEMAS["vendor.github-workflows"]:
        for name in re.findall(r"\b(?:tests|demo|benchmarks|scripts)/[\w./-]+", workflow.read_text()):
            assert (ROOT / name).exists(), f"{workflow.name}: {name}"


def test_the_citation_is_of_this_version() -> None:
    text = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert f"\nversion: {inversynth.__version__}\n" in text
    assert f"\nlicense: {PROJECT['license']}\n" in text
    assert "1812.06349" in text


def test_the_changelog_has_this_version_and_what_comes_next() -> None:
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    versions = re.findall(r"^## \[([^]]+)\]", text, re.MULTILINE)
    assert versions[0] == "Unreleased"
    assert inversynth.__version__ in versions
    assert set(re.findall(r"^\[([^]]+)\]: ", text, re.MULTILINE)) == set(versions)


# -- contributing -------------------------------------------------------------------------------------


def test_contributing_names_every_room_and_every_target_of_make() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    rooms = {path.parent.name for path in (ROOT / "src" / "inversynth").glob("*/__init__.py")}
    assert [room for room in sorted(rooms) if f"`{room}/`" not in text] == []
    targets = re.findall(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)[0].split()
    assert {"lint", "docs", "bench"} <= set(targets)
    assert [target for target in targets if target != "clean" and f"`make {target}`" not in text] == []


# -- the site -----------------------------------------------------------------------------------------


def build(folder: Path, out: Path) -> subprocess.CompletedProcess[str]:
    pytest.importorskip("mkdocs", reason="needs the extra `docs`")
    pytest.importorskip("material", reason="needs the extra `docs`")
    pytest.importorskip("mkdocstrings", reason="needs the extra `docs`")
    words = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(out)]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    return subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True, timeout=300)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("site")
    done = build(ROOT, out)
    assert done.returncode == 0, done.stdout + done.stderr
    return out


@pytest.fixture
def hooks() -> ModuleType:
    pytest.importorskip("mkdocs", reason="needs the extra `docs`")
    spec = importlib.util.spec_from_file_location("site_hooks", ROOT / "scripts" / "site_hooks.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_site_has_every_page_of_the_docs_and_every_public_module(site: Path, hooks: ModuleType) -> None:
    pages = {path.relative_to(ROOT / "docs").with_suffix(".html") for path in (ROOT / "docs").rglob("*.md")}
    pages |= {Path(page).with_suffix(".html") for page in hooks.TOP.values()}
    built = {path.relative_to(site) for path in site.rglob("*.html")}
    assert sorted(pages - built) == []
    modules = {path.stem for path in (site / "reference").glob("*.html")}
    assert modules == set(hooks.modules())
    assert {"inversynth", "inversynth.errors", "inversynth.live", "inversynth.synths.sine"} <= modules
    assert not [name for name in modules if "._" in name]


def test_the_reference_has_what_docstrings_say(site: Path) -> None:
    text = re.sub(r"<[^>]+>", "", (site / "reference" / "inversynth.errors.html").read_text(encoding="utf-8"))
    doc = inversynth.errors.MismatchError.__doc__
    assert doc is not None
    assert doc.split("\n")[0] in text


def test_a_page_of_the_site_loads_nothing_from_elsewhere(site: Path) -> None:
    loading = re.compile(
        r'<(?:script|img|iframe|source)[^>]*\bsrc="https?:|<link[^>]*rel="stylesheet"[^>]*href="https?:'
    )
    pages = list(site.rglob("*.html"))
    assert len(pages) > 20
    assert [page.name for page in pages if loading.search(page.read_text(encoding="utf-8"))] == []


def test_links_that_leave_the_docs_lead_to_the_same_page_of_the_site_or_to_the_repository(hooks: ModuleType) -> None:
    repository = "https://example.org/it"

    def moved(link: str, source: str) -> str:
        return str(hooks.moved(f"[a]({link})", source, repository))[4:-1]

    assert moved("docs/live.md#modes", "README.md") == "live.md#modes"
    assert moved("CONTRIBUTING.md", "README.md") == "contributing.md"
    assert moved("../../CONTRIBUTING.md", "docs/tutorials/player.md") == "../contributing.md"
    assert moved("../live.md", "docs/tutorials/player.md") == "../live.md"
    assert moved("../README.md#install", "docs/live.md") == "index.md#install"
    assert moved("../tests/reference.py", "docs/synth.md") == f"{repository}/blob/main/tests/reference.py"
    assert moved("demo", "README.md") == f"{repository}/tree/main/demo"
    for left in ("https://example.org/x", "#modes", "nowhere.md", "../../outside.md"):
        assert moved(left, "README.md") == left


def test_a_link_that_leads_nowhere_fails_the_build(tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    for name in ("docs", "scripts", "src", "models", "demo"):
        ignored = shutil.ignore_patterns("*.so", "__pycache__", "*.egg-info", "*.onnx")
        shutil.copytree(ROOT / name, copy / name, ignore=ignored)
    for path in [*ROOT.glob("*.md"), ROOT / "mkdocs.yml", ROOT / "LICENSE", ROOT / "CITATION.cff"]:
        shutil.copy(path, copy)
    for name in ("ext", "tests", "benchmarks"):
        (copy / name).symlink_to(ROOT / name, target_is_directory=True)
    page = copy / "docs" / "older-options.md"
    page.write_text(page.read_text() + "\n[a](nowhere.md), [b](bank.md#nowhere), [c](../src/nowhere.py)\n")
    done = build(copy, tmp_path / "site")
    assert done.returncode == 1
    assert "Aborted with 3 warnings in strict mode!" in done.stdout + done.stderr
