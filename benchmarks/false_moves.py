"""What moves the bridge though it is no note: messages an hour for silence, noise, hum, clicks and speech.

    python benchmarks/false_moves.py --install --hours 1

The speech is the spoken messages of telephone systems in three languages, from Debian packages, which `--install`
downloads with apt-get and unpacks into a cache; nothing is installed on the machine. Everything goes through the same
code as live sound, faster than real time. Beside it stands what ought to move: sounds of the synth, and instruments.
"""

from __future__ import annotations

import argparse
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import recordings
from needs import NOT_MEASURED
from numpy.typing import NDArray
from pages import Rows, Tables, add_options, as_markdown, concluded, shortened, shown
from rich.console import Console
from rich.progress import track

from inversynth import live, synths
from inversynth.audio.files import read_file, resample
from inversynth.audio.sources import Source, StreamClock
from inversynth.midi import Receiver
from inversynth.midi.profiles import default_profile
from inversynth.predict.model import Model, load_model
from inversynth.predict.shipped import default_model
from inversynth.synths import sampling
from inversynth.synths.paper.table import FORMAT, SPACE
from inversynth.system.machine import machine

HERE = Path(__file__).parent
SOURCE = HERE / "false_moves.json"
PAGE = HERE.parent / "docs" / "live.md"
RATE = FORMAT.sample_rate
PIECE_S = 60.0
"""How much sound is made at a time."""
LEVEL = 0.1
"""The level of noise and hum (RMS): 30 dB above the threshold."""
REST_S = 0.4
SEED = 3
CACHE = HERE.parent / "out" / "packages"
SPEECH = ("asterisk-core-sounds-en-wav", "asterisk-core-sounds-fr-wav", "asterisk-core-sounds-es-wav")
"""Debian packages of people who speak, at 8 kHz. Licence: CC BY-SA 3.0."""
SPEAKING, INSTRUMENTS = "speech", "instruments"
"""What is in Debian packages."""

Sound = NDArray[np.float32]


