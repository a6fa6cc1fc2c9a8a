"""Outside the domain: recordings of real instruments and voices, matched by the refinement and by every baseline.

    python benchmarks/recordings.py --install

The recordings are in Debian packages, which `--install` downloads with apt-get and unpacks with dpkg-deb into a
cache; nothing is installed on the machine. Each is matched as `inversynth match` does it: its first note, one second.
No recording has a right patch, so there are measures of sounds alone. All search on one core with the same scorer, and
make the same distance small; the baselines get as many renders as the longest refinement used.
"""

from __future__ import annotations

import argparse
import mmap
import os
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from needs import NOT_MEASURED, divided
from numpy.typing import ArrayLike, NDArray
from pages import Rows, add_options, as_markdown, concluded, is_whole, shown
from rich.console import Console
from rich.progress import track

from inversynth import metrics, synths
from inversynth.audio.files import read_file
from inversynth.audio.windows import window
from inversynth.errors import UsageError
from inversynth.matching.picture import FLOOR_DB, spectrograms
from inversynth.predict.model import load_model
from inversynth.predict.shipped import default_model
from inversynth.search import refine
from inversynth.search.baselines import BASELINES
from inversynth.search.scoring import Scorer, Scores
from inversynth.synths.paper.table import FORMAT
from inversynth.synths.synth import Synth
from inversynth.system.files import writing
from inversynth.system.machine import machine

HERE = Path(__file__).parent
SOURCE = HERE / "recordings.json"
DOCS = HERE.parent / "docs" / "recordings.md"
PICTURE = HERE.parent / "docs" / "recordings.png"
SYNTH = "paper"

Sound = tuple[NDArray[np.float32], int]
"""(samples,) mono, and their rate in Hz."""


# -- the list ------------------------------------------------------------------------------------

FLUID, FREEPATS, SONIC_PI, ALSA, KTUBERLING = (
    "fluid-soundfont-gm",
    "freepats",
    "sonic-pi-samples",
    "alsa-utils",
    "ktuberling-data",
)
PACKAGES = {
    FLUID: "usr/share/sounds/sf2/FluidR3_GM.sf2",
    FREEPATS: "usr/share/midi/freepats",
    SONIC_PI: "usr/share/sonic-pi/samples",
    ALSA: "usr/share/sounds/alsa",
    KTUBERLING: "usr/share/ktuberling/sounds",
}
"""Where a package has its recordings. Licences: MIT (Fluid), GPL (Freepats, alsa-utils, KTuberling), CC0 (Sonic Pi)."""


class Recording(NamedTuple):
    """What it is, its note, how it is played, and the Debian package and the sample in it.

    `note`: by its measured period, if it has a clear one. `sample`: a name in the SF2 file, or a file; of a Gravis
    patch, the number of the sample follows the file. Of stereo samples in the SF2 file the left is used.
    """

    name: str
    note: str
    kind: str
    package: str
    sample: str


