"""How a synth is found: by a name of this package or of an installed one, or as a user's Python file."""

from __future__ import annotations

import dataclasses
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from inversynth import ParamSpace, Synth, synth, synths
from inversynth.errors import InversynthError, UsageError
from inversynth.synths.function import FunctionRenderer

SINE = synths.load("sine")

MINE = """
import numpy as np
from inversynth import AudioFormat, Param, ParamSpace, from_function

SPACE = ParamSpace([Param("level", "a", 0.1, 1.0, role="level"), Param("pitch", "f", 100, 400, "Hz", role="pitch")])

def render(values, notes, sample_rate, samples):
    t = np.arange(samples) / sample_rate
    return values[:, :1] * np.sin(2 * np.pi * values[:, 1:] * 2 ** ((notes[:, :1] - 69) / 12) * t)

SYNTH = from_function("mine", SPACE, AudioFormat(8000, 0.1), render)
"""


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    file = tmp_path / "mine.py"
    file.write_text(MINE)
    return file


def test_the_synths_of_this_package_have_names() -> None:
    assert synths.names()[:2] == ("paper", "sine")
    assert [synths.load(name).name for name in ("paper", "sine")] == ["paper", "sine"]
    assert synths.load() is synths.load("paper") is synth("paper") is synth(synth("paper"))


def test_a_users_file_is_a_synth_of_its_own_function(mine: Path) -> None:
    found = synths.load(mine)
    assert (found.name, len(found.space), found.origin) == ("mine", 2, str(mine.resolve()))
    sounds = found.render([[0.5, 200.0]])
    t = np.arange(800) / 8000
    assert sounds[0] == pytest.approx(0.5 * np.sin(2 * np.pi * 200 * t), abs=1e-6)
    assert synths.load(str(mine)) is found


def test_a_note_reaches_the_function(mine: Path) -> None:
    found = synths.load(mine)
    low, high = found.render([[1.0, 100.0]] * 2, note=[(69, 100, np.inf), (81, 100, np.inf)])
    assert np.array_equal(high, found.render([[1.0, 200.0]])[0])
    assert not np.array_equal(low, high)


def test_a_synth_is_sent_to_another_process_by_where_it_came_from(mine: Path) -> None:
    found = synths.load(mine)
    assert pickle.loads(pickle.dumps(found)) is found
    script = "import pickle, sys; print(pickle.load(sys.stdin.buffer).render([[1, 100]]).shape)"
    done = subprocess.run([sys.executable, "-c", script], input=pickle.dumps(found), capture_output=True)
    assert done.stdout.split() == [b"(1,", b"800)"], done.stderr


def test_one_that_was_made_in_this_process_is_not_sent() -> None:
    with pytest.raises(TypeError, match="put it into a Python file"):
        pickle.dumps(Synth("here", synths.load("sine").space, synths.load("sine").format, synths.load("sine").renderer))


def test_an_installed_package_adds_synths(tmp_path: Path, mine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "packaged.py").write_text(MINE)
    about = tmp_path / "packaged-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: packaged\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text("[inversynth.synths]\nsoft = packaged:SYNTH\npaper = packaged:SYNTH\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert "soft" in synths.names()
    found = synths.load("soft")
    assert (found.name, found.origin) == ("mine", "soft")
    assert len(synths.load("paper").space) == 23, "a package can't take the place of one of ours"


def test_a_name_that_an_artefact_holds_never_runs_a_file(mine: Path) -> None:
    assert synths.find("sine") is synths.load("sine")
    assert synths.find(str(mine)) is None
    assert synths.find("of another machine") is None


