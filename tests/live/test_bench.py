"""The measurement of the live bridge: what its figures mean, on times and sounds that are known, and that it runs."""

from __future__ import annotations

import importlib
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import jack_server
from inversynth import _native, synths
from inversynth.audio.sources import Source, WallClock
from inversynth.cli import main
from inversynth.errors import InversynthError
from inversynth.live import bench
from inversynth.live.bench import apart, players
from inversynth.live.bench.budgets import (
    BUDGETS,
    Budget,
    first_after_s,
    growth_mib,
    onsets,
    path_s,
    percentiles,
)
from inversynth.live.bench.timed import Timed
from portaudio import asked
from sounds import noise

ROOT = Path(__file__).parents[2]

# -- what the figures mean ------------------------------------------------------------------------


def test_the_path_is_from_the_block_to_the_first_message_of_its_prediction() -> None:
    came, done, sent = [1.000, 2.000, 3.000], [1.004, 2.005, 3.006], [1.005, 1.006, 1.007, 2.008, 3.016]
    np.testing.assert_allclose(path_s(came, done, sent), [0.005, 0.008, 0.016])


def test_a_prediction_that_moves_nothing_is_not_counted() -> None:
    np.testing.assert_allclose(path_s([1.0, 2.0, 3.0], [1.004, 2.004, 3.004], [1.005, 3.007]), [0.005, 0.007])
    assert len(path_s([1.0], [1.1], [])) == 0
    assert len(path_s([], [], [1.0])) == 0


def test_nor_one_that_is_done_while_the_wire_is_still_busy() -> None:
    draining = [1.005 + 0.00096 * i for i in range(23)]  # until 1.026
    np.testing.assert_allclose(path_s([1.0, 1.01], [1.004, 1.015], draining), [0.005])


def test_a_slow_prediction_is_counted_if_the_wire_is_free_when_it_is_done() -> None:
    np.testing.assert_allclose(path_s([1.0, 1.2], [1.15, 1.35], [1.151, 1.171, 1.353]), [0.151, 0.153])


def test_an_onset_is_where_a_sound_exceeds_the_threshold_after_a_rest() -> None:
    sound = np.zeros(1000, np.float32)
    sound[100:200] = 0.5
    sound[150:160] = 0.0  # shorter than a rest
    sound[500:600] = -0.5
    sound[700] = 0.001
    assert onsets(sound, 0.01, 50).tolist() == [100, 500]
    assert onsets(np.ones(10, np.float32), 0.01, 50).tolist() == []  # it may have begun before
    assert onsets(np.zeros(0, np.float32), 0.01, 50).tolist() == []


def test_the_first_message_of_a_note_is_that_before_the_next_note() -> None:
    np.testing.assert_allclose(first_after_s([1.0, 2.0, 3.0], [0.5, 1.1, 1.2, 3.3]), [0.1, 0.3])


class Pushed(Source):
    """A source whose blocks a test delivers."""

    def read(self) -> NDArray[np.float32] | None:
        return self._ring.read()


class TimedPushed(Timed, Pushed):
    """One that remembers."""


def test_a_sample_sounded_before_its_block_came(monkeypatch: pytest.MonkeyPatch) -> None:
    source = TimedPushed("blocks", 1000, 100, WallClock())
    source.until(threading.Event(), 1.0)
    for now, size in ((10.1, 100), (10.2, 100), (10.3, 100)):
        monkeypatch.setattr(time, "perf_counter", lambda now=now: now)
        source.deliver(np.zeros(size, np.float32))
    assert source.came_s(0) == pytest.approx(10.0)
    assert source.came_s(99) == pytest.approx(10.099)
    assert source.came_s(100) == pytest.approx(10.1)
    assert source.came_s(250) == pytest.approx(10.25)
    block = source.read()
    assert block is not None
    assert len(block) == 300
    assert source.newest_s == 10.3


def test_an_overflow_came_with_the_blocks_that_were_read_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    source = TimedPushed("blocks", 1000, 100, WallClock())  # whose ring holds 8 s
    source.until(threading.Event(), 1.0, keep=False)
    for i in range(83):
        monkeypatch.setattr(time, "perf_counter", lambda i=i: float(i))
        source.deliver(np.zeros(100, np.float32))
    assert source.read() is not None
    assert (source.overflows, source.lost_s) == (3, [(0.0, 82.0)] * 3)
    source.deliver(np.zeros(100, np.float32))
    source.read()
    source.overflows += 1  # as a device tells of one
    source.deliver(np.zeros(100, np.float32))
    source.read()
    assert source.lost_s[3:] == [(82.0, 82.0)]