RECORDINGS = (
    Recording("violin", "D5", "bowed", FLUID, "Violin D6(L)"),
    Recording("viola", "C♯5", "bowed", FLUID, "Viola C#4(L)"),
    Recording("cello", "G2", "bowed", FLUID, "Cello G3(L)"),
    Recording("double bass", "F1", "bowed", FLUID, "Bass F2(L)"),
    Recording("violins, tremolo", "G♯3", "bowed", FREEPATS, "Tone_000/044_Tremolo_Strings.pat:1"),
    Recording("flute", "D♯5", "blown", FREEPATS, "Tone_000/073_Flute.pat:2"),
    Recording("piccolo", "G♯5", "blown", FLUID, "Piccolo G#6(L)"),
    Recording("pan flute", "C5", "blown", FLUID, "pan flute c6(L)"),
    Recording("shakuhachi", "C5", "blown", FLUID, "shakhchi c6(L)"),
    Recording("ocarina", "A6", "blown", FLUID, "OcarA4"),
    Recording("blown bottle", "G3", "blown", FREEPATS, "Tone_000/076_Bottle_Blow.pat:0"),
    Recording("oboe", "A♯4", "blown", FLUID, "Oboe A#4(L)"),
    Recording("cor anglais", "B3", "blown", FLUID, "English Horn B4(L)"),
    Recording("bassoon", "G4", "blown", FLUID, "E's Bassoon G3(L)"),
    Recording("clarinet", "G♯3", "blown", FLUID, "Clarinet G#4(L)"),
    Recording("alto saxophone", "C4", "blown", FLUID, "Alto C5(L)"),
    Recording("tenor saxophone", "C4", "blown", FLUID, "Tenor C5(L)"),
    Recording("trumpet", "C5", "blown", FREEPATS, "Tone_000/056_Trumpet.pat:2"),
    Recording("horn", "A♯3", "blown", FREEPATS, "Tone_000/060_French_Horn.pat:6"),
    Recording("tuba", "A♯1", "blown", FREEPATS, "Tone_000/058_Tuba.pat:2"),
    Recording("bagpipe", "C5", "blown", FLUID, "Bagpipe C6"),
    Recording("accordion", "C5", "blown", FLUID, "Accordian C6(L)"),
    Recording("church organ", "A4", "blown", FLUID, "Church Organ A4"),
    Recording("nylon guitar", "B3", "plucked", FREEPATS, "Tone_000/024_Nylon_Guitar.pat:4"),
    Recording("steel guitar", "C4", "plucked", FREEPATS, "Tone_000/025_Steel_Guitar.pat:4"),
    Recording("distorted guitar", "", "plucked", FLUID, "Distortion E215"),
    Recording("banjo", "B3", "plucked", FLUID, "Banjo 3"),
    Recording("harpsichord", "G♯4", "plucked", FREEPATS, "Tone_000/006_Harpsichord.pat:1"),
    Recording("sitar", "F4", "plucked", FREEPATS, "Tone_000/104_Sitar.pat:0"),
    Recording("violins, pizzicato", "F♯4", "plucked", FLUID, "Pizz F#5(L)"),
    Recording("bass guitar, slapped", "F2", "plucked", FLUID, "Slap Bass D3"),
    Recording("piano, middle", "A♯3", "struck", FLUID, "P200 Piano A#4(L)"),
    Recording("piano, high", "D5", "struck", FLUID, "P200 Piano D6(L)"),
    Recording("hammered dulcimer", "C5", "struck", FREEPATS, "Tone_000/015_Dulcimer.pat:4"),
    Recording("celesta", "C♯5", "struck", FREEPATS, "Tone_000/008_Celesta.pat:0"),
    Recording("glockenspiel", "C6", "struck", FREEPATS, "Tone_000/009_Glockenspiel.pat:1"),
    Recording("marimba", "C5", "struck", FLUID, "Marimba C 6(L)"),
    Recording("tubular bell", "F5", "struck", FREEPATS, "Tone_000/014_Tubular_Bells.pat:0"),
    Recording("steel drum", "C5", "struck", FREEPATS, "Tone_000/114_Steel_Drums.pat:3"),
    Recording("timpani", "D2", "struck", FLUID, "Timpani 2(L)"),
    Recording("snare drum", "", "struck", SONIC_PI, "drum_snare_hard.flac"),
    Recording("cymbal", "", "struck", SONIC_PI, "drum_cymbal_open.flac"),
    Recording("tabla", "", "struck", SONIC_PI, "tabla_na.flac"),
    Recording("singer, ah", "C5", "voice", FLUID, "solo_vox_c4"),
    Recording("choir, ah", "A4", "voice", FLUID, "Ahh Choir A5(L)"),
    Recording("choir, ooh", "B4", "voice", FREEPATS, "Tone_000/053_Voice_Oohs.pat:2"),
    Recording("speech, English", "", "voice", ALSA, "Front_Center.wav"),
    Recording("speech, French", "", "voice", KTUBERLING, "fr/chapeau.wav"),
    Recording("speech, Finnish", "", "voice", KTUBERLING, "fi/hattu.wav"),
    Recording("crow", "", "voice", SONIC_PI, "misc_crow.flac"),
)


def location(recording: Recording, cache: Path) -> Path | None:
    """The file that holds a recording, in the cache or installed, if it is there."""
    base = PACKAGES[recording.package]
    inside = Path() if base.endswith(".sf2") else Path(recording.sample.split(":")[0])
    places = (root / base / inside for root in (cache / recording.package, Path("/")))
    return next((place for place in places if place.is_file()), None)


def read(recording: Recording, cache: Path) -> Sound:
    """A recording; raises `UsageError` where it can't be read."""
    path = location(recording, cache)
    if path is None:
        raise UsageError(f"{recording.package} has no {recording.sample}; it is another version than the list is for")
    if path.suffix == ".sf2":
        return soundfont(path, recording.sample)
    if path.suffix == ".pat":
        return gravis(path, int(recording.sample.split(":")[1]))
    return read_file(path)


def missing(cache: Path) -> list[str]:
    """The packages of which a recording isn't there."""
    return sorted({one.package for one in RECORDINGS if location(one, cache) is None})