@pytest.mark.parametrize(
    ("content", "what"),
    [
        ("x = 1\n", "holds no synth; it must end with SYNTH ="),
        ("SYNTH = 3\n", "holds int where a Synth should be"),
        ("SYNTH = \n", r"line 1 can't be run: SyntaxError"),
        ("import math\n\nmath.sqrt(-1)\n", r"line 3 can't be run: ValueError: "),
        ("import no_such_package\n", r"line 1 can't be run: ModuleNotFoundError: No module named 'no_such_package'"),
        ("raise SystemExit\n", "can't be run: SystemExit"),
    ],
)
def test_a_file_that_is_no_synth_says_why_and_where(tmp_path: Path, content: str, what: str) -> None:
    file = tmp_path / "wrong.py"
    file.write_text(content)
    with pytest.raises(UsageError, match=what):
        synths.load(file)


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"name": ""}, "the name of a synth is empty"),
        ({"name": "two\nlines"}, r"the name of a synth is 'two\\nlines'; leave out what ends a line"),
        ({"name": 3}, "the name of a synth is 3, which is no text"),
        ({"space": list(SINE.space)}, r"sine: its space is \[.*\], not of the class ParamSpace"),
        ({"space": ParamSpace([])}, "sine: its space has no parameters"),
        ({"format": (16000, 0.5)}, r"sine: its format is \(16000, 0.5\), not of the class AudioFormat"),
        ({"note": 69}, "sine: its note is 69, not of the class Note"),
        ({"renderer": FunctionRenderer(lambda *given: 0.0, version="")}, "sine: the version of its renderer is empty"),
    ],
)
def test_what_is_no_part_of_a_synth_is_refused_when_it_is_made(change: dict[str, Any], what: str) -> None:
    with pytest.raises(UsageError, match=what):
        dataclasses.replace(SINE, **change)


def test_what_is_not_there_is_refused_with_what_is() -> None:
    with pytest.raises(UsageError, match=r"no synth 'pape'; there are paper, sine.* or give a Python file"):
        synths.load("pape")
    with pytest.raises(UsageError, match=r"there is no such file"):
        synths.load("not/there.py")


# -- functions -----------------------------------------------------------------------------------


def of(body: str, tmp_path: Path) -> Synth:
    file = tmp_path / f"synth_{abs(hash(body))}.py"
    head, tail = MINE.split("    t = np.arange")
    file.write_text(f"{head}    {body}\n\nSYNTH = from_function" + tail.split("SYNTH = from_function")[1])
    return synths.load(file)


PATCHES = [[0.1 + 0.01 * i, 200.0] for i in range(70)]


def test_a_patch_that_fails_says_why_and_the_others_are_rendered(tmp_path: Path) -> None:
    found = of(
        "return [np.full(samples, np.inf if row[0] < 0.115 else 1) if row[0] > 0.1 else 1 / 0 for row in values]",
        tmp_path,
    )
    rendered = found.render_all(PATCHES)
    assert rendered.failures.keys() == {0, 1}
    assert rendered.failures[0] == "ZeroDivisionError: division by zero"
    assert rendered.failures[1] == "its sound has samples that are NaN or infinite"
    assert (rendered.sounds[:2] == 0).all()
    assert (rendered.sounds[2:] == 1).all()
    with pytest.raises(InversynthError, match="patch 0 of 70 can't be rendered by mine: ZeroDivisionError"):
        found.render(PATCHES)


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ("return np.zeros((len(values), samples + 1))", r"its function gave the shape \(1, 801\), not \(1, 800\)"),
        ("return np.full((len(values), samples), np.nan)", "NaN or infinite"),
        ("return None", r"its function gave the shape \(\)"),
        ("return 'loud'", "ValueError"),
        ("return np.full((len(values), samples), 1e39)", "NaN or infinite"),
        (
            "return np.full((len(values), samples), -2e6)",
            r"\(float64\) has samples beyond 1e\+06, where 1 is full",
        ),
        ("return np.full((len(values), samples), 32767, np.int16)", r"\(int16\) has samples beyond 1, where 1 is full"),
        ("return np.full((len(values), samples), 1j)", "its samples are complex"),
        ("raise SystemExit(3)", "SystemExit: 3"),
    ],
)
def test_what_is_no_sound_is_a_failure(tmp_path: Path, body: str, why: str) -> None:
    found = of(body, tmp_path)
    with pytest.raises(InversynthError, match=why):
        found.render(PATCHES[:1])


def test_a_function_cannot_change_what_it_is_given(tmp_path: Path) -> None:
    found, values = of("values[:] = 0; return np.zeros((len(values), samples))", tmp_path), np.array(PATCHES)
    found.render(values)
    assert np.array_equal(values, PATCHES)