def test_without_keeping_nothing_grows() -> None:
    source = TimedPushed("blocks", 1000, 100, WallClock())
    source.until(threading.Event(), 1.0, keep=False)
    for _ in range(100):
        source.deliver(np.zeros(10, np.float32))
        source.read()
    assert source.blocks == 100
    assert (len(source.times_s), len(source.ends), source.blocks_read) == (0, 0, [])


def test_percentiles_are_in_milliseconds() -> None:
    found = percentiles(np.linspace(0.001, 0.101, 101))
    assert found == {"p50": 51.0, "p99": 100.0, "spread": 49.0, "max": 101.0, "count": 101}
    assert percentiles([]) is None


def test_growth_is_between_the_second_and_the_last_quarter() -> None:
    mib = 1 << 20
    assert growth_mib([90 * mib] * 4 + [100 * mib] * 4 + [101 * mib] * 4 + [103 * mib] * 4) == 3.0
    assert growth_mib([100 * mib, 200 * mib, 100 * mib, 100 * mib] * 4) == 0.0  # one moment is no growth
    assert growth_mib([1, 2, 3]) is None


def test_budgets_find_their_figures() -> None:
    found = {"path_ms": {"p50": 2.5, "p99": 12.0, "spread": 9.5}, "inference_ms": None, "overflows": 0}
    at = {budget.name: budget.figure(found) for budget in BUDGETS}
    assert (at["block to message, p50"], at["block to message, p99"], at["overflows"]) == (2.5, 12.0, 0.0)
    assert at["inference, p99"] is None
    assert at["growth of memory"] is None
    met = {budget.name: budget.met(at[budget.name] or 0.0) for budget in BUDGETS}
    assert (met["block to message, p50"], met["block to message, p99"]) == (True, False)
    assert [Budget((), "", 1, "").shown(figure) for figure in (0.1234, 12.34, 1234.5)] == ["0.123", "12.3", "1234"]


def test_what_is_played_are_notes_with_rests() -> None:
    made, rest = players.sounds(synths.load("paper"), 16384), round(players.REST_S * 16384)
    notes = made["notes"].reshape(players.PATCHES, rest + 16384)
    assert not notes[:, :rest].any()
    np.testing.assert_array_equal(notes[:, rest:].ravel(), made["patches"])
    assert np.abs(made["patches"]).max() == pytest.approx(players.PEAK)
    assert not made["silence"].any()


# -- it runs --------------------------------------------------------------------------------------


def fails() -> dict[str, Any]:
    raise InversynthError("no ports\nat all")


def crashes() -> dict[str, Any]:
    os._exit(7)


def says() -> dict[str, Any]:
    print("half an hour is over", file=sys.stderr)
    os.write(2, b"JackShmReadWritePtr::~JackShmReadWritePtr\n")
    return {}


def test_what_the_process_that_measures_says_is_shown_and_what_libraries_say_is_not(
    capfd: pytest.CaptureFixture[str],
) -> None:
    assert apart.apart(says) == {}
    assert capfd.readouterr().err == "half an hour is over\n"


def test_what_goes_wrong_in_the_process_that_measures_is_an_error_here() -> None:
    with pytest.raises(InversynthError, match="no ports at all"):
        apart.apart(fails)
    with pytest.raises(InversynthError, match="has ended with 7"):
        apart.apart(crashes)