def install(cache: Path) -> None:
    """Downloads and unpacks the packages that are missing into the cache; raises `UsageError` where it can't."""
    for package in missing(cache):
        fetch(package, cache)


def fetch(package: str, cache: Path) -> None:
    """Downloads and unpacks a Debian package into the cache; raises `UsageError` where it can't."""
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)  # apt-get drops its privileges to download
        try:
            subprocess.run(["apt-get", "download", "-q", package], cwd=folder, check=True)
            subprocess.run(["dpkg-deb", "-x", next(folder.glob("*.deb")), cache / package], check=True)
        except (OSError, subprocess.CalledProcessError) as error:
            raise UsageError(f"{package} could not be fetched ({error}); this needs Debian's apt-get") from None


# -- files ---------------------------------------------------------------------------------------


def soundfont(path: Path, name: str) -> Sound:
    """The sample of this name in an SF2 file (SoundFont Technical Specification 2.04, sections 5 and 7.10)."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        chunks = _chunks(data, 0, len(data))
        at, size = chunks[b"shdr"]
        for title, start, end, _, _, rate, *_ in struct.iter_unpack("<20s5IBbHH", data[at : at + size]):
            if title.split(b"\0")[0] == name.encode():
                first = chunks[b"smpl"][0]
                return _from_16_bit(data[first + 2 * start : first + 2 * end]), rate
    raise UsageError(f"{path} has no sample {name!r}; it is another version than the list is for")


def _chunks(data: mmap.mmap, at: int, end: int) -> dict[bytes, tuple[int, int]]:
    """Where the chunks of a RIFF file begin, and their sizes in bytes; those of lists too."""
    found: dict[bytes, tuple[int, int]] = {}
    while at + 8 <= end:
        kind, size = struct.unpack_from("<4sI", data, at)
        if kind in (b"RIFF", b"LIST"):
            found |= _chunks(data, at + 12, at + 8 + size)
        else:
            found[kind] = at + 8, size
        at += 8 + size + size % 2
    return found


def _from_16_bit(data: bytes) -> NDArray[np.float32]:
    return np.frombuffer(data, "<i2").astype(np.float32) / np.float32(32768)


def gravis(path: Path, number: int) -> Sound:
    """A sample of a Gravis Ultrasound patch (.pat), by number from 0 (Gravis Ultrasound SDK, appendix of file formats).

    Headers of the file (129 bytes), its instrument (63) and its layer (47), then each sample: a header and its data.
    """
    data = path.read_bytes()
    at = 129 + 63 + 47
    for i in range(data[at - 41]):
        size, rate, modes = *struct.unpack_from("<I8xH", data, at + 8), data[at + 55]
        if i == number:
            if not modes & 1:
                raise UsageError(f"{path} has samples of 8 bits; those of the list have 16")
            sound = np.frombuffer(data, "<u2", size // 2, at + 96)
            return _from_16_bit((sound ^ 0x8000 if modes & 2 else sound).tobytes()), rate
        at += 96 + size
    raise UsageError(f"{path} has no sample {number}; it is another version than the list is for")


# -- measuring -----------------------------------------------------------------------------------

MEASURES = ("rho_stft", "lsd_db", "mel_db", "mfcc_db", "wmfcc_db", "sot_hz", "spectral_convergence", "rms_cosine")
"""Of `metrics.sound_measures` and `metrics.field_measures`; beside them stands the distance that all make small."""
TITLES = {"distance": "the distance made small", **{name: metrics.TITLES[name] for name in MEASURES}}
BETTER_HIGH = ("rho_stft", "rms_cosine")
NEEDED = {"CMA-ES": "cma"}


class OnOneCore(Scorer):
    """A scorer on one core."""

    def __call__(self, values: ArrayLike, workers: int | None = 1) -> Scores:
        return super().__call__(values, workers)


def measured(instrument: Synth, target: NDArray[np.float32], values: NDArray[np.float64]) -> dict[str, float]:
    """`TITLES` of the patch (P,) against a target (samples,)."""
    sound = instrument.render(values[None], workers=1)
    found = metrics.sound_measures(target[None], sound) | metrics.field_measures(
        target[None], sound, FORMAT.sample_rate
    )
    near = refine.distance(Scorer(instrument, target)(values[None], 1))
    return {"distance": float(near[0]), **{name: float(found[name][0]) for name in MEASURES}}


def refined(seconds: float) -> str:
    """What the refinement is called among the contenders."""
    return f"refined, {seconds:g} s"


def measure(args: argparse.Namespace, console: Console) -> dict[str, Any]:
    """Every recording matched by every contender."""
    instrument = synths.load(SYNTH)
    network = load_model(args.model or default_model(instrument), "cpu")
    before, rows = os.getloadavg(), []
    longest = refined(max(args.seconds))
    asked, baselines, left = RECORDINGS[:: args.every], *divided(BASELINES, NEEDED)
    there = [one for one in asked if location(one, args.cache) is not None]
    if len(there) < len(asked):
        packages = " ".join(missing(args.cache))
        left[f"{len(asked) - len(there)} of {len(asked)} recordings"] = (
            f"they are in Debian packages that are missing: {packages}; unpack them into {args.cache} with --install, "
            f"or install them: apt-get install {packages}"
        )
    if not there:
        raise UsageError(list(left.values())[-1])
    for number, recording in enumerate(track(there, "matching", console=console)):
        target = window(*read(recording, args.cache), network.audio)
        likely = [row[0] for row in network.predict(target[None])]
        values, renders, cores, method = {}, {}, {}, ""
        for seconds in sorted(args.seconds):
            used = time.process_time()
            run = refine.refine(instrument, target, likely, seconds=seconds, seed=number, workers=1)
            if run.stopped == refine.INTERRUPTED:
                raise KeyboardInterrupt
            name = refined(seconds)
            values[name], renders[name], method = run.best[0].values, run.renders, run.method
            cores[name] = (time.process_time() - used) / run.seconds
        scorer = OnOneCore(instrument, target)
        for name, baseline in baselines.items():
            values[name] = baseline(scorer, likely, renders[longest], number)
        figures = {name: measured(instrument, target, values[name]) for name in [*baselines, *values][: len(values)]}
        about = {**recording._asdict(), "method": method, "renders": renders, "cores": cores}
        rows.append({**about, "measures": figures, "values": values[longest].tolist()})
    contenders = {
        name: metrics.summary({key: np.array([row["measures"][name][key] for row in rows]) for key in TITLES})
        for name in rows[0]["measures"]
    }
    return {
        "machine": machine(),
        "load": {"before": before, "after": os.getloadavg()},
        "model": network.name,
        "seconds": sorted(args.seconds),
        "renders": {name: float(np.median([row["renders"][name] for row in rows])) for name in rows[0]["renders"]},
        "cores": {name: float(np.mean([row["cores"][name] for row in rows])) for name in rows[0]["cores"]},
        "contenders": contenders,
        "wins": {name: wins(rows, longest, name) for name in contenders if name != longest},
        "recordings": rows,
        NOT_MEASURED: left,
    }


def wins(rows: list[dict[str, Any]], ours: str, other: str) -> dict[str, int]:
    """On how many recordings ours is nearer than the other, by each measure."""
    found = {}
    for key in TITLES:
        a, b = (np.array([row["measures"][name][key] for row in rows]) for name in (ours, other))
        found[key] = int(np.sum(a > b if key in BETTER_HIGH else a < b))
    return found


# -- showing -------------------------------------------------------------------------------------


def by_rho(found: dict[str, Any]) -> list[dict[str, Any]]:
    """The recordings, best match first."""
    ours = refined(found["seconds"][-1])
    return sorted(found["recordings"], key=lambda row: -row["measures"][ours]["rho_stft"])


def tables(found: dict[str, Any]) -> list[tuple[tuple[str, ...], Rows]]:
    """Headers and rows: means, medians, wins, and each recording."""
    result = []
    for kind in ("mean", "median"):
        rows: Rows = []
        for name, summary in found["contenders"].items():
            cells = [
                f"{at[kind]:.3g} ({at[f'{kind}_95'][0]:.3g}–{at[f'{kind}_95'][1]:.3g})"
                for at in (summary[key] for key in TITLES)
            ]
            rows.append((name, *cells))
        result.append(((f"{kind} (95 %)", *TITLES.values()), rows))
    count, names = len(found["recordings"]), [refined(seconds) for seconds in found["seconds"]]
    rows = [(name, *(str(at[key]) for key in TITLES)) for name, at in found["wins"].items()]
    result.append(((f"{names[-1]}, is nearer, of {count}, than", *TITLES.values()), rows))
    shown = ["network alone", *names]
    rows = []
    for row in by_rho(found):
        best = min((row["measures"][name]["distance"], name) for name in BASELINES if name in row["measures"])[1]
        cells = [f"{row['measures'][name]['rho_stft']:.3f}" for name in (*shown, best)]
        where = f"{row['package']}: {row['sample']}"
        rows.append((row["name"], row["note"], row["kind"], *cells, best, where))
    header = (
        "recording",
        "note",
        "kind",
        *(f"ρ(STFT), {name}" for name in shown),
        "ρ(STFT), best baseline",
        "which",
        "sample",
    )
    return [*result, (header, rows)]


def markdown(found: dict[str, Any]) -> str:
    """The tables, and what they were taken on in a line."""
    names = [refined(seconds) for seconds in found["seconds"]]
    used = "; ".join(
        f"{name}: {found['renders'][name]:,.0f} renders in the median, {100 * found['cores'][name]:.0f} % of a core"
        for name in names
    )
    load = found["load"]
    lines = [
        f"{len(found['recordings'])} recordings from {found['model']}, on {found['machine']['cpu']}; the load "
        f"average was {load['before'][0]:.1f} before and {load['after'][0]:.1f} after. {used[0].upper()}{used[1:]}."
    ]
    return "\n".join(lines + as_markdown(tables(found)))


PAIRS, COLUMNS = 12, 4


def draw(found: dict[str, Any], cache: Path, path: Path) -> None:
    """The spectrograms of a dozen recordings and their matches, evenly from the best to the worst."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from PIL import Image

    instrument, ours = synths.load(SYNTH), refined(found["seconds"][-1])
    ranked = by_rho(found)
    chosen = [ranked[i] for i in np.linspace(0, len(ranked) - 1, min(PAIRS, len(ranked))).round().astype(int)]
    lines = -(-len(chosen) // COLUMNS)
    figure = Figure(figsize=(12, 0.5 + 2.3 * lines), dpi=100)
    canvas: Any = FigureCanvasAgg(figure)
    figure.suptitle(
        f"left the recording, right its match ({ours}); 1 s, 0 to {FORMAT.sample_rate / 2000:.1f} kHz, "
        f"{-FLOOR_DB:.0f} dB below the recording's peak",
        fontsize=10,
        color="0.35",
    )
    outer = figure.add_gridspec(lines, COLUMNS, left=0.01, right=0.99, top=0.92, bottom=0.01, wspace=0.05, hspace=0.16)
    for place, row in enumerate(chosen):
        recording = Recording(*(row[field] for field in Recording._fields))
        target = window(*read(recording, cache), FORMAT)
        sound = instrument.render(np.array([row["values"]]), workers=1)[0]
        inner = outer[place // COLUMNS, place % COLUMNS].subgridspec(1, 2, wspace=0.02)
        for side, decibels in enumerate(spectrograms(target, sound)):
            axes = figure.add_subplot(inner[side])
            axes.imshow(decibels.T, origin="lower", aspect="auto", cmap="magma", vmin=FLOOR_DB, vmax=0)
            axes.set_axis_off()
            if not side:
                score = row["measures"][ours]["rho_stft"]
                axes.set_title(f"{recording.name}, ρ {score:.3f}", fontsize=9, loc="left", pad=3)
    canvas.draw()
    image = Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")
    with writing(path) as temporary:  # 256 colours are a third of the bytes
        image.quantize(256, dither=Image.Dither.NONE).save(temporary, "png", optimize=True)


def main() -> int:
    """Matches, prints tables, and writes the figures, the docs and the picture."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--install", action="store_true", help="download and unpack what is missing into the cache")
    parser.add_argument("--cache", type=Path, default=HERE.parent / "out" / "packages", metavar="FOLDER")
    parser.add_argument("--model", metavar="NAME", help="a name or a file (default: the one shipped)")
    parser.add_argument("--seconds", type=float, nargs="+", default=[0.2, 2.0], help="to refine (default: 0.2 2)")
    parser.add_argument(
        "--every", type=int, default=1, metavar="N", help="each Nth recording; the docs stay as they are"
    )
    add_options(parser, SOURCE, "each tenth recording")
    args = parser.parse_args()
    args.every = max(args.every, 10 if args.quick else 1)
    args.quick = args.every > 1
    console = Console()

    def measured() -> dict[str, Any]:
        if args.install:
            install(args.cache)
        found = measure(args, console)
        if args.out or is_whole(args, found):
            draw(found, args.cache, args.out.with_suffix(".png") if args.out else PICTURE)
        for row in found["recordings"]:
            del row["values"]  # a patch of rounded figures isn't the one that was measured
        return found

    def publish(found: dict[str, Any]) -> None:
        shown(args, console, found, tables(found), DOCS, markdown(found))

    return concluded("recordings", args, measured, publish)


if __name__ == "__main__":
    sys.exit(main())
