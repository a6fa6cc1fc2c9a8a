"""`inversynth send`, and patch.json, which it reads."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import mido
import pytest

from inversynth import cli, match, synths
from inversynth.errors import UsageError
from inversynth.matching.patch import read_patch
from inversynth.midi.profiles import default_profile
from inversynth.version import __version__

SINE = synths.load("sine")
VALUES = SINE.space.values_of_levels([[3, 9, 12, 1]])


@pytest.fixture
def patch(tmp_path: Path) -> Path:
    """The patch of a match: a search of all of its levels finds the sound's own."""
    match(SINE.render(VALUES)[0], SINE, out=tmp_path / "m", sample_rate=SINE.format.sample_rate, renders=4000)
    return tmp_path / "m" / "patch.json"


def send(*words: object) -> int:
    return cli.main(["send", *map(str, words)])


# -- patch.json ------------------------------------------------------------------------------------


def test_a_patch_says_what_it_is_of(patch: Path) -> None:
    found: dict[str, Any] = json.loads(patch.read_text())
    assert list(found) == ["synth", "model", "source", "note", "scores", "version", "patch"]
    assert (found["synth"], found["model"], found["source"]) == ("sine", "none", "the target")
    assert (found["note"], found["version"]) == ({"key": 69, "velocity": 100, "hold_s": None}, __version__)
    assert found["scores"]["rho_stft"] > 0.99
    assert [row["name"] for row in found["patch"]] == list(SINE.space.names)
    assert read_patch(patch, SINE) == pytest.approx([row["value"] for row in found["patch"]])


def test_a_choice_is_named_beside_its_number(tmp_path: Path) -> None:
    fake = synths.load(Path(__file__).parents[1] / "fake_synth.py")
    sound = next(sound for sound in fake.render_all(fake.space.values_of_levels(fake.draw(1, 0, 4).levels)).sounds)
    match(sound, fake, out=tmp_path, sample_rate=fake.format.sample_rate, renders=20)
    rows = {row["name"]: row for row in json.loads((tmp_path / "patch.json").read_text())["patch"]}
    number = rows["algorithm"]["value"]
    assert rows["algorithm"]["choice"] == f"algorithm {number + 1:g}"
    assert "choice" not in rows["attack"]


def test_the_list_that_version_0_1_0_wrote_is_read(tmp_path: Path) -> None:
    rows = [{"name": name, "value": value} for name, value in zip(SINE.space.names, VALUES[0], strict=True)]
    (tmp_path / "patch.json").write_text(json.dumps(rows))
    assert read_patch(tmp_path / "patch.json", SINE) == pytest.approx(VALUES[0])


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("{}", "is not a patch"),
        ('{"synth": "sine"}', "is not a patch"),
        ('{"synth": "sine", "patch": 3}', "is not a patch"),
        ('{"synth": "sine", "patch": []}', "frequency_1 is missing"),
        ("[", "is not a patch"),
        (
            '{"synth": "paper", "patch": []}',
            r"is a patch of the synth 'paper', not of 'sine'; name that synth \(--synth\)",
        ),
    ],
)
def test_what_is_no_patch_of_the_synth_is_refused(tmp_path: Path, text: str, what: str) -> None:
    (tmp_path / "patch.json").write_text(text)
    with pytest.raises(UsageError, match=what):
        read_patch(tmp_path / "patch.json", SINE)


# -- sending ---------------------------------------------------------------------------------------


def test_all_of_a_patch_is_sent_once(patch: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert send(patch, "--synth", "sine", "--midi-file", tmp_path / "out.mid", "--dry-run", "--channel", 3) == 0
    x = SINE.space.x_of_values(read_patch(patch, SINE)[None])[0]
    wanted = dict(zip((20, 21, 22, 23), default_profile(SINE).values_of_x(x).tolist(), strict=True))
    sent = [message for message in mido.MidiFile(tmp_path / "out.mid") if not message.is_meta]
    assert {message.control: message.value for message in sent} == wanted
    shown = capsys.readouterr()
    assert [line.split()[1:4] for line in shown.out.splitlines()] == [["ch", "3", "cc"]] * 4
    assert f"4 messages to {tmp_path / 'out.mid'}" in shown.err


def test_a_profile_of_14_bits_is_sent_whole(patch: Path, tmp_path: Path) -> None:
    assert send(patch, "--synth", "sine", "--midi-file", tmp_path / "out.mid", "--profile", "nrpn") == 0
    sent = [message for message in mido.MidiFile(tmp_path / "out.mid") if not message.is_meta]
    assert {message.value for message in sent if message.control == 98} == {0, 1, 2, 3}
    assert {message.control for message in sent} == {6, 38, 98, 99}
    assert len(sent) == 16


@pytest.mark.parametrize(
    ("words", "what"),
    [
        ([], "give a patch: the patch.json that match writes"),
        (["PATCH"], "give an output: --midi-out PORT"),
        (["PATCH", "--play"], "hear a patch by: inversynth play --patch"),
        (["PATCH", "--dry-run", "--wait", "-1"], "a wait of -1 s is outside 0..3600"),
        (["PATCH", "--dry-run", "--channel", "17"], "MIDI channel 17 is not an integer of 1..16"),
        (["none.json", "--dry-run"], "can't be read: No such file"),
        (["PATCH", "--dry-run", "--synth", "paper"], "is a patch of the synth 'sine', not of 'paper'"),
    ],
)
def test_what_cannot_be_sent_is_refused(
    patch: Path, words: list[str], what: str, capsys: pytest.CaptureFixture[str]
) -> None:
    given = [str(patch) if word == "PATCH" else word for word in words]
    assert send(*given, *([] if "--synth" in words else ["--synth", "sine"])) == 2
    assert what in capsys.readouterr().err