class Played(Source):
    """Pieces of sound, each at once, in their own time."""

    def __init__(self, parts: Iterator[Sound]) -> None:
        super().__init__("parts", RATE, 1 << 14, StreamClock())
        self._pieces = (part for part in parts for part in np.array_split(part, -(-len(part) // (1 << 14))))

    def read(self) -> Sound | None:
        block = next(self._pieces, None)
        if block is None:
            return None
        self.clock.sleep_until(self.clock.now() + len(block) / RATE)
        self.deliver(block)
        return self._ring.read()


class Counting:
    """A sink that counts."""

    description = "nowhere"

    def __init__(self) -> None:
        self.messages = 0

    def send(self, message: bytes, at_s: float) -> None:
        self.messages += 1

    def returned(self) -> bool:
        return False

    def close(self) -> None:
        pass


# -- sounds that are no notes ----------------------------------------------------------------------


def bursts(make: Callable[[np.random.Generator, int], Sound]) -> Callable[[np.random.Generator], Sound]:
    """Half of a part without a pause; in the other half it stops for `REST_S` once in some seconds and begins again."""

    def part(random: np.random.Generator) -> Sound:
        sound = make(random, round(PIECE_S * RATE))
        at = len(sound) // 2
        while at < len(sound):
            at += round(random.uniform(0.3, 3) * RATE)
            sound[at : at + round(REST_S * RATE)] = 0
            at += round(REST_S * RATE)
        return sound

    return part


def coloured(power: float) -> Callable[[np.random.Generator, int], Sound]:
    """Noise whose power falls with frequency to this power: 0 is white, 1 pink, 2 brown."""

    def noise(random: np.random.Generator, samples: int) -> Sound:
        spectrum = np.fft.rfft(random.standard_normal(samples))
        hz = np.fft.rfftfreq(samples, 1 / RATE)
        spectrum *= np.maximum(hz, 20.0) ** (-power / 2) * (hz > 20)
        sound = np.fft.irfft(spectrum, samples)
        return np.asarray(LEVEL * sound / sound.std(), np.float32)

    return noise


def hum(random: np.random.Generator, samples: int) -> Sound:
    """The mains at 50 or 60 Hz, with harmonics, and a little noise."""
    hz = random.choice([50.0, 60.0]) * random.uniform(0.999, 1.001)
    turns = 2 * np.pi * hz * np.arange(samples) / RATE
    falls = random.uniform(0.5, 2)
    sound = sum(np.sin(k * turns + random.uniform(0, 6)) * random.uniform(0.2, 1) / k**falls for k in range(1, 13))
    sound = np.asarray(sound) + 0.01 * random.standard_normal(samples)
    return np.asarray(LEVEL * sound / sound.std(), np.float32)


def clicks(random: np.random.Generator) -> Sound:
    """Clicks, pops and knocks: up to 8 ms of noise that dies away, four a second."""
    sound = np.zeros(round(PIECE_S * RATE), np.float32)
    for at in random.integers(0, len(sound) - RATE, round(4 * PIECE_S)):
        length = int(random.integers(1, round(0.008 * RATE)))
        fading = np.exp(-np.arange(length) / random.uniform(0.2, 1) / length * 3)
        sound[at : at + length] += (random.uniform(0.05, 1) * random.standard_normal(length) * fading).astype(
            np.float32
        )
    return sound


def quiet(random: np.random.Generator) -> Sound:
    """The noise of an input where nothing is played, 70 dB below full scale, on a constant offset."""
    size = round(PIECE_S * RATE)
    return (0.02 + 3e-4 * random.standard_normal(size)).astype(np.float32)


MADE: dict[str, Callable[[np.random.Generator], Sound]] = {
    "an input's own noise": quiet,
    "white noise": bursts(coloured(0)),
    "pink noise": bursts(coloured(1)),
    "brown noise": bursts(coloured(2)),
    "mains hum": bursts(hum),
    "clicks": clicks,
}


def made(what: str, seconds: float, seed: int = SEED) -> Iterator[Sound]:
    """This many seconds of a sound, in parts."""
    random = np.random.default_rng(seed)
    left = round(seconds * RATE)
    while left > 0:
        part = MADE[what](random)[:left]
        left -= len(part)
        yield part


def install(cache: Path) -> None:
    """Downloads and unpacks the packages of speech that are missing into the cache; raises `UsageError` if it can't."""
    for package in without_speech(cache):
        recordings.fetch(package, cache)


def without_speech(cache: Path) -> list[str]:
    """The packages of speech that are missing in the cache."""
    return [package for package in SPEECH if not (cache / package).is_dir()]


def speech(cache: Path, seconds: float) -> Iterator[Sound]:
    """Spoken messages one after the other, `REST_S` between them, at half of full scale."""
    files = sorted(path for package in SPEECH for path in (cache / package).rglob("*.wav"))
    np.random.default_rng(SEED).shuffle(files)
    left = round(seconds * RATE)
    for path in files:
        sound, rate = read_file(path)
        if len(sound) < rate // 10 or not (peak := np.abs(sound).max()) > 0.01:
            continue
        part = np.pad(resample(sound * np.float32(0.5 / peak), rate, RATE), (0, round(REST_S * RATE)))[:left]
        left -= len(part)
        if not len(part):
            return
        yield part


# -- sounds that are notes ---------------------------------------------------------------------------


def own(count: int) -> Iterator[Sound]:
    """Random patches of the synth, of a second each, with a rest after each."""
    sounds = synths.load("paper").render(SPACE.values_of_levels(sampling.draw(SPACE, SEED, 0, count)))
    for sound in sounds:
        yield np.pad(sound * np.float32(min(1, 0.9 / max(np.abs(sound).max(), 1e-6))), (0, round(REST_S * RATE)))


def instruments(cache: Path) -> Iterator[Sound]:
    """The recordings of benchmarks/recordings.py that have a note, with a rest after each."""
    for recording in recordings.RECORDINGS:
        if recording.note:
            sound, rate = recordings.read(recording, cache)
            sound = resample(sound[: 2 * rate] * np.float32(0.5 / np.abs(sound).max()), rate, RATE)
            yield np.pad(sound, (0, round(REST_S * RATE)))


# -- measuring ----------------------------------------------------------------------------------------


@dataclass
class Counts:
    """What moved in `seconds`: predictions, those that passed the gate, and messages that were sent."""

    seconds: float
    heard: int
    passed: int
    messages: int


def moved(model: Model, parts: Iterator[Sound], mode: str, anything: bool = False) -> Counts:
    """What the bridge makes of some parts of sound."""
    sink, source = Counting(), Played(parts)
    receiver = Receiver(default_profile(synths.load("paper")), sink)
    gate = None if anything else live.Gate(synths.load("paper"), model.audio)
    summary = live.Bridge(source, model, [receiver], live.Settings(mode), gate).run(threading.Event())
    passed = summary.predictions - summary.refused
    return Counts(summary.seconds, summary.predictions, passed, sink.messages)


def measure(args: argparse.Namespace, console: Console) -> dict[str, Any]:
    """The figures of every sound in every mode."""
    model = load_model(args.model or default_model(synths.load("paper")), "cpu")
    seconds = args.hours * 3600
    sounds: dict[str, Callable[[], Iterator[Sound]]] = {
        **{what: partial(made, what, seconds) for what in MADE},
        SPEAKING: lambda: speech(args.cache, seconds),
        "sounds of the synth": lambda: own(args.own),
        INSTRUMENTS: lambda: instruments(args.cache),
    }
    lacking = {SPEAKING: without_speech(args.cache), INSTRUMENTS: recordings.missing(args.cache)}
    left = {
        what: f"needs {' '.join(packages)} in {args.cache}: --install downloads them"
        for what, packages in lacking.items()
        if packages
    }
    sounds = {what: make for what, make in sounds.items() if what not in left}
    found: dict[str, Any] = {}
    for mode in live.MODES:
        found[mode] = {
            what: asdict(moved(model, make(), mode)) for what, make in track(sounds.items(), mode, console=console)
        }
    return {"machine": machine(), "model": model.name, "hours": args.hours, "modes": found, NOT_MEASURED: left}


def tables(found: dict[str, Any]) -> Tables:
    """Headers and rows: a table a mode."""
    result: Tables = []
    for mode, sounds in found["modes"].items():
        rows: Rows = []
        for what, row in sounds.items():
            hours = row["seconds"] / 3600
            each = (row["passed"] / hours, row["messages"] / hours)
            rows.append((what, f"{60 * hours:.0f}", f"{row['heard']:.0f}", *(f"{figure:.3g}" for figure in each)))
        result.append(((f"{mode} mode", "minutes", "predictions", "let pass, an hour", "messages an hour"), rows))
    return result


def markdown(found: dict[str, Any]) -> str:
    """The tables, and a line that says what they were taken on."""
    return "\n".join([f"Model {found['model']}.", *as_markdown(tables(found))])


def main() -> int:
    """Measures, prints the tables, and writes the figures and the docs."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--model", metavar="NAME|PATH", help="the model (default: the shipped one)")
    parser.add_argument("--hours", type=float, default=1.0, help="of each sound that isn't a note (default: 1)")
    parser.add_argument("--own", type=int, default=500, help="sounds of the synth (default: 500)")
    parser.add_argument("--cache", type=Path, default=CACHE, help=f"where recordings are (default: {CACHE})")
    parser.add_argument("--install", action="store_true", help="download what is missing into the cache first")
    add_options(parser, SOURCE)
    args = parser.parse_args()
    console = Console()

    def measured() -> dict[str, Any]:
        if args.install:
            recordings.install(args.cache)
            install(args.cache)
        args.hours, args.own = shortened(args, args.hours, 0.01), shortened(args, args.own, 20)
        return measure(args, console)

    def publish(found: dict[str, Any]) -> None:
        shown(args, console, found, tables(found), PAGE, markdown(found))

    return concluded("false_moves", args, measured, publish)


if __name__ == "__main__":
    sys.exit(main())
