"""One sound in; the patch, its sound, a picture and measures out."""

from __future__ import annotations

import dataclasses
import html
import io
import json
import re
import shlex
import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile
from rich.console import Console

import onnx_file
import reference

pytest.importorskip("onnxruntime", reason="matching needs onnxruntime (the extra `cpu` or `gpu`)")

from inversynth import cli, metrics, synths
from inversynth.audio.files import resample
from inversynth.cli.match import patch_table
from inversynth.errors import InversynthError, MismatchError, UsageError
from inversynth.matching.match import match
from inversynth.matching.picture import spectrograms
from inversynth.matching.result import Match
from inversynth.matching.saving import save
from inversynth.predict.model import load_model
from inversynth.spec import AudioFormat, Note
from inversynth.synths.function import from_function

PAPER, SINE = synths.load("paper"), synths.load("sine")
RATE = SINE.format.sample_rate
NOTES = ("C", "C♯", "D", "D♯", "E", "F", "F♯", "G", "G♯", "A", "A♯", "B")
FILES = ["match.png", "match.wav", "patch.json", "report.html"]


@pytest.fixture(scope="module")
def note() -> np.ndarray:
    """(16384,) a patch of the synth `sine`."""
    return np.asarray(SINE.render(SINE.space.values_of_levels([[3, 8, 12, 1]]))[0])


@pytest.fixture(scope="module")
def found(tiny_file: Path, note: np.ndarray) -> Match:
    return match(note, SINE, tiny_file, sample_rate=RATE)


