"""Training, export and prediction for an uneven space with categorical parameters, and for networks with notes."""

from __future__ import annotations

import csv
import dataclasses
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

pytest.importorskip("keras", reason="training needs Keras (the extra `train`)")
pytest.importorskip("tf2onnx", reason="exporting needs tf2onnx (the extra `train`)")
pytest.importorskip("onnxruntime", reason="exporting needs onnxruntime (the extra `cpu` or `gpu`)")

import onnx

from inversynth import cli, synths
from inversynth.dataset import DatasetSettings, render_dataset
from inversynth.errors import InversynthError, MismatchError, UsageError
from inversynth.networks import build as networks
from inversynth.networks.frontends import NoteShares
from inversynth.predict.model import Model, load_model
from inversynth.spec import AnyOf, AudioFormat, Note, Param, ParamSpace
from inversynth.synths import Synth, sampling
from inversynth.synths.function import from_function
from inversynth.synths.sampling import Drawn
from inversynth.training import sources
from inversynth.training.loop import train
from inversynth.training.onnx_export import export
from inversynth.training.run import Run, load_arrays, read_history
from inversynth.training.settings import Settings
from inversynth.training.sources import DatasetSounds, FreshSounds

SINE = synths.load("sine")
FORMAT = AudioFormat(2000, 0.1)
SPACE = ParamSpace(
    [
        Param("frequency", "f", 100, 400, "Hz", "exponential", levels=1000),
        Param("loudness", "l", 0, 1, levels=2),
        Param.choice("wave form", "w", ["sine", "square", "saw"]),
        Param("broken", "b", 0, 3, levels=4, kind="ordinal"),
        *(Param.choice(f"choice {i}", "c", [str(n) for n in range(2 + i)]) for i in range(13)),
        *(Param(f"depth {i}", "d", 0, 1, levels=5 + 7 * i, inert_when=AnyOf(("loudness", 0))) for i in range(13)),
    ]
)
BROKEN = SPACE.index("broken")


def sounds(values: Any, notes: Any, rate: int, samples: int) -> NDArray[np.float64]:
    """Waves at a frequency; what is broken at its highest gives NaN."""
    t = np.arange(samples) / rate
    phase = values[:, [0]] * 2 ** ((notes[:, [0]] - 69) / 12) * t
    wave = np.where(values[:, [2]] == 0, np.sin(2 * np.pi * phase), np.sign(np.sin(2 * np.pi * phase)))
    return np.where(values[:, [BROKEN]] == 3, np.nan, wave * notes[:, [1]] / 127 * (t < notes[:, [2]]))


UNEVEN = from_function("uneven", SPACE, FORMAT, sounds)
SMALL = Settings("uneven", "C1", epochs=2, steps=3, batch_size=8, validation=16, warmup_steps=1)


@dataclasses.dataclass(frozen=True)
class AnyKey:
    """Patches of the uniform prior, each with a key of its own."""

    name: str = "any key"

    def draw(self, space: ParamSpace, seed: int, start: int, count: int, stream: int) -> Drawn:
        items = np.arange(start, start + count)
        notes = np.stack([40 + items % 40, np.full(count, 90), np.full(count, 0.0625)], axis=1).astype(np.float64)
        return Drawn(sampling.draw(space, seed, start, count, stream), notes)


KEYED = dataclasses.replace(UNEVEN, prior=AnyKey(), note=Note(60, 100, 0.05))
NOTED = dataclasses.replace(SMALL, note=True)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "uneven"
    assert train(SMALL, UNEVEN, folder)
    return folder


@pytest.fixture(scope="module")
def model(run: Path) -> Model:
    assert export(run, run / "model.onnx", UNEVEN, calibrate=40) <= 1e-3
    return load_model(run, "cpu")