@pytest.fixture(scope="module", params=["simulated", "jack"])
def measured(
    request: pytest.FixtureRequest, tiny_file: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[str, str, dict[str, Any]]:
    """How it was measured, what the command printed, and the figures it wrote; with a model that is there at once."""
    if request.param == "jack":
        jack_server.require()
    out = tmp_path_factory.mktemp("bench") / "figures.json"
    words = ["bench", "live", "--model", tiny_file, "--seconds", "2", "--periods", "512", "--out", out]
    if request.param == "simulated":
        words.append("--simulated")
    command = [sys.executable, "-m", "inversynth", *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return request.param, done.stdout, json.loads(out.read_text())


def test_the_budgets_are_printed_each_beside_its_figure(measured: tuple[str, str, dict[str, Any]]) -> None:
    how, printed, found = measured
    (row,) = found["periods"]
    for budget in BUDGETS:
        figure = budget.figure(row)
        line = next(line for line in printed.splitlines() if budget.name in line)
        assert f" {budget.most:g}" in line
        shown = "-" if figure is None else f"{budget.shown(figure)} {'✓' if budget.met(figure) else '✗'}"
        assert f" {shown} " in line
    assert f"audio in: {row['device']}; MIDI out: {row['midi']}" in printed
    assert ("simulated device" in row["device"]) is (how == "simulated")
    assert ("virtual MIDI port" in row["midi"]) or how == "simulated"


def test_the_figures_agree_with_each_other(measured: tuple[str, str, dict[str, Any]]) -> None:
    (row,) = measured[2]["periods"]
    assert row["path_ms"]["max"] >= row["path_ms"]["p99"] >= row["path_ms"]["p50"] > row["inference_ms"]["p50"] > 0
    assert 1 <= row["path_ms"]["count"] <= row["inference_ms"]["count"] <= 2 * bench.FOLLOW_RATE
    assert row["messages"] >= row["path_ms"]["count"]
    assert 1 <= row["notes"] <= 2
    assert row["first_message_ms"]["count"] <= row["notes"]
    assert row["idle_percent"] > 0
    assert {"cpu", "python"} <= set(measured[2]["machine"])


def test_a_player_plays_from_the_beginning_of_each_sound() -> None:
    made = [noise(5, 0), noise(7, 1)]
    player = _native.LoopPlayer(np.concatenate(made), np.cumsum([5, 7]))

    def played(samples: int) -> NDArray[np.float32]:
        return asked(*player.callback(), samples)

    np.testing.assert_array_equal(played(12), made[0][np.arange(12) % 5])
    player.play(1)
    np.testing.assert_array_equal(played(16), made[1][np.arange(16) % 7])
    player.play(1)
    np.testing.assert_array_equal(np.concatenate([played(3), played(6)]), made[1][np.arange(9) % 7])
    player.play(0)
    np.testing.assert_array_equal(played(6), made[0][np.arange(6) % 5])


@pytest.mark.parametrize(
    ("ends", "message"),
    [
        ([], "the last sound must end with the 5 samples"),
        ([4], "the last sound must end with the 5 samples"),
        ([3, 3, 5], "sound 1 has no samples"),
        ([0, 5], "sound 0 has no samples"),
        ([6, 5], "sound 1 has no samples"),
        ([-1, 5], "sound 0 has no samples"),
    ],
)
def test_a_loop_player_holds_whole_sounds(ends: list[int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        _native.LoopPlayer(noise(5), np.array(ends, np.int64))


def test_a_loop_player_plays_what_it_holds() -> None:
    with pytest.raises(ValueError, match="no sound 2"):
        _native.LoopPlayer(noise(5), np.array([3, 5])).play(2)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--periods 128,many", "'128,many' are not numbers of samples"),
        ("--periods 1", "a period of 1 samples is outside 16..8192"),
        ("--seconds 0", "0 seconds are outside 1..604800"),
    ],
)
def test_a_wrong_use_is_one_line(words: str, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "live", *words.split()]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_a_model_that_is_not_there_is_one_line(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "live", "--model", "nothing.onnx", "--periods", "512", "--simulated"]) == 2
    assert "no model 'nothing.onnx'" in capfd.readouterr().err.splitlines()[-1]


def test_without_jack_the_device_is_simulated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda tool: None)
    assert not players.has_jack()


# -- the benchmark --------------------------------------------------------------------------------


@pytest.fixture
def benchmark(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    monkeypatch.delitem(sys.modules, "live", raising=False)
    return importlib.import_module("live")


def test_a_contender_with_default_options_predicts_the_same(benchmark: ModuleType, tiny_file: Path) -> None:
    contender, ours = benchmark.with_defaults(str(tiny_file)), bench.load_on_cpu(str(tiny_file))
    window = np.random.default_rng(0).standard_normal(ours.audio.samples).astype(np.float32)
    for got, expected in zip(contender.predict_one(window), ours.predict_one(window), strict=True):
        np.testing.assert_allclose(got, expected, atol=1e-6)


def test_the_tables_say_what_was_measured(benchmark: ModuleType, measured: tuple[str, str, dict[str, Any]]) -> None:
    found = measured[2]
    (row,) = found["periods"]
    found = found | {"contenders": {name: row for name in benchmark.CONTENDERS}}
    page = benchmark.markdown(found)
    assert f"| block to message, p50 | {BUDGETS[0].shown(row['path_ms']['p50'])} " in page
    assert f"| keras.predict | {row['path_ms']['p50']:.2f} | {row['path_ms']['p99']:.2f} | " in page