@pytest.fixture
def folder(tmp_path: Path, note: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder, with a good recording in it."""
    monkeypatch.chdir(tmp_path)
    soundfile.write("good.wav", note, RATE, subtype="FLOAT")
    return tmp_path


def scores(sound: np.ndarray) -> list[np.ndarray]:
    """The probabilities of the hand-made model, by NumPy."""
    rows = [np.exp(sound.astype(np.float64) @ matrix) for matrix in onnx_file.weights(SINE)]
    return [row / row.sum() for row in rows]


def command(words: list[str]) -> int:
    """The exit code of `inversynth`, whether it returns or, for a wrong option, exits."""
    try:
        return cli.main(words)
    except SystemExit as stop:
        return int(stop.code or 0)


# -- the patch -----------------------------------------------------------------------------------


def test_the_patch_is_the_likeliest_level_of_each_parameter_and_how_likely(found: Match, note: np.ndarray) -> None:
    assert [setting.name for setting in found.patch] == list(SINE.space.names)
    for setting, param, row, given in zip(found.patch, SINE.space, scores(note), found.distributions, strict=True):
        np.testing.assert_allclose(given, row, atol=1e-3)
        assert setting.level == int(row.argmax())
        assert setting.confidence == pytest.approx(row.max(), abs=1e-3)
        assert setting.value == pytest.approx(float(param.value_of_level(setting.level)))
        assert setting.unit == param.unit


def test_the_sound_is_that_patch_and_the_measures_compare_it_with_the_target(found: Match, note: np.ndarray) -> None:
    np.testing.assert_array_equal(found.target, note)
    values = [[setting.value for setting in found.patch]]
    np.testing.assert_array_equal(found.sound, SINE.render(values)[0])
    a, b = (reference.spectrogram(at.astype(np.float64)) for at in (found.target, found.sound))
    logs = [np.log(np.maximum(at, 1e-4 * a.max())).ravel() for at in (a, b)]
    assert found.measures["rho_stft"] == pytest.approx(np.corrcoef(logs[0], logs[1])[0, 1])
    assert found.measures["f_delta"] == pytest.approx(np.sqrt(((a - b) ** 2).sum()))


def test_a_synth_of_another_rate_is_measured_in_windows_of_its_own(note: np.ndarray) -> None:
    function = from_function("other", SINE.space, AudioFormat(44100, 0.5), lambda v, n, r, s: SINE.render(v, r, s / r))
    other = match(note, function, sample_rate=RATE, renders=20, seed=1)
    assert other.window == 1024
    expected = metrics.sound_measures(other.target[None], other.sound[None], 1024)
    assert other.measures == {key: pytest.approx(column[0]) for key, column in expected.items()}
    assert spectrograms(other.target, window=other.window)[0].shape == (256, 513)


def test_the_note_of_the_synth_plays_the_patch(note: np.ndarray) -> None:
    function = from_function(
        "held", SINE.space, SINE.format, lambda v, n, r, s: SINE.render(v) * (np.arange(s) / r < n[:, 2:]),
        note=Note(hold_s=0.25),
    )  # fmt: skip
    held = match(note, function, sample_rate=RATE, renders=20, seed=1)
    assert held.note == Note(hold_s=0.25)
    assert np.flatnonzero(held.sound).max() / RATE < 0.25


def test_a_file_of_another_rate_with_two_channels_and_a_pause_in_front_is_the_same_target(
    tiny_file: Path, note: np.ndarray, tmp_path: Path
) -> None:
    loud = np.concatenate([np.zeros(RATE // 2, np.float32), note])
    there = resample(loud, RATE, 44100)
    soundfile.write(tmp_path / "a.flac", np.stack([0.5 * there, 1.5 * there], axis=1) * 0.5, 44100, subtype="PCM_24")
    target = match(tmp_path / "a.flac", SINE, tiny_file).target
    assert len(target) == RATE
    assert np.corrcoef(np.abs(np.fft.rfft(target)), np.abs(np.fft.rfft(note)))[0, 1] > 0.999
    assert np.abs(target).max() == pytest.approx(0.5 * np.abs(note).max(), rel=0.02)


def test_normalising_scales_the_peak_to_one(tiny_file: Path, note: np.ndarray) -> None:
    quiet = match(0.01 * note, SINE, tiny_file, sample_rate=RATE, normalise=True)
    assert np.abs(quiet.target).max() == pytest.approx(1.0)
    np.testing.assert_allclose(quiet.target, note / np.abs(note).max(), atol=1e-6)


@pytest.mark.parametrize("normalise", [False, True])
def test_the_command_of_a_match_does_it_again(folder: Path, tiny_file: Path, normalise: bool) -> None:
    Path("good.wav").rename("-it's good.wav")
    first = match("-it's good.wav", SINE, tiny_file, normalise=normalise)
    words = shlex.split(first.command.replace(first.model, str(tiny_file)))
    assert words[0] == "inversynth"
    assert command([*words[1:], "--out", "out"]) == 0
    again = soundfile.read("out/-it's good/match.wav", dtype="float32")[0]
    np.testing.assert_array_equal(again, first.sound)


def test_the_report_tells_the_command_that_does_it_again(folder: Path, tiny_file: Path) -> None:
    Path("it's mine").mkdir()
    Path("good.wav").rename("it's mine/-good.wav")
    words = ["match", "it's mine/-good.wav", "--synth", "sine", "--model", str(tiny_file), "--out", "my matches"]
    assert command([*words, "--renders", "200", "--seed", "4"]) == 0
    shown = re.search(r"<pre>(.*?)</pre>", Path("my matches/-good/report.html").read_text())
    assert shown
    before = Path("my matches/-good/patch.json").rename("before.json").read_text()
    again = shlex.split(html.unescape(shown[1]))
    assert again[0] == "inversynth"
    assert command(again[1:]) == 0
    assert Path("my matches/-good/patch.json").read_text() == before


def test_a_loaded_model_is_used_as_it_is(tiny_file: Path, note: np.ndarray, found: Match) -> None:
    model = load_model(tiny_file, "cpu")
    assert match(note, SINE, model, sample_rate=RATE).patch == found.patch


@pytest.mark.parametrize(
    ("target", "rate", "message"),
    [
        (np.ones(100), None, "needs its sample_rate"),
        (np.ones((2, 100)), RATE, r"shape \(samples,\), not \(2, 100\)"),
        (np.ones(0), RATE, r"not \(0,\)"),
        (np.array([0.1, np.nan]), RATE, "NaN or infinite"),
        (np.array([0.1, np.inf]), RATE, "NaN or infinite"),
        (np.zeros(100), RATE, "silent"),
        (np.full(100, 1e-6), RATE, "silent"),
        (1e30 * np.cos(np.arange(100)), RATE, r"peaks at 1e\+30, where 1 is full scale"),
        (np.ones(100), 0, "sample rate 0 Hz"),
        ({"a": 1}, RATE, "neither a path nor an array"),
    ],
)
def test_what_is_no_sound_is_refused(tiny_file: Path, target: object, rate: int | None, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        match(target, SINE, tiny_file, sample_rate=rate)  # type: ignore[arg-type]


def test_a_model_of_another_synth_is_refused_and_names_the_parameters(tiny_file: Path, note: np.ndarray) -> None:
    with pytest.raises(MismatchError, match="sin_frequency is missing"):
        match(note, PAPER, tiny_file, sample_rate=RATE)


# -- refined -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def refined(tiny_file: Path, note: np.ndarray) -> Match:
    return match(note, SINE, tiny_file, sample_rate=RATE, renders=400, variations=3, levels_only=True, seed=5)


def test_a_refined_match_is_the_best_patch_of_the_search_and_nearer(refined: Match, found: Match) -> None:
    search = refined.refinement
    assert search
    assert found.refinement is None
    np.testing.assert_array_equal(search.start.levels, [setting.level for setting in found.patch])
    for settings, candidate in ((found.patch, search.start), (refined.patch, search.best[0])):
        assert [setting.value for setting in settings] == pytest.approx(list(candidate.values))
    for setting, row in zip(refined.patch, refined.distributions, strict=True):
        assert setting.confidence == pytest.approx(row[setting.level])
    np.testing.assert_array_equal(refined.sound, SINE.render([[setting.value for setting in refined.patch]])[0])
    assert refined.measures["rho_stft"] == pytest.approx(search.best[0].rho_stft)
    assert refined.measures["rho_stft"] > found.measures["rho_stft"]
    assert refined.command.endswith("--renders 400 --variations 3 --levels-only --seed 5")


def test_variations_stand_beside_the_match_and_no_older_ones(refined: Match, found: Match, tmp_path: Path) -> None:
    (tmp_path / "variation-notes.txt").write_text("mine")
    (tmp_path / "variation-9.wav").mkdir()
    save(refined, tmp_path)
    others = [f"variation-{number}.{kind}" for number in (2, 3) for kind in ("json", "wav")]
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
        [*FILES, *others, "variation-9.wav", "variation-notes.txt"]
    )
    assert refined.refinement
    for number, candidate in enumerate(refined.refinement.best[1:], 2):
        patch = json.loads((tmp_path / f"variation-{number}.json").read_text())["patch"]
        assert [entry["level"] for entry in patch] == list(candidate.levels)
        assert [entry["value"] for entry in patch] == pytest.approx(list(candidate.values))
        sound = soundfile.read(tmp_path / f"variation-{number}.wav", dtype="float32")[0]
        np.testing.assert_array_equal(sound, SINE.render(candidate.values[None])[0])
    save(found, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
        [*FILES, "variation-9.wav", "variation-notes.txt"]
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"variations": 2}, "are for a refinement"),
        ({"levels_only": True}, "are for a refinement"),
        ({"refine": -1.0}, "-1 s to refine are outside"),
        ({"renders": 0}, r"0 renders to refine are outside 1\.\."),
        ({"renders": 10**23}, r"renders to refine are outside 1\.\."),
        ({"refine": 1.0, "variations": 0}, "0 variations are outside 1..100"),
        ({"seed": -3}, "seed -3 is not"),
    ],
)
def test_a_wrong_refinement_is_refused(
    tiny_file: Path, note: np.ndarray, options: dict[str, float], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        match(note, SINE, tiny_file, sample_rate=RATE, **options)  # type: ignore[arg-type]


# -- without a model -----------------------------------------------------------------------------


def test_without_a_model_the_search_finds_the_patch_alone(note: np.ndarray, tmp_path: Path) -> None:
    alone = match(note, SINE, sample_rate=RATE, renders=3000, variations=2, seed=1, out=tmp_path)
    assert alone.model == "none"
    for row, param in zip(alone.distributions, SINE.space, strict=True):
        np.testing.assert_allclose(row, 1 / param.levels)
    assert [setting.level for setting in alone.patch] == [3, 8, 12, 1]
    assert "--model" not in alone.command
    report = (tmp_path / "report.html").read_text()
    assert "found without a network in" in report
    assert 'class="rays"' not in report


def test_without_a_model_and_without_a_search_it_is_said_what_helps(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["match", "good.wav", "--synth", "sine"]) == 2
    error = capsys.readouterr().err
    for text in ("no model for the synth 'sine' is shipped", "--refine SECONDS", "inversynth train", "--model FILE"):
        assert text in error
    assert error.count("\n") == 1


def test_a_users_own_synth_is_matched_from_its_file(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("mine.py").write_text(
        "import numpy as np\n"
        "from inversynth import AudioFormat, Param, ParamSpace, from_function\n"
        "def render(values, notes, rate, samples):\n"
        "    phase = 2 * np.pi * values[:, :1] * np.arange(samples) / rate\n"
        "    waves = np.stack([np.sin(phase), np.sign(np.sin(phase))])\n"
        "    return waves[values[:, 1].astype(int), np.arange(len(values))]\n"
        "SPACE = ParamSpace([Param('pitch', 'f', 220, 880, 'Hz', 'exponential', 25, role='pitch'),\n"
        "                    Param.choice('shape', 's', ('a sine', 'a square'))])\n"
        "SYNTH = from_function('mine', SPACE, AudioFormat(8000, 0.5), render)\n"
    )
    tone = 0.9 * np.sign(np.sin(2 * np.pi * 440 * np.arange(4000) / 8000 + 1e-9))
    soundfile.write("square.wav", tone, 8000)
    assert cli.main(["match", "square.wav", "--synth", "mine.py", "--renders", "60", "--out", "out"]) == 0
    shown = capsys.readouterr().out
    assert re.search(r"│ pitch +│ +440 │ Hz, A4 │ +12 │", shown)
    assert re.search(r"│ shape +│ +a square │ +│ +1 │", shown)  # the text of a choice, and no confidences
    assert "without a model" in shown
    assert "<span>a square</span>" in Path("out/square/report.html").read_text()


def test_a_patch_that_cannot_be_rendered_says_why_and_what_to_do(
    tiny_file: Path, note: np.ndarray, found: Match
) -> None:
    predicted = [setting.value for setting in found.patch]

    def failing(values: np.ndarray, notes: np.ndarray, rate: int, samples: int) -> np.ndarray:
        if np.isclose(values, predicted).all(axis=1).any():
            raise RuntimeError("no sound")
        return np.asarray(SINE.render(values, rate, samples / rate))

    synth = from_function("failing", SINE.space, SINE.format, failing)
    with pytest.raises(UsageError, match=r"can't be rendered by failing: RuntimeError: no sound; search for another"):
        match(note, synth, tiny_file, sample_rate=RATE)


# -- what is written -----------------------------------------------------------------------------


def test_a_saved_match_holds_the_patch_its_sound_and_a_picture(found: Match, tmp_path: Path) -> None:
    save(found, tmp_path / "deep" / "match")
    assert sorted(path.name for path in (tmp_path / "deep" / "match").iterdir()) == FILES
    patch = json.loads((tmp_path / "deep/match/patch.json").read_text())["patch"]
    assert [list(entry) for entry in patch] == [["name", "value", "unit", "level", "confidence"]] * 4
    assert [entry["level"] for entry in patch] == [setting.level for setting in found.patch]
    info = soundfile.info(tmp_path / "deep/match/match.wav")
    assert (info.format, info.subtype, info.samplerate, info.frames, info.channels) == ("WAV", "FLOAT", RATE, RATE, 1)
    np.testing.assert_array_equal(soundfile.read(tmp_path / "deep/match/match.wav", dtype="float32")[0], found.sound)
    head = (tmp_path / "deep/match/match.png").read_bytes()[:24]
    assert head.startswith(b"\x89PNG\r\n\x1a\n")
    assert min(struct.unpack(">II", head[16:])) > 600


def test_a_loud_match_is_not_clipped(found: Match, tmp_path: Path) -> None:
    loud = dataclasses.replace(found, sound=7 * found.sound)
    save(loud, tmp_path)
    np.testing.assert_array_equal(soundfile.read(tmp_path / "match.wav", dtype="float32")[0], 7 * found.sound)


def test_saving_again_replaces_the_match(found: Match, tmp_path: Path) -> None:
    for name in FILES:
        (tmp_path / name).write_text("old")
    save(found, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == FILES
    assert json.loads((tmp_path / "patch.json").read_text())["patch"][0]["name"] == "frequency_1"


def test_the_patch_and_its_sound_are_written_before_anything_is_drawn(
    found: Match, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    save(dataclasses.replace(found, sound=2 * found.sound), tmp_path)
    monkeypatch.setattr("matplotlib.backends.backend_agg.FigureCanvasAgg.print_png", full)
    with pytest.raises(InversynthError, match="the disk is full"):
        save(found, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["match.wav", "patch.json"]  # no picture of another
    assert len(json.loads((tmp_path / "patch.json").read_text())["patch"]) == len(SINE.space)
    np.testing.assert_array_equal(soundfile.read(tmp_path / "match.wav", dtype="float32")[0], found.sound)


def test_a_failure_while_writing_the_patch_leaves_nothing(
    found: Match, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> bytes:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("inversynth.matching.saving.wav", full)
    with pytest.raises(InversynthError, match="the disk is full"):
        save(found, tmp_path / "match")
    assert list(tmp_path.iterdir()) == []


# -- the command ---------------------------------------------------------------------------------


def test_the_command_matches_each_target_and_shows_it(
    folder: Path, tiny_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "sub").mkdir()
    (folder / "sub" / "[b] other.wav").write_bytes((folder / "good.wav").read_bytes())
    words = ["match", "good.wav", "sub/[b] other.wav", "--synth", "sine", "--model", str(tiny_file), "--out", "out"]
    assert cli.main(words) == 0
    shown = capsys.readouterr()
    assert shown.err == ""
    for text in (*SINE.space.names, "good.wav", "[b] other.wav", "correlation", "sine-tiny on cpu", "Hz", "%"):
        assert text in shown.out
    assert sorted(path.name for path in (folder / "out").iterdir()) == ["[b] other", "good"]
    assert sorted(path.name for path in (folder / "out" / "good").iterdir()) == FILES


def test_the_table_names_notes_and_what_is_not_active_in_the_patch(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("paper.onnx").write_bytes(onnx_file.model(PAPER))
    soundfile.write("good.wav", SINE.render(SINE.space.values_of_levels([[2, 8, 12, 1]]))[0], RATE, subtype="FLOAT")
    assert cli.main(["match", "good.wav", "--model", "paper.onnx", "--out", "out"]) == 0
    lines = {line.split()[1]: line for line in capsys.readouterr().out.splitlines() if line.startswith("│")}
    patch = {setting["name"]: setting for setting in json.loads(Path("out/good/patch.json").read_text())["patch"]}
    for wave in ("sin", "saw", "tri", "sqr"):
        octave, step = divmod(69 + patch[f"{wave}_frequency"]["level"], 12)
        assert f"Hz, {NOTES[step]}{octave - 1} " in lines[f"{wave}_frequency"]
        still = patch[f"{wave}_mod_amplitude"]["level"] == 0
        assert ("inactive" in lines[f"{wave}_mod_frequency"]) == still
        assert f"{patch[f'{wave}_amplitude']['confidence']:4.0%}" in lines[f"{wave}_amplitude"]
    assert patch["sin_mod_amplitude"]["level"] == 0


@pytest.mark.parametrize(
    ("width", "columns"),
    [
        (100, ["parameter", "value", "unit", "level", "confidence"]),
        (54, ["parameter", "value", "unit", "level"]),
        (46, ["parameter", "value", "unit"]),
        (30, ["parameter", "value"]),
        (12, ["parameter", "value"]),
    ],
)
def test_a_narrow_terminal_shows_names_and_values_whole(found: Match, width: int, columns: list[str]) -> None:
    console = Console(width=width, file=io.StringIO())
    table = patch_table(Path("a.wav"), found, console)
    assert [column.header for column in table.columns] == columns
    console.print(table)
    shown = console.file.getvalue()  # type: ignore[attr-defined]
    assert max(len(line) for line in shown.splitlines() if line.startswith("│")) <= width
    if width > 12:
        for setting in found.patch:
            assert f" {setting.name} " in shown
            assert f" {setting.value:.4g} " in shown
    assert "…" not in shown


@pytest.mark.parametrize(
    ("gain", "why"),
    [
        (1e-3, "is too quiet to predict well; try --normalise"),
        (1e3, "too loud"),
        (1.0, "beyond what sine can make"),
    ],
)
def test_the_warning_says_what_may_help(found: Match, gain: float, why: str) -> None:
    poor = dataclasses.replace(found, target=gain * found.target, measures=found.measures | {"rho_stft": 0.1})
    assert poor.warning
    assert why in poor.warning


def test_the_command_refines_and_says_what_it_gained(
    folder: Path, tiny_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["match", "good.wav", "--synth", "sine", "--model", str(tiny_file), "--out", "out"]
    assert cli.main([*words, "--renders", "300", "--variations", "2", "--seed", "3"]) == 0
    shown = capsys.readouterr()
    assert shown.err == ""
    assert re.search(r"refined in [\d.]+ s by 300 renders \(search\): correlation 0\.\d+ to [01]\.\d+", shown.out)
    assert "its 300 renders are used up" in shown.out
    assert "report.html, variation-2" in shown.out
    assert (folder / "out" / "good" / "variation-2.wav").is_file()


def test_a_bad_target_is_one_line_and_leaves_the_others_be(
    folder: Path, tiny_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    soundfile.write("silent.wav", np.zeros(RATE), RATE)
    soundfile.write("nan.wav", np.array([0.1, np.nan], np.float32), RATE, subtype="FLOAT")
    soundfile.write("zero.wav", np.zeros(0), RATE)
    Path("empty.wav").write_bytes(b"")
    Path("text.wav").write_text("not a sound at all")
    bad = ["none.wav", "silent.wav", "nan.wav", "zero.wav", "empty.wav", "text.wav"]
    words = ["match", *bad[:3], "good.wav", *bad[3:], "--synth", "sine", "--model", str(tiny_file), "--out", "out"]
    assert cli.main(words) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == len(bad)
    for line, name in zip(lines, bad, strict=True):
        assert line.startswith(f"inversynth: error: {name} ")
    assert [path.name for path in (folder / "out").iterdir()] == ["good"]


def test_what_a_decoder_makes_of_a_damaged_file_is_one_line(
    folder: Path, tiny_file: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    soundfile.write("good.flac", soundfile.read("good.wav")[0], RATE)
    endless = bytearray(Path("good.flac").read_bytes())
    endless[21] &= 0xF0  # the STREAMINFO's 36 bits of total samples: 0 is unknown (RFC 9639, 8.2)
    endless[22:26] = bytes(4)
    Path("endless.flac").write_bytes(endless)
    Path("junk.mp3").write_bytes(b"ID3" + bytes(range(256)) * 12)
    words = ["match", "endless.flac", "junk.mp3", "good.wav", "--synth", "sine", "--model", str(tiny_file)]
    assert cli.main([*words, "--out", "out"]) == 2
    lines = capfd.readouterr().err.splitlines()
    assert [line.split()[2] for line in lines] == ["endless.flac", "junk.mp3"]
    assert sorted(path.name for path in (folder / "out").iterdir()) == ["good"]


def test_bad_targets_alone_leave_nothing_behind(folder: Path, tiny_file: Path) -> None:
    words = ["match", "none.wav", "good.wav/x", "--synth", "sine", "--model", str(tiny_file), "--out", "new/out"]
    assert cli.main(words) == 2
    assert [path.name for path in folder.iterdir()] == ["good.wav"]


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", ["a$\\frac$ {x_}", "音 ♫", "<b>&amp;\"'", "new\nline", "[b] [red]", "-"])
def test_any_name_is_good_for_a_target(folder: Path, tiny_file: Path, name: str) -> None:
    Path("good.wav").rename(f"{name}.wav")
    assert cli.main(["match", f"./{name}.wav", "--synth", "sine", "--model", str(tiny_file), "--out", "out"]) == 0
    assert sorted(path.name for path in (folder / "out" / name).iterdir()) == FILES


def test_a_name_that_would_move_the_cursor_is_shown_escaped(
    folder: Path, tiny_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("good.wav").rename("\x1b[31m\nred.wav")
    assert cli.main(["match", "\x1b[31m\nred.wav", "--synth", "sine", "--model", str(tiny_file), "--out", "out"]) == 0
    shown = capsys.readouterr().out
    assert "\x1b" not in shown
    assert r"\x1b[31m\nred.wav as a patch" in shown
    assert r"wrote out/\x1b[31m\nred: patch.json" in shown


@pytest.mark.parametrize("settings", ["text.usetex: True", "axes.facecolor: black\nfont.size: 30"])
def test_the_picture_does_not_depend_on_the_users_matplotlib_settings(
    found: Match, tmp_path: Path, settings: str
) -> None:
    import matplotlib

    save(found, tmp_path / "plain")
    (tmp_path / "rc").write_text(settings)
    with matplotlib.rc_context(fname=tmp_path / "rc"):
        save(found, tmp_path / "own")
    assert (tmp_path / "own/match.png").read_bytes() == (tmp_path / "plain/match.png").read_bytes()


def test_a_model_that_gives_nan_is_one_line_and_writes_nothing(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = onnx_file.model(SINE)
    weight = onnx_file.weights(SINE)[1][0].tobytes()
    assert whole.count(weight) == 1
    Path("damaged.onnx").write_bytes(whole.replace(weight, np.float32(np.nan).tobytes() + weight[4:]))
    assert cli.main(["match", "good.wav", "--synth", "sine", "--model", "damaged.onnx", "--out", "out"]) == 2
    error = capsys.readouterr().err
    assert "gives NaN for probabilities" in error
    assert error.count("\n") == 1
    assert not Path("out").exists()


def test_ctrl_c_ends_a_search_and_what_would_follow_and_leaves_what_was_found(
    folder: Path, tiny_file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("second.wav", "third.wav"):
        Path(name).write_bytes(Path("good.wav").read_bytes())
    started = []

    def interrupted(self: object, *_: object) -> None:
        started.append(self)
        if len(started) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr("inversynth.search.refine._Search.run", interrupted)
    words = ["match", "good.wav", "second.wav", "third.wav", "--synth", "sine", "--model", str(tiny_file)]
    assert cli.main([*words, "--out", "out", "--renders", "300"]) == 130
    shown = capsys.readouterr()
    assert shown.err == "inversynth: interrupted\n"
    assert "it was interrupted" in shown.out
    assert sorted(path.name for path in (folder / "out").iterdir()) == ["good", "second"]


@pytest.mark.parametrize("drawn", ["draw", "page"])
def test_ctrl_c_while_the_pictures_are_drawn_keeps_the_patch_and_says_so(
    folder: Path, tiny_file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], drawn: str
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(f"inversynth.matching.saving.{drawn}", interrupted)
    words = ["match", "good.wav", "--synth", "sine", "--model", str(tiny_file), "--renders", "300", "--variations", "2"]
    assert cli.main([*words, "--out", "out"]) == 130
    assert capsys.readouterr().err.splitlines() == [
        "wrote out/good: patch.json, match.wav, variation-2; Ctrl-C came before match.png and report.html were drawn",
        "inversynth: interrupted",
    ]
    patch = json.loads(Path("out/good/patch.json").read_text())["patch"]
    sound = soundfile.read("out/good/match.wav", dtype="float32")[0]
    np.testing.assert_array_equal(sound, SINE.render([[setting["value"] for setting in patch]])[0])
    assert not Path("out/good/report.html").exists()


def test_a_target_named_by_dots_stays_within_the_folder(folder: Path, tiny_file: Path) -> None:
    Path("good.wav").rename("...wav")
    assert cli.main(["match", "...wav", "--synth", "sine", "--model", str(tiny_file), "--out", "out"]) == 0
    assert sorted(path.name for path in (folder / "out" / "...wav").iterdir()) == FILES


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["good.wav", "sub/good.flac", "--out", "out"], 2, "would both be written to out/good"),
        (["good.wav", "--out", "wall/out"], 1, "a part of the path is a file"),
        (["good.wav", "--out", "wall"], 1, "a part of the path is a file"),
        (["good.wav", "--out", "out", "--model", "none.onnx"], 2, "no model 'none.onnx'"),
        (["good.wav", "--out", "out", "--model", "wall"], 2, "not a whole ONNX file"),
        (["good.wav", "--out", "out", "--synth", "moog"], 2, "moog"),
        (["good.wav", "--out", "out", "--refine", "-1"], 2, "-1 s to refine"),
        (["good.wav", "--out", "out", "--refine", "soon"], 2, "'soon'"),
        (["good.wav", "--out", "out", "--variations", "3"], 2, "--refine"),
        (["good.wav", "--out", "out", "--synth", "paper"], 2, "another parameter space"),
        (["--out", "out"], 2, "TARGET"),
    ],
)
def test_what_cannot_be_matched_is_one_line_and_writes_nothing(
    folder: Path, tiny_file: Path, capsys: pytest.CaptureFixture[str], words: list[str], code: int, message: str
) -> None:
    Path("wall").write_text("a file where a folder should be")
    given = ["match", "--synth", "sine", "--model", str(tiny_file), *words]
    assert command(given) == code
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert sorted(path.name for path in folder.iterdir()) == ["good.wav", "wall"]
