"""The benchmark of recordings: its list, the files it reads, and what it counts; on sounds that the tests make."""

from __future__ import annotations

import importlib
import struct
import sys
from argparse import Namespace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray
from rich.console import Console

from inversynth import synths
from inversynth.errors import UsageError

PAPER = synths.load("paper")
PATCH = PAPER.space.values_of_x(np.full((1, len(PAPER.space)), 0.5))


@pytest.fixture
def recordings(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "benchmarks"))
    return importlib.import_module("recordings")


def chunk(kind: bytes, data: bytes) -> bytes:
    return kind + struct.pack("<I", len(data)) + data + b"\0" * (len(data) % 2)


def sf2(samples: dict[bytes, tuple[NDArray[np.int16], int]]) -> bytes:
    """A SoundFont of these samples and their rates, with chunks of odd sizes before them."""
    headers, data = b"", b""
    for name, (sound, rate) in samples.items():
        start = len(data) // 2
        data += sound.astype("<i2").tobytes() + bytes(2 * 46)  # the format wants 46 zeros behind each
        headers += struct.pack("<20s5IBbHH", name, start, start + len(sound), start, start, rate, 60, 0, 0, 1)
    headers += struct.pack("<20s5IBbHH", b"EOS", 0, 0, 0, 0, 0, 0, 0, 0, 0)
    lists = [b"INFO" + chunk(b"ICMT", b"odd"), b"sdta" + chunk(b"smpl", data), b"pdta" + chunk(b"shdr", headers)]
    return chunk(b"RIFF", b"sfbk" + b"".join(chunk(b"LIST", part) for part in lists))


def pat(samples: list[tuple[bytes, int, int]]) -> bytes:
    """A Gravis patch of (data, rate in Hz, modes)."""
    layer = struct.pack("<BBIB40x", 0, 0, 0, len(samples))
    found = b"GF1PATCH110\0ID#000002\0".ljust(129, b"\0") + bytes(63) + layer
    for data, rate, modes in samples:
        found += struct.pack("<7sBIIIH33xB40x", b"name", 0, len(data), 0, 0, rate, modes) + data
    return found


SOUND = np.array([0, 1, -1, 32767, -32768, 12345], np.int16)
FLOATS = np.array([0, 1, -1, 32767, -32768, 12345]) / 32768


def test_the_list_has_fifty_recordings_each_once(recordings: Any) -> None:
    rows = recordings.RECORDINGS
    assert len(rows) == 50
    assert len({(one.package, one.sample) for one in rows}) == 50
    assert len({one.name for one in rows}) == 50
    assert {one.kind for one in rows} == {"bowed", "blown", "plucked", "struck", "voice"}
    assert {one.package for one in rows} == set(recordings.PACKAGES)


def test_a_sample_of_a_soundfont_by_its_name(recordings: Any, tmp_path: Path) -> None:
    path = tmp_path / "a.sf2"
    path.write_bytes(sf2({b"first": (SOUND[::-1], 44100), b"a second, 20 letters": (SOUND, 22050)}))
    sound, rate = recordings.soundfont(path, "a second, 20 letters")
    assert rate == 22050
    assert sound.dtype == np.float32
    np.testing.assert_array_equal(sound, FLOATS)
    np.testing.assert_array_equal(recordings.soundfont(path, "first")[0], FLOATS[::-1])
    with pytest.raises(UsageError, match="no sample 'third'"):
        recordings.soundfont(path, "third")


def test_a_sample_of_a_gravis_patch_by_its_number(recordings: Any, tmp_path: Path) -> None:
    path = tmp_path / "a.pat"
    signed, unsigned = SOUND.astype("<i2").tobytes(), (SOUND.astype(np.int32) + 32768).astype("<u2").tobytes()
    path.write_bytes(pat([(signed[2:], 44100, 1), (unsigned, 31250, 3), (signed, 8000, 0)]))
    np.testing.assert_array_equal(recordings.gravis(path, 0)[0], FLOATS[1:])
    sound, rate = recordings.gravis(path, 1)
    assert rate == 31250
    np.testing.assert_array_equal(sound, FLOATS)
    with pytest.raises(UsageError, match="8 bits"):
        recordings.gravis(path, 2)
    with pytest.raises(UsageError, match="no sample 3"):
        recordings.gravis(path, 3)


def test_a_recording_is_read_by_its_format_from_the_cache(recordings: Any, tmp_path: Path) -> None:
    file, font, gravis = (
        tmp_path / package / recordings.PACKAGES[package] / rest
        for package, rest in (
            (recordings.SONIC_PI, "test/sound.wav"),
            (recordings.FLUID, ""),
            (recordings.FREEPATS, "test/one.pat"),
        )
    )
    for path in (file, font, gravis):
        path.parent.mkdir(parents=True)
    soundfile.write(file, np.stack([FLOATS, -FLOATS, FLOATS], axis=1), 16000, subtype="FLOAT")
    font.write_bytes(sf2({b"name": (SOUND, 22050)}))
    gravis.write_bytes(pat([(SOUND.tobytes(), 8000, 1)]))
    for package, sample, sound, rate in (
        (recordings.SONIC_PI, "test/sound.wav", FLOATS / 3, 16000),
        (recordings.FLUID, "name", FLOATS, 22050),
        (recordings.FREEPATS, "test/one.pat:0", FLOATS, 8000),
    ):
        found, found_rate = recordings.read(recordings.Recording("it", "", "struck", package, sample), tmp_path)
        assert found_rate == rate
        np.testing.assert_allclose(found, sound, atol=1e-7)


