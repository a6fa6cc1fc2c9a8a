"""The bench: that its figures are those of the definitions, in every form, and that a wrong call is one line."""

from __future__ import annotations

import csv
import dataclasses
import json
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pytest
from rich.console import Console

import onnx_file
import reference
from inversynth import metrics, synths
from inversynth.audio.augmentation import DEGRADATIONS
from inversynth.cli import main
from inversynth.cli.evaluate import _show_parameters, _show_sounds
from inversynth.errors import InversynthError, MismatchError, UsageError
from inversynth.metrics.intervals import RESAMPLES, resamples
from inversynth.search.audible import audible
from inversynth.search.baselines import BASELINES
from inversynth.spec import Param, ParamSpace
from inversynth.synths import sampling
from inversynth.synths.function import from_function
from inversynth.synths.synth import Published

pytest.importorskip("onnxruntime", reason="models need onnxruntime (the extra `cpu` or `gpu`)")

from inversynth import evaluation
from inversynth.evaluation import Evaluation, evaluate
from inversynth.evaluation.examples import Examples

SINE = synths.load("sine")
COUNT, SEED = 6, 5
FILES = ["evaluation.json", "evaluation.png", "measures.csv", "parameters.csv"]


@pytest.fixture(scope="module", autouse=True)
def few_timed_runs() -> Iterator[None]:
    """No test looks at times."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(evaluation, "TIMED_RUNS", 5)
        yield


@pytest.fixture(scope="module")
def found(tiny_file: Path) -> Evaluation:
    return evaluate(tiny_file, num_examples=COUNT, seed=SEED)


@pytest.fixture(scope="module")
def levels() -> np.ndarray:
    return sampling.draw(SINE.space, SEED, 0, COUNT, sampling.TEST)


def rendered(levels: np.ndarray) -> np.ndarray:
    return SINE.render(SINE.space.values_of_levels(levels)).astype(np.float64)


def rows_of(path: Path) -> list[dict[str, str]]:
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


# -- the figures ---------------------------------------------------------------------------------


def test_the_parameters_figures_are_those_of_the_definitions(found: Evaluation, levels: np.ndarray) -> None:
    scores = [rendered(levels) @ matrix for matrix in onnx_file.weights(SINE)]
    above = [(s > s[np.arange(COUNT), levels[:, i]][:, None]).sum(axis=1) for i, s in enumerate(scores)]
    rows = found.facts["parameters"]["masked"]
    assert [row["mpr"] for row in rows] == pytest.approx([100 * (1 - (rank / 16).mean()) for rank in above])
    assert [row["top"][2] for row in rows] == pytest.approx([(rank < 3).mean() for rank in above])
    assert found.facts["mean_mpr"]["masked"] == pytest.approx(np.mean([row["mpr"] for row in rows]))
    assert found.facts["chance_mpr"] == 53.125


def test_the_sounds_figures_compare_the_predicted_patch_and_an_unrelated_one(
    found: Evaluation, levels: np.ndarray
) -> None:
    sounds = rendered(levels)
    predicted = np.stack([(sounds @ matrix).argmax(axis=1) for matrix in onnx_file.weights(SINE)], axis=1)
    for columns, key, others in (
        (found.sounds, "sound", rendered(predicted)),
        (found.chance, "chance_sound", np.roll(sounds, 1, axis=0)),
    ):
        distances = [
            np.linalg.norm(reference.spectrogram(a) - reference.spectrogram(b))
            for a, b in zip(sounds, others, strict=True)
        ]
        np.testing.assert_allclose(columns["f_delta"], distances)
        assert found.facts[key]["f_delta"]["mean"] == pytest.approx(np.mean(distances))
        assert found.facts[key]["f_delta"]["median"] == pytest.approx(np.median(distances))
        field = metrics.field_measures(sounds, others, SINE.format.sample_rate)
        for name, values in field.items():
            np.testing.assert_allclose(columns[name], values, rtol=1e-5)
    assert list(found.sounds) == list(found.facts["sound"]) == list(metrics.TITLES)


# -- intervals -----------------------------------------------------------------------------------


def test_a_bootstrap_interval_is_that_of_the_known_distribution() -> None:
    values = np.random.default_rng(1).normal(3.0, 2.0, 400)
    summary = metrics.summary({"a": values, "b": 10 * values})
    low, high = summary["a"]["mean_95"]  # type: ignore[misc]
    half = 1.96 * values.std() / np.sqrt(400)
    assert (low, high) == pytest.approx((values.mean() - half, values.mean() + half), abs=0.02)
    low, high = summary["a"]["median_95"]  # type: ignore[misc]
    half = 1.96 * 2.0 * np.sqrt(np.pi / 2 / 400)  # of a normal median
    assert (low, high) == pytest.approx((np.median(values) - half, np.median(values) + half), abs=0.1)
    assert summary["b"]["mean_95"] == pytest.approx([10 * end for end in summary["a"]["mean_95"]])  # type: ignore[union-attr]
    assert metrics.summary({"a": values})["a"] == summary["a"]


def test_the_resamples_are_2000_draws_with_replacement() -> None:
    chosen = np.concatenate(list(resamples(700)))
    assert chosen.shape == (RESAMPLES, 700)
    assert (chosen.min(), chosen.max()) == (0, 699)
    shares = np.array([len(np.unique(row)) / 700 for row in chosen])
    assert shares.mean() == pytest.approx(1 - np.exp(-1), abs=0.005)


def test_the_interval_of_a_parameter_that_is_never_audible_is_none() -> None:
    each, mean = metrics.mean_intervals([[1.0, 5.0], [3.0, 5.0]], [[True, False], [True, False]])
    assert each[0] == [1.0, 3.0]
    assert np.isnan(each[1]).all()
    assert mean == [1.0, 3.0]


def test_the_interval_of_a_masked_mean_resamples_what_counts() -> None:
    random = np.random.default_rng(2)
    values = random.normal(50, 10, (500, 2))
    use = np.stack([np.ones(500, bool), np.arange(500) < 100], axis=1)
    values[~use] = 1e9
    each, mean = metrics.mean_intervals(values, use)
    for (low, high), column in zip(each, (values[:, 0], values[:100, 1]), strict=True):
        half = 1.96 * column.std() / np.sqrt(len(column))
        assert (low, high) == pytest.approx((column.mean() - half, column.mean() + half), abs=0.25 * half)
    assert mean[0] < (values[:, 0].mean() + values[:100, 1].mean()) / 2 < mean[1]


# -- calibration ---------------------------------------------------------------------------------

PAIR = ParamSpace([Param("depth", "B", 0, 1, levels=2), Param("rate", "v", 0, 1, levels=2, inert_when=("depth", 0))])


def test_the_calibration_error_is_that_of_a_case_by_hand() -> None:
    # Ten predictions at 0.9, of which 6 are right; ten at 0.75, of which 9 are right.
    top = np.repeat([0.9, 0.75], 10)
    depth = np.stack([top, 1 - top], axis=1)
    right = np.concatenate([np.repeat([0, 1], [6, 4]), np.repeat([0, 1], [9, 1])])
    levels = np.stack([right, np.zeros(20, int)], axis=1)
    first, second = metrics.calibration(PAIR, [depth, depth], levels, counted=True)
    assert first["ece"] == pytest.approx(0.5 * 0.3 + 0.5 * 0.15)
    assert second["ece"] == pytest.approx(0.5 * 0.1 + 0.5 * 0.25)
    assert [i for i, count in enumerate(first["count"]) if count] == [11, 13]  # fifteenths, above and up to
    assert (first["confidence"][13], first["accuracy"][13]) == pytest.approx((0.9, 0.6))
    both = metrics.pooled([first, second])
    assert both["count"][13] == 20
    assert both["accuracy"][13] == pytest.approx(0.8)
    assert both["ece"] == pytest.approx(0.5 * 0.1 + 0.5 * 0.2)


def test_calibration_counts_a_parameter_where_it_counts() -> None:
    certain = np.tile([1.0, 0.0], (4, 1))
    rows = metrics.calibration(PAIR, [certain, certain], [[0, 1], [0, 1], [1, 0], [1, 1]])
    assert [sum(row["count"]) for row in rows] == [4, 2]
    assert [row["ece"] for row in rows] == [0.5, 0.5]


def test_drawn_levels_are_calibrated_and_overconfidence_is_not() -> None:
    random = np.random.default_rng(3)
    share = random.uniform(0, 1, 20_000)
    scores = np.stack([share, 1 - share], axis=1)
    levels = np.stack([random.uniform(0, 1, 20_000) > share] * 2, axis=1).astype(int)
    assert metrics.calibration(PAIR, [scores, scores], levels)[0]["ece"] < 0.015
    sharper = scores**3 / (scores**3).sum(axis=1, keepdims=True)
    assert metrics.calibration(PAIR, [sharper, sharper], levels)[0]["ece"] > 0.1


# -- refinement ----------------------------------------------------------------------------------


def test_refined_patches_are_measured_beside_the_predicted_ones(
    tiny_file: Path, found: Evaluation, tmp_path: Path
) -> None:
    some = 2
    refined = evaluate(tiny_file, num_examples=some, seed=SEED, refine=0.3, out=tmp_path)
    assert refined.refined is not None
    facts = refined.facts["refined"]
    assert list(refined.refined) == list(metrics.TITLES)
    assert refined.refined["lsd_db"].mean() < refined.sounds["lsd_db"].mean()
    assert facts["exact"] >= refined.facts["exact"]
    assert facts["near"] == np.mean(refined.refined["residual_db"] < -40)
    assert facts["sound"]["mel_db"]["median"] == pytest.approx(np.median(refined.refined["mel_db"]))
    assert facts["limit_s"] == 0.3
    rows = rows_of(tmp_path / "measures.csv")
    for key, values in refined.refined.items():
        np.testing.assert_allclose([float(row[f"refined_{key}"]) for row in rows], values, rtol=1e-9)
    for key, values in refined.sounds.items():  # the network's stay
        np.testing.assert_allclose(values, found.sounds[key][:some], rtol=1e-5)


# -- baselines -----------------------------------------------------------------------------------


def test_each_baseline_is_measured_on_the_same_sounds(tiny_file: Path, found: Evaluation, levels: np.ndarray) -> None:
    pytest.importorskip("cma", reason="needs the extra `baselines`")
    facts = evaluate(tiny_file, num_examples=COUNT, seed=SEED, baselines=True, budget=20).facts["baselines"]
    assert facts["renders"] == 20
    rows = {row["name"]: row for row in facts["rows"]}
    assert list(rows) == list(BASELINES)
    alone = rows["network alone"]
    for key, summary in found.facts["sound"].items():
        assert alone["sound"][key]["mean"] == pytest.approx(summary["mean"])
    sounds = rendered(levels)
    predicted = np.stack([(sounds @ matrix).argmax(axis=1) for matrix in onnx_file.weights(SINE)], axis=1)
    assert alone["exact"] == pytest.approx((predicted == levels).mean())
    difference = np.linalg.norm(rendered(predicted) - sounds, axis=1) / np.linalg.norm(sounds, axis=1)
    assert alone["sound"]["residual_db"]["median"] == pytest.approx(np.median(20 * np.log10(difference)))
    assert alone["near"] == 0.0
    assert rows["random search"]["sound"]["lsd_db"]["mean"] < rows["mean parameter"]["sound"]["lsd_db"]["mean"]


# -- conditions ----------------------------------------------------------------------------------


def test_each_condition_is_segmented_as_in_a_match_and_compared_with_the_clean_sound(
    tiny_file: Path, found: Evaluation, levels: np.ndarray
) -> None:
    rows = evaluate(tiny_file, num_examples=COUNT, seed=SEED, conditions=True).facts["conditions"]
    assert [row["name"] for row in rows] == [
        "clean",
        *DEGRADATIONS,
        "rendered at 44.1 kHz",
        "rendered at 48 kHz",
    ]  # this synth has no notes
    assert rows[0]["mpr"] == pytest.approx(found.facts["mean_mpr"]["masked"])
    assert rows[0]["rho_stft"] == found.facts["sound"]["rho_stft"]
    late = {row["name"]: row for row in rows}["50 ms late"]
    sounds = rendered(levels)
    segments = np.pad(sounds[:, :-819], ((0, 0), (0, 819)))  # from the onset on
    predicted = np.stack([(segments @ matrix).argmax(axis=1) for matrix in onnx_file.weights(SINE)], axis=1)
    rho = metrics.sound_measures(sounds, rendered(predicted))["rho_stft"]
    assert late["rho_stft"]["mean"] == pytest.approx(rho.mean())


# -- synths of other kinds -----------------------------------------------------------------------


class DrawnNotes:
    """A prior that draws a hold for each patch."""

    name = "holds"

    def draw(self, space: ParamSpace, seed: int, start: int, count: int, stream: int) -> sampling.Drawn:
        holds = 0.1 + 0.1 * np.arange(start, start + count)
        notes = np.stack([np.full(count, 69.0), np.full(count, 100.0), holds], axis=1)
        return sampling.Drawn(sampling.draw(space, seed, start, count, stream), notes)


def held(values: np.ndarray, notes: np.ndarray, rate: int, samples: int) -> np.ndarray:
    return np.asarray(SINE.render(values, rate, samples / rate) * (np.arange(samples) / rate < notes[:, 2:]))


def test_each_sound_is_played_by_the_note_that_was_drawn_for_it(tiny_file: Path, levels: np.ndarray) -> None:
    synth = from_function("held", SINE.space, SINE.format, held, prior=DrawnNotes())
    found = evaluate(tiny_file, synth, num_examples=COUNT, seed=SEED, refine=0.2)
    notes = DrawnNotes().draw(SINE.space, SEED, 0, COUNT, sampling.TEST).notes
    assert notes is not None

    def play(at: np.ndarray, by: np.ndarray) -> np.ndarray:
        return held(SINE.space.values_of_levels(at), by, 16384, 16384).astype(np.float64)

    sounds = play(levels, notes)
    predicted = np.stack([(sounds @ matrix).argmax(axis=1) for matrix in onnx_file.weights(SINE)], axis=1)
    expected = metrics.sound_measures(sounds, play(predicted, notes))
    np.testing.assert_allclose(found.sounds["f_delta"], expected["f_delta"], rtol=1e-5)
    others = play(np.roll(levels, 1, axis=0), np.roll(notes, 1, axis=0))
    np.testing.assert_allclose(found.chance["f_delta"], metrics.sound_measures(sounds, others)["f_delta"], rtol=1e-5)
    assert found.refined is not None
    assert found.refined["rho_stft"].mean() > found.sounds["rho_stft"].mean()
    examples = Examples(synth, levels, notes, [np.ones((COUNT, 16), np.float32)] * 4, np.ones(levels.shape, bool))
    for (played, target, _), sound, note in zip(examples.items(), sounds, notes, strict=True):
        assert played.note.row == tuple(note)
        np.testing.assert_allclose(target, sound, atol=1e-6)


def test_patches_that_cannot_be_rendered_are_left_out_and_counted(
    tiny_file: Path, tmp_path: Path, levels: np.ndarray, capsys: pytest.CaptureFixture[str]
) -> None:
    limit = np.median(levels[:, 2])

    def failing(values: np.ndarray, notes: np.ndarray, rate: int, samples: int) -> np.ndarray:
        if (SINE.space.levels_of_values(values)[:, 2] > limit).any():
            raise RuntimeError("too high")
        return np.asarray(SINE.render(values, rate, samples / rate))

    synth = from_function("failing", SINE.space, SINE.format, failing)
    found = evaluate(tiny_file, synth, num_examples=COUNT, seed=SEED, conditions=True, out=tmp_path)
    good = levels[:, 2] <= limit
    assert 2 <= good.sum() < COUNT
    assert found.facts["failed"] == {"count": int((~good).sum()), "why": "RuntimeError: too high"}
    np.testing.assert_array_equal(found.items, np.flatnonzero(good))
    assert [row["item"] for row in rows_of(tmp_path / "measures.csv")] == [str(i) for i in np.flatnonzero(good)]
    sounds = rendered(levels[good])
    predicted = np.stack([(sounds @ matrix).argmax(axis=1) for matrix in onnx_file.weights(SINE)], axis=1)
    made = rendered(predicted) * (predicted[:, 2] <= limit)[:, None]  # what can't be rendered is silence
    np.testing.assert_allclose(found.sounds["f_delta"], metrics.sound_measures(sounds, made)["f_delta"], rtol=1e-5)
    _show_parameters(found, Console(width=100))
    assert f"{(~good).sum()} of {COUNT} sounds can't be rendered and are left out: RuntimeError: too high" in (
        capsys.readouterr().out
    )


def test_a_synth_that_renders_nothing_is_an_error(tiny_file: Path) -> None:
    def never(*_: object) -> np.ndarray:
        raise RuntimeError("no licence")

    synth = from_function("never", SINE.space, SINE.format, never)
    with pytest.raises(InversynthError, match=r"6 of 6 patches can't be rendered by never: RuntimeError: no licence"):
        evaluate(tiny_file, synth, num_examples=COUNT)


@pytest.mark.filterwarnings("error")
def test_where_no_parameter_is_heard_the_figures_of_what_is_heard_are_null_in_the_file(
    tiny_file: Path, tmp_path: Path
) -> None:
    def silent(values: np.ndarray, notes: np.ndarray, rate: int, samples: int) -> np.ndarray:
        return np.zeros((len(values), samples))

    evaluate(tiny_file, from_function("silent", SINE.space, SINE.format, silent), num_examples=COUNT, out=tmp_path)

    def refuse(name: str) -> None:
        raise AssertionError(f"{name} is no JSON")

    facts = json.loads((tmp_path / "evaluation.json").read_text(), parse_constant=refuse)
    assert facts["mean_mpr"]["masked"] is None
    assert facts["mean_mpr"]["masked_95"] == [None, None]
    assert facts["mean_mpr"]["unmasked"] > 0


def test_published_figures_are_those_of_the_synth(
    tiny_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    published = Published("a thesis", 61.25, {"amplitude_1": 62.5}, {"rho_ft": {"mean": 0.125, "median": 0.25}}, {})
    synth = dataclasses.replace(SINE, published=published)
    found = evaluate(tiny_file, synth, num_examples=2, seed=SEED, out=tmp_path)
    _show_parameters(found, Console(width=100))
    _show_sounds(found, Console(width=100))
    shown = " ".join(capsys.readouterr().out.split())
    for text in ("61.25", "62.50", "0.1250", "0.2500", "published: a thesis."):
        assert text in shown
    rows = {row["name"]: row["mpr_published"] for row in rows_of(tmp_path / "parameters.csv")}
    assert (rows["amplitude_1"], rows["frequency_1"]) == ("62.5", "")


def test_a_measure_that_a_kind_of_parameter_has_not_is_shown_as_none(
    found: Evaluation, capsys: pytest.CaptureFixture[str]
) -> None:
    facts = json.loads(json.dumps(found.facts))
    for kind in ("masked", "unmasked"):
        facts["parameters"][kind][1]["mae"] = None
    _show_parameters(dataclasses.replace(found, facts=facts), Console(width=100))
    line = next(line for line in capsys.readouterr().out.splitlines() if "amplitude_1" in line)
    assert line.split()[-2] == "-"


def test_no_figure_is_cut_on_a_narrow_terminal(found: Evaluation, capsys: pytest.CaptureFixture[str]) -> None:
    shown = []
    for width in (100, 30):
        _show_parameters(found, Console(width=width))
        _show_sounds(found, Console(width=width))
        shown.append(capsys.readouterr().out)
    assert "…" not in shown[1]
    assert shown[1].split() == shown[0].split()


# -- what is written -----------------------------------------------------------------------------


def test_the_command_writes_what_it_found_and_shows_it(
    tiny_file: Path, tmp_path: Path, found: Evaluation, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "deep" / "out"
    words = ["--model", str(tiny_file), "--num-examples", str(COUNT), "--seed", str(SEED), "--out", str(out)]
    assert main(["evaluate", *words, "--synth", "sine"]) == 0
    shown = capsys.readouterr()
    for text in (*SINE.space.names, "rho(STFT)", "F_delta", "sine-tiny", "chance", "ECE"):
        assert text in shown.out
    assert f"evaluating: {COUNT} of {COUNT}" in shown.err
    assert sorted(path.name for path in out.iterdir()) == FILES
    facts: dict[str, Any] = json.loads((out / "evaluation.json").read_text())
    assert facts["machine"]["cores"] >= 1
    for key in ("parameters", "groups", "sound", "chance_sound", "calibration", "mean_mpr"):
        assert facts[key] == found.facts[key]  # a seed gives the same figures each time
    measures = rows_of(out / "measures.csv")
    assert [row["item"] for row in measures] == [str(i) for i in range(COUNT)]
    for key, values in found.sounds.items():
        np.testing.assert_allclose([float(row[key]) for row in measures], values, rtol=1e-9)
    parameters = rows_of(out / "parameters.csv")
    assert [row["name"] for row in parameters] == list(SINE.space.names)
    for row, fact in zip(parameters, found.facts["parameters"]["masked"], strict=True):
        assert float(row["mpr"]) == pytest.approx(fact["mpr"])
        assert float(row["mpr_low"]) <= float(row["mpr"]) <= float(row["mpr_high"])
        assert "mpr_published" not in row  # nothing is published about this synth
    head = (out / "evaluation.png").read_bytes()[:24]
    assert head.startswith(b"\x89PNG\r\n\x1a\n")
    assert min(struct.unpack(">II", head[16:])) > 600


def test_the_papers_figures_stand_beside_those_of_its_own_synth(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = tmp_path / "paper.onnx"
    model.write_bytes(onnx_file.model(synths.load("paper")))
    assert main(["evaluate", "--model", str(model), "--num-examples", "2", "--out", str(tmp_path), "--conditions"]) == 0
    shown = capsys.readouterr().out
    assert "between the notes, a quarter tone" in shown
    assert "77.90" in shown  # its mean MPR
    assert "0.9204" in shown  # its mean rho(STFT)
    rows = {row["name"]: row["mpr_published"] for row in rows_of(tmp_path / "parameters.csv")}
    assert (rows["cutoff"], rows["tri_frequency"]) == ("99.68", "77.9")


# -- wrong calls ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--model", "none"], "no model 'none'"),
        (["--num-examples", "1"], "are outside 2..1048576"),
        (["--num-examples", "-3"], "are outside 2..1048576"),
        (["--baselines", "--budget", "0"], "is outside 1..1048576"),
        (["--refine", "-1"], "s to refine"),
        (["--seed", "-1"], "seed -1 is not"),
        (["--synth", "paper"], "another parameter space"),
    ],
)
def test_a_wrong_call_is_one_line(
    tiny_file: Path, words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["evaluate", "--model", str(tiny_file), *words]) == 2
    error = capsys.readouterr().err
    assert error.startswith("inversynth: error: ")
    assert message in error
    assert error.count("\n") == 1


def test_a_missing_package_is_named_before_anything_is_evaluated(
    tiny_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(what: str) -> NoReturn:
        raise AssertionError(what)

    monkeypatch.setitem(sys.modules, "cma", None)
    with pytest.raises(UsageError, match=r"pip install 'inversynth\[baselines\]'"):
        evaluate(tiny_file, baselines=True, progress=never)
    monkeypatch.setattr("soundfile.available_formats", lambda: {"WAV": ""})
    with pytest.raises(UsageError, match="can't write MP3"):
        evaluate(tiny_file, conditions=True, progress=never)


def test_from_python_the_same_errors_are_raised(tiny_file: Path) -> None:
    with pytest.raises(UsageError, match="are outside 2"):
        evaluate(tiny_file, num_examples=1)
    with pytest.raises(MismatchError, match="sin_frequency is missing"):
        evaluate(tiny_file, synths.load("paper"))


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")
@pytest.mark.parametrize(
    ("words", "stage"),
    [(["--num-examples", "100000"], ""), (["--num-examples", "200", "--refine", "60"], "evaluating")],
)
def test_ctrl_c_ends_it_in_one_line_and_leaves_nothing(
    words: list[str], stage: str, tiny_file: Path, tmp_path: Path
) -> None:
    command = [sys.executable, "-m", "inversynth", "evaluate", "--model", str(tiny_file), *words]
    process = subprocess.Popen([*command, "--out", str(tmp_path / "out")], stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    while process.poll() is None and not (tmp_path / "out").exists():
        time.sleep(0.01)
    if stage:
        assert process.stderr.readline().startswith(stage)
    time.sleep(1)
    process.send_signal(signal.SIGINT)
    output = process.communicate()[1].splitlines()
    assert output[-1] == "inversynth: interrupted"
    assert all(line.startswith("refining: ") for line in output[:-1])
    assert process.returncode == 130
    assert list((tmp_path / "out").iterdir()) == []


def test_a_parameter_is_audible_where_it_changes_the_sound() -> None:
    paper = synths.load("paper")
    space = paper.space
    column = {name: i for i, name in enumerate(space.names)}
    levels = np.full((4, len(space)), 7)
    levels[1, column["attack"]] = 15  # 1 s: the note ends before
    levels[2, column["sustain"]] = 15  # at full level
    levels[3, column["saw_mod_amplitude"]] = 0
    found = audible(paper, levels)
    silent = {1: {"decay", "sustain"}, 2: {"decay"}, 3: {"saw_mod_frequency"}}
    for row, names in enumerate(found):
        assert {space.names[i] for i in np.flatnonzero(~names)} == silent.get(row, set())