def drawn(count: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Sounds that can be rendered, and their levels."""
    levels = sampling.draw(SPACE, 8, 0, count, sampling.TEST)
    levels[:, BROKEN] %= 3
    return UNEVEN.render(SPACE.values_of_levels(levels)), levels


# -- kinds and levels ----------------------------------------------------------------------------


def test_thirty_parameters_of_2_to_1000_levels_of_all_kinds_are_trained_exported_and_predicted(
    model: Model, run: Path
) -> None:
    assert (len(SPACE), int(SPACE.levels.min()), int(SPACE.levels.max())) == (30, 2, 1000)
    assert (model.synth, model.space, model.engine) == ("uneven", SPACE, "onnxruntime")
    audio, _ = drawn(5)
    network = networks.build("C1", SPACE, FORMAT, window=UNEVEN.window_samples(FORMAT.sample_rate))
    network.set_weights(load_arrays(run / "best.npz")[0])
    temperatures = tuple((a, b) for a, b in model.facts.training["temperatures"])
    heads = networks.Heads(SPACE, temperatures=temperatures)
    expected = heads.probabilities(network.predict_on_batch(audio))
    for param, mine, theirs in zip(SPACE, model.predict(audio), expected, strict=True):
        assert mine.shape == (5, param.levels)
        np.testing.assert_allclose(mine.sum(axis=1), 1, atol=1e-4)
        np.testing.assert_allclose(mine, np.asarray(theirs), atol=1e-3)
    for one, many in zip(model.predict_one(audio[0]), model.predict(audio[:1]), strict=True):
        np.testing.assert_allclose(one, many[0], atol=1e-5)


def test_a_synth_of_one_parameter_is_trained_exported_and_predicted(tmp_path: Path) -> None:
    space = ParamSpace([Param("pitch", "f", 200, 800, "Hz", levels=64)])

    def tone(values: NDArray[np.float64], notes: NDArray[np.float64], rate: int, samples: int) -> NDArray[np.float64]:
        return np.asarray(np.sin(2 * np.pi * values * np.arange(samples) / rate))

    one = from_function("one", space, AudioFormat(8000, 0.10007), tone)  # no whole number of samples
    assert train(dataclasses.replace(SMALL, synth="one"), one, tmp_path / "run")
    assert export(tmp_path / "run", tmp_path / "one.onnx", one) <= 1e-3
    model = load_model(tmp_path / "one.onnx", "cpu")
    model.require(one)
    (found,) = model.predict(one.render([[200.0], [800.0]]))
    assert found.shape == (2, 64)
    np.testing.assert_allclose(model.predict_one(one.render([[800.0]])[0])[0], found[1], atol=1e-5)


def test_the_loss_of_an_uneven_space_is_the_mean_cross_entropy_of_its_softmaxes() -> None:
    _, levels = drawn(6)
    labels = np.where(SPACE.active(levels), levels, -1)
    assert (labels < 0).any()
    logits = np.random.default_rng(1).normal(0, 2, (6, int(SPACE.levels.sum()))).astype(np.float32)
    each = []
    for i, row in enumerate(np.split(logits.astype(np.float64), np.cumsum(SPACE.levels)[:-1], axis=1)):
        for scores, level in zip(row, labels[:, i], strict=True):
            each += [] if level < 0 else [np.log(np.exp(scores).sum()) - scores[level]]
    made = float(networks.Heads(SPACE).loss(labels.astype(np.int32), logits))
    assert made == pytest.approx(np.mean(each), rel=1e-5)


def test_a_mean_absolute_error_is_that_of_the_parameters_that_have_an_order(run: Path) -> None:
    with open(run / "history.csv", newline="") as file:
        assert all(0 < float(row["val_mae"]) < 400 for row in csv.DictReader(file))


def test_where_all_are_choices_there_is_no_mean_absolute_error_and_the_run_goes_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "choices.py"
    file.write_text(
        "import numpy as np\n"
        "from inversynth import AudioFormat, Param, ParamSpace, from_function\n"
        'SPACE = ParamSpace([Param.choice(f"p{i}", "p", "abcdef") for i in range(6)])\n'
        "def render(values, notes, rate, samples):\n"
        "    return np.sin(np.outer(1 + values.sum(axis=1), np.arange(samples)))\n"
        'SYNTH = from_function("choices", SPACE, AudioFormat(1000, 0.1), render)\n'
    )
    out = str(tmp_path / "run")
    options = [
        "--note",
        "--model",
        "C1",
        "--steps",
        "2",
        "--batch-size",
        "4",
        "--validation",
        "8",
        "--warmup-steps",
        "1",
    ]
    assert cli.main(["train", "--synth", str(file), "--out", out, "--epochs", "1", *options]) == 0
    output = capsys.readouterr().err
    assert "MAE -" in output
    assert f"next: inversynth export {out} --synth {file}\n" in output
    assert cli.main(["train", "--resume", "--out", out]) == 2
    assert "trained on choices, which isn't here; name its file with --synth" in capsys.readouterr().err
    assert cli.main(["train", "--resume", "--synth", str(file), "--out", out, "--epochs", "2"]) == 0
    assert [row["val_mae"] for row in read_history(tmp_path / "run" / "history.csv", 99)] == [None, None]
    assert cli.main(["export", out]) == 2
    assert (
        "trained on the synth choices, which isn't here; name its Python file with --synth" in capsys.readouterr().err
    )
    assert cli.main(["export", out, "--synth", "sine"]) == 2
    assert "the synth choices, not on sine" in capsys.readouterr().err
    assert cli.main(["export", out, "--synth", str(file)]) == 0
    model = load_model(out)
    assert (model.synth, model.note) == ("choices", Note())  # which is held to the end
    settings = json.loads((tmp_path / "run" / "settings.json").read_text())["settings"]
    assert settings["synth"] == "choices"  # a name, and no path


# -- what fails ----------------------------------------------------------------------------------


def test_patches_that_can_not_be_rendered_are_left_out_and_others_stand_in_their_places() -> None:
    source = FreshSounds(UNEVEN, dataclasses.replace(SMALL, validation=64, batch_size=32))
    expected = sampling.draw(SPACE, SMALL.seed, 0, 32, sampling.TRAINING)
    broken = expected[:, BROKEN] == 3
    assert 0 < broken.sum() < 20
    (audio, levels), after = next(source.batches(0))
    np.testing.assert_array_equal(levels[~broken], expected[~broken])
    for made in (levels, source.validation[1]):
        assert (made[:, BROKEN] < 3).all()
    assert (levels[broken] != expected[broken]).any(axis=1).all()
    np.testing.assert_array_equal(audio, UNEVEN.render(SPACE.values_of_levels(levels)))
    (second, _), _ = next(source.batches(after))
    straight = source.batches(0)
    next(straight)
    np.testing.assert_array_equal(next(straight)[0][0], second)


def test_what_stands_in_for_a_patch_that_fails_is_never_a_validation_patch() -> None:
    space = ParamSpace([Param("broken", "b", 0, 1, levels=2), Param("spare", "s", 0, 1, levels=32)])

    def half(values: Any, notes: Any, rate: int, samples: int) -> Any:
        return np.where(values[:, [0]] == 1, np.nan, np.ones((len(values), samples)))

    source = FreshSounds(from_function("half", space, FORMAT, half), dataclasses.replace(SMALL, validation=20))
    held_out = {tuple(row) for row in source.validation[1].tolist()}
    batches, seen = source.batches(0), set()
    for _ in range(40):
        seen |= {tuple(row) for row in next(batches)[0][1].tolist()}
    assert len(held_out | seen) == 32
    assert held_out.isdisjoint(seen)


def test_a_synth_that_fails_on_everything_is_an_error() -> None:
    def never(values: Any, notes: Any, rate: int, samples: int) -> Any:
        raise RuntimeError("no licence")

    with pytest.raises(InversynthError, match=r"uneven can't be trained on: \d+ patches in a row fail: .*no licence"):
        FreshSounds(from_function("uneven", SPACE, FORMAT, never), SMALL)


@dataclasses.dataclass(frozen=True)
class Few:
    """A prior of few patches: the first 20 of the space."""

    name: str = "few"

    related: bool = False

    def draw(self, space: ParamSpace, seed: int, start: int, count: int, stream: int) -> Drawn:
        levels = np.zeros((count, len(space)), np.int64)
        levels[:, 0] = np.arange(start, start + count) % 20
        return Drawn(levels, families=levels[:, 0] // 5 if self.related else None)


def test_a_prior_that_draws_nothing_but_validation_patches_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "AHEAD", 16)
    source = FreshSounds(dataclasses.replace(UNEVEN, prior=Few()), dataclasses.replace(SMALL, validation=40))
    with pytest.raises(UsageError, match="draws no patch but those of the validation set; use a smaller --validation"):
        next(source.batches(0))


@dataclasses.dataclass(frozen=True)
class Variations:
    """Two patches of a family, each played by a key of its own."""

    name: str = "variations"

    def draw(self, space: ParamSpace, seed: int, start: int, count: int, stream: int) -> Drawn:
        items = np.arange(start, start + count)
        notes = np.stack([40 + items, np.full(count, 90), np.full(count, 0.0625)], axis=1).astype(np.float64)
        return Drawn(sampling.draw(space, seed, start, count, stream), notes, items // 2)


def test_of_a_dataset_what_failed_and_the_families_of_the_validation_set_are_left_out_and_notes_are_given(
    tmp_path: Path,
) -> None:
    synth = dataclasses.replace(UNEVEN, prior=Variations())
    dataset = render_dataset(DatasetSettings(synth, 60, seed=2), tmp_path / "data")
    good = np.flatnonzero(~dataset.failed)
    assert 0 < len(good) < 60
    settings = dataclasses.replace(NOTED, data=str(tmp_path / "data"), validation=9, batch_size=4)
    source = DatasetSounds(dataset, synth, settings)
    held_out = good[-9:]
    np.testing.assert_array_equal(source.validation[1], dataset.levels[held_out])
    assert isinstance(source.validation[0], list)
    np.testing.assert_array_equal(source.validation[0][1], dataset.notes[held_out].astype(np.float32))
    expected = [item for item in good[:-9].tolist() if item // 2 not in held_out // 2]
    batches, seen = source.batches(0), set()
    for _ in range(2 * len(good) // 4):
        (inputs, _), _ = next(batches)
        seen |= set(inputs[1][:, 0].astype(int) - 40)  # each item has its key
    assert sorted(seen) == expected


def test_patches_of_the_families_of_the_validation_set_are_not_trained_on() -> None:
    prior = Few(related=True)
    source = FreshSounds(dataclasses.replace(UNEVEN, prior=prior), dataclasses.replace(SMALL, validation=6))
    batches, seen = source.batches(0), set()
    for _ in range(10):
        seen |= set(next(batches)[0][1][:, 0].tolist())
    assert seen == set(range(10, 20))  # the first six are of the first two families of five


# -- notes ---------------------------------------------------------------------------------------


def test_sounds_are_played_by_the_notes_of_the_prior_and_a_network_that_takes_them_gets_them() -> None:
    (inputs, levels), _ = next(FreshSounds(KEYED, NOTED).batches(0))
    assert isinstance(inputs, list)
    audio, notes = inputs
    assert notes.shape == (8, 3)
    assert (notes[:, 1:] == np.array([90, 0.0625], np.float32)).all()
    np.testing.assert_array_equal(audio, KEYED.render(SPACE.values_of_levels(levels), note=notes.astype(np.float64)))
    (plain, _), _ = next(FreshSounds(KEYED, SMALL).batches(0))
    np.testing.assert_array_equal(plain, audio)


def test_a_synth_whose_prior_draws_no_notes_plays_its_own() -> None:
    (inputs, _), _ = next(FreshSounds(SINE, dataclasses.replace(NOTED, synth="sine")).batches(0))
    np.testing.assert_array_equal(inputs[1], np.tile(np.array(SINE.note.row, np.float32), (8, 1)))


def test_the_note_reaches_the_network_as_shares_and_a_long_hold_is_as_an_endless_one() -> None:
    network = networks.build("C1", SPACE, FORMAT, window=64, note=True)
    assert [tuple(port.shape) for port in network.inputs] == [(None, 200), (None, 3)]
    shares = NoteShares(0.1)
    given = np.array([[60, 100, 0.05], [127, 127, 0.1], [0, 1, np.inf], [60, 100, 2.0]], np.float32)
    expected = np.array([[60 / 127, 100 / 127, 0.5], [1.0, 1, 1], [0, 1 / 127, 1], [60 / 127, 100 / 127, 1]])
    np.testing.assert_allclose(np.asarray(shares(given)), expected, rtol=1e-6)


@pytest.fixture(scope="module")
def noted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run of a network that takes the note, and its exported model."""
    folder = tmp_path_factory.mktemp("runs") / "noted"
    assert train(dataclasses.replace(NOTED, learning_rate=0.02), KEYED, folder)
    assert export(folder, folder / "model.onnx", KEYED, calibrate=20) <= 1e-3
    return folder


def test_a_model_that_takes_the_note_takes_it_as_a_second_input_and_says_so(noted: Path) -> None:
    proto = onnx.load(noted / "model.onnx")
    assert [port.name for port in proto.graph.input] == ["audio", "note"]
    assert {entry.key: entry.value for entry in proto.metadata_props}["note"] == json.dumps(KEYED.note.to_data())
    model = load_model(noted, "cpu")
    assert model.note == KEYED.note
    audio, _ = drawn(3)
    notes = np.array([[40, 90, 0.05], [79, 20, np.inf], [60, 100, 0.05]])
    given, usual = model.predict(audio, notes), model.predict(audio)
    differences = np.max([np.abs(a - b).max(axis=1) for a, b in zip(given, usual, strict=True)], axis=0)
    assert (differences > 1e-6).tolist() == [True, True, False]  # the last is the synth's own note
    one = [row.copy() for row in model.predict_one(audio[0], Note(40, 90, 0.05))]
    for mine, many in zip(one, given, strict=True):
        np.testing.assert_allclose(mine, many[0], atol=1e-5)
    for mine, many in zip(model.predict_one(audio[0]), usual, strict=True):
        np.testing.assert_allclose(mine, many[0], atol=1e-5)
    with pytest.raises(UsageError, match=r"notes must have the shape \(3,\) or \(3, 3\)"):
        model.predict(audio, np.ones((2, 3)))


def test_a_model_whose_file_does_not_say_what_its_second_input_is_is_refused(noted: Path, tmp_path: Path) -> None:
    proto = onnx.load(noted / "model.onnx")
    kept = [(entry.key, entry.value) for entry in proto.metadata_props]
    loud = json.dumps({**KEYED.note.to_data(), "velocity": 200})
    for text, reason in ((None, "inputs and outputs are not"), ("{}", "damaged"), (loud, "damaged")):
        changed: Mapping[str, str] = {k: text or "" if k == "note" else v for k, v in kept if k != "note" or text}
        onnx.helper.set_model_props(proto, changed)
        onnx.save(proto, tmp_path / "model.onnx")
        with pytest.raises(UsageError, match=reason):
            load_model(tmp_path)


def test_a_run_that_takes_the_note_is_resumed_as_such(noted: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(noted, tmp_path / "run"))
    with pytest.raises(MismatchError, match="note True, not False"):
        train(dataclasses.replace(SMALL, epochs=3, learning_rate=0.02), KEYED, folder, resume=True)
    assert train(dataclasses.replace(NOTED, epochs=3, learning_rate=0.02), KEYED, folder, resume=True)


def test_a_network_of_a_synths_own_does_not_take_the_note(tmp_path: Path) -> None:
    paper = synths.load("paper")
    with pytest.raises(UsageError, match="Atoms can't take the note; leave --note out"):
        networks.build("Atoms", paper.space, paper.format, own=paper.networks, note=True)


# -- windows -------------------------------------------------------------------------------------


def test_a_run_remembers_the_window_of_its_front_end(run: Path, tmp_path: Path) -> None:
    assert UNEVEN.window_samples(FORMAT.sample_rate) == 64
    assert Run.read(run).window == 64
    settings = json.loads((run / "settings.json").read_text())
    del settings["window"]
    (tmp_path / "settings.json").write_text(json.dumps(settings))
    assert Run.read(tmp_path).window == 512  # of before it was written down
    (tmp_path / "settings.json").write_text(json.dumps({**settings, "window": "wide"}))
    with pytest.raises(UsageError, match=r"settings\.json is damaged"):
        Run.read(tmp_path)


def test_a_run_for_another_synth_is_refused(run: Path, tmp_path: Path) -> None:
    other: Synth = dataclasses.replace(UNEVEN, name="other")
    with pytest.raises(MismatchError, match="a run on the synth uneven, not on other"):
        train(SMALL, other, tmp_path / "new")
    with pytest.raises(MismatchError, match="synth uneven, not other"):
        train(dataclasses.replace(SMALL, synth="other"), other, run, resume=True)