def test_without_the_packages_it_says_which_and_how_to_get_them(
    recordings: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    nowhere = recordings.Recording("it", "", "voice", recordings.KTUBERLING, "nowhere/to be found.wav")
    monkeypatch.setattr(recordings, "RECORDINGS", (nowhere,))
    monkeypatch.setattr(sys, "argv", ["recordings.py", "--cache", str(tmp_path)])
    assert recordings.main() == 2
    said = capsys.readouterr().err
    assert "--install" in said
    assert "apt-get install ktuberling-data" in said


def test_what_is_missing_is_fetched_into_a_cache_that_need_not_be_there(
    recordings: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """By an apt-get and a dpkg-deb of the test."""
    programs = {
        "apt-get": '#!/bin/sh\n[ "$1 $2" = "download -q" ] && touch "$3.deb" test.wav\n',
        "dpkg-deb": "#!/bin/sh\n"  # only the last folder of the cache is made, as the real one does
        'mkdir "$3" && mkdir -p "$3/usr/share/sounds" && cp -r "${2%/*}" "$3/usr/share/sounds/alsa"\n',
    }
    for name, script in programs.items():
        (tmp_path / name).write_text(script)
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    it = recordings.Recording("it", "", "voice", recordings.ALSA, "test.wav")
    monkeypatch.setattr(recordings, "RECORDINGS", (it,))
    cache = tmp_path / "not" / "there"
    assert recordings.missing(cache) == [recordings.ALSA]
    recordings.install(cache)
    assert recordings.missing(cache) == []
    (tmp_path / "apt-get").write_text("#!/bin/sh\nexit 100\n")
    with pytest.raises(UsageError, match="alsa-utils could not be fetched"):
        recordings.install(tmp_path / "another")


def test_a_recording_that_a_patch_makes_is_met_exactly(recordings: Any) -> None:
    found = recordings.measured(PAPER, PAPER.render(PATCH)[0], PATCH[0])
    assert set(found) == set(recordings.TITLES)
    for key, value in found.items():
        assert value == pytest.approx(1 if key in recordings.BETTER_HIGH else 0, abs=1e-5), key


def test_a_win_is_more_of_a_correlation_and_less_of_a_distance(recordings: Any) -> None:
    def row(ours: float, other: float) -> dict[str, Any]:
        return {
            "measures": {"ours": dict.fromkeys(recordings.TITLES, ours), "it": dict.fromkeys(recordings.TITLES, other)}
        }

    found = recordings.wins([row(0.9, 0.8), row(0.9, 0.7), row(0.5, 0.6), row(0.5, 0.5)], "ours", "it")
    assert found == {key: 2 if key in recordings.BETTER_HIGH else 1 for key in recordings.TITLES}


def test_recordings_are_matched_measured_and_pictured(
    recordings: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    pytest.importorskip("onnxruntime", reason="models need onnxruntime (the extra `cpu` or `gpu`)")
    budgets = []

    def middle(scorer: Any, distributions: Any, renders: int, seed: int) -> NDArray[np.float64]:
        budgets.append(renders)
        return np.asarray(PATCH[0])

    rows = []
    folder = tmp_path / recordings.SONIC_PI / recordings.PACKAGES[recordings.SONIC_PI]
    folder.mkdir(parents=True)
    time = np.arange(16384) / 16384
    for name, sound in (("tone", np.sin(2 * np.pi * 500 * time)), ("middle", PAPER.render(PATCH)[0])):
        soundfile.write(folder / f"{name}.wav", 0.5 * sound, 16384, subtype="FLOAT")
        rows.append(recordings.Recording(name, "", "struck", recordings.SONIC_PI, f"{name}.wav"))
    monkeypatch.setattr(recordings, "RECORDINGS", tuple(rows))
    monkeypatch.setattr(
        recordings, "BASELINES", {"middle": middle, "network alone": recordings.BASELINES["network alone"]}
    )
    args = Namespace(model="paper-c6xl", cache=tmp_path, seconds=[0.1, 0.05], every=1)
    found = recordings.measure(args, Console(quiet=True))

    assert list(found["contenders"]) == ["middle", "network alone", "refined, 0.05 s", "refined, 0.1 s"]
    assert [row["renders"]["refined, 0.1 s"] for row in found["recordings"]] == budgets
    for row in found["recordings"]:
        near = {name: at["distance"] for name, at in row["measures"].items()}
        assert near["refined, 0.1 s"] <= near["network alone"]
    assert found["recordings"][1]["measures"]["middle"]["rho_stft"] > 0.99
    assert [row["name"] for row in recordings.by_rho(found)] == sorted(
        ("tone", "middle"),
        key=lambda name: (
            -next(row["measures"]["refined, 0.1 s"]["rho_stft"] for row in found["recordings"] if row["name"] == name)
        ),
    )
    page = recordings.markdown(found)
    assert page.count("sonic-pi-samples: ") == 2
    recordings.draw(found, tmp_path, tmp_path / "picture.png")
    assert (tmp_path / "picture.png").read_bytes().startswith(b"\x89PNG")
