"""Datasets: how fast they are rendered, read, checked, exported and trained on, beside what the disk takes.

    python benchmarks/dataset.py

rewrites benchmarks/dataset.json and the tables of docs/datasets.md. Writing is measured several times, each time
between two plain sequential writes of as many bytes to as many files, since disks are moody; medians are given.
Run it on an idle machine: a rendering takes every core.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from needs import NOT_MEASURED, divided
from pages import ROOT, Rows, add_options, concluded, shown
from rich.console import Console

from inversynth import synths
from inversynth.dataset import Dataset, DatasetSettings, Manifest, open_dataset, render_dataset, verify
from inversynth.dataset.exports import EXPORTS
from inversynth.system.machine import machine

HERE = Path(__file__).parent
SOURCE = HERE / "dataset.json"
DOCS = ROOT / "docs" / "datasets.md"
DTYPES = ("float32", "float16", "int16")
PAPER = synths.load("paper")
BATCH = 64
CHUNK = 1 << 20
BILLION = 10**9
TRAINED = {"C1 --render": 1, "C1 --data": 1, "C6XL --render": 10}
"""Networks and where their sounds are from: what of the steps they are trained for."""
NEEDED = {"hdf5": "h5py", **dict.fromkeys(TRAINED, "keras")}


def seconds_of(work: Callable[[], object]) -> float:
    """How long it takes, started when the disks are idle."""
    os.sync()
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def plain(folder: Path, sizes: list[int]) -> float:
    """How long it takes to write files of these sizes one after another, each synced: what the disk takes."""
    data = memoryview(np.random.default_rng(0).bytes(CHUNK))

    def write() -> None:
        for i, size in enumerate(sizes):
            with open(folder / f"{i}", "wb", buffering=0) as file:
                for start in range(0, size, CHUNK):
                    file.write(data[: size - start])
                os.fsync(file.fileno())

    with emptied(folder):
        folder.mkdir()
        return seconds_of(write)


def writing(place: Path, count: int, repeats: int) -> dict[str, dict[str, float]]:
    """Rates of rendering into a folder, by dtype, and of plain writing; medians over the repeats."""
    taken: dict[str, list[tuple[float, float]]] = {dtype: [] for dtype in DTYPES}
    found = {}
    for _ in range(repeats):
        for dtype in DTYPES:
            settings = DatasetSettings(PAPER, count=count, dtype=dtype)
            sizes = file_sizes(Manifest.of(settings))
            wrote = plain(place / "plain", sizes)
            with emptied(place / "rendered") as folder:
                rendered = seconds_of(partial(render_dataset, settings, folder))
            wrote = (wrote + plain(place / "plain", sizes)) / 2
            taken[dtype].append((sum(sizes) / wrote, sum(sizes) / rendered))
            item_bytes = sum(sizes) / count
            disk, ours = (statistics.median(rates) for rates in zip(*taken[dtype], strict=True))
            found[dtype] = {
                "plain_mb_s": disk / 1e6,
                "render_mb_s": ours / 1e6,
                "render_sounds_s": ours / item_bytes,
                "share": statistics.median(mine / its for its, mine in taken[dtype]),
                "bytes_a_sound": item_bytes,
            }
    return found


def file_sizes(manifest: Manifest) -> list[int]:
    """The sizes in bytes of all files of shards, in the order they are written."""
    return [part.bytes for shard in range(manifest.shards) for part in manifest.parts(shard).values()]


@contextlib.contextmanager
def emptied(folder: Path) -> Iterator[Path]:
    """A folder that isn't there, and isn't afterwards."""
    shutil.rmtree(folder, ignore_errors=True)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def evict(folder: Path) -> None:
    """Has the system forget what it holds of the files of a folder."""
    os.sync()
    for file in folder.iterdir():
        with open(file, "rb") as stream:
            os.posix_fadvise(stream.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def read_all(dataset: Dataset) -> None:
    """Every item once, in random batches."""
    order = np.random.default_rng(0).permutation(len(dataset))
    for start in range(0, len(order), BATCH):
        dataset.read(order[start : start + BATCH])


def reading(folder: Path) -> dict[str, float]:
    """Sounds a second in random batches: the first pass, from the disk and with its SHA-256, and a later one."""
    if hasattr(os, "posix_fadvise"):
        evict(folder)
    dataset = open_dataset(folder)
    first, later = (seconds_of(lambda: read_all(dataset)) for _ in range(2))
    return {"first_sounds_s": len(dataset) / first, "later_sounds_s": len(dataset) / later}


def training(model: str, data: Path | None, steps: int, folder: Path) -> dict[str, float]:
    """Sounds a second of the steps alone, and the share of the time that goes into them, after a first epoch."""
    from inversynth import synths
    from inversynth.training.loop import train
    from inversynth.training.settings import Settings

    epochs: list[dict[str, Any]] = []

    def report(what: str, facts: dict[str, Any]) -> None:
        if what == "epoch":
            epochs.append(facts)

    settings = Settings(
        model=model, data=None if data is None else str(data), epochs=3, steps=steps, batch_size=BATCH, validation=BATCH
    )
    with emptied(folder) as run:
        train(settings, synths.load(settings.synth), run, report=report)
    seconds, waited = (epochs[-1][key] - epochs[0][key] for key in ("seconds", "waited"))
    sounds = epochs[-1]["sounds"] - epochs[0]["sounds"]
    return {"sounds_s": sounds / (seconds - waited), "in_step": 1 - waited / seconds}


def measure(disk: Path, memory: Path | None, count: int, repeats: int, steps: int, console: Console) -> dict[str, Any]:
    """All figures, in folders that may be filled and are emptied."""
    found: dict[str, Any] = {"num_examples": count, "batch": BATCH, "writing": {}, "reading": {}, "exports": {}}
    for name, place in (("disk", disk), ("memory", memory)):
        if place is not None:
            console.print(f"rendering to the {name}")
            found["writing"][name] = writing(place, count, repeats)
    for dtype in DTYPES:
        console.print(f"reading {dtype}")
        with emptied(disk / "read") as folder:
            render_dataset(DatasetSettings(PAPER, count=count, dtype=dtype), folder)
            found["reading"][dtype] = reading(folder)
    with emptied(disk / "small") as folder:
        dataset = render_dataset(DatasetSettings(PAPER, count=max(2 * BATCH, count // 4)), folder)
        found["verify_sounds_s"] = len(dataset) / seconds_of(lambda: verify(folder))
        dataset.read(range(len(dataset)))
        exports, without = divided(EXPORTS, NEEDED)
        for form, export in exports.items():
            console.print(f"exporting {form}")
            with emptied(disk / "export") as out:
                place = out / "dataset.h5" if form == "hdf5" else out
                took = seconds_of(partial(export, dataset, place, None))
                found["exports"][form] = len(dataset) / took
        trained, untrained = divided(TRAINED, NEEDED)
        found["training"] = {}
        for name, share in trained.items():
            console.print(f"training {name}")
            model, source = name.split()
            data = folder if source == "--data" else None
            found["training"][name] = training(model, data, max(2, steps // share), disk / "run")
    found[NOT_MEASURED] = {
        **{f"exporting {form}": why for form, why in without.items()},
        **{f"training {name}": why for name, why in untrained.items()},
    }
    return found


def billion(found: dict[str, Any]) -> dict[str, dict[str, float]]:
    """What a billion sounds cost, by dtype: bytes, hours here, and hours of a core that waits for no disk."""
    cores = found["machine"]["cores"]
    fast = found["writing"].get("memory", found["writing"]["disk"])
    return {
        dtype: {
            "bytes": BILLION * at["bytes_a_sound"],
            "hours": BILLION / at["render_sounds_s"] / 3600,
            "core_hours": cores * BILLION / fast[dtype]["render_sounds_s"] / 3600,
        }
        for dtype, at in found["writing"]["disk"].items()
    }


def tables(found: dict[str, Any]) -> list[tuple[tuple[str, ...], Rows]]:
    """The figures as they are shown: (header, rows) of each table."""
    disk, memory, cost = found["writing"]["disk"], found["writing"].get("memory"), billion(found)

    def row(name: str, of: Callable[[str], str]) -> tuple[str, ...]:
        return (name, *map(of, DTYPES))

    stored = [
        row("bytes a sound of one second", lambda d: f"{disk[d]['bytes_a_sound']:,.0f}"),
        row("rendered to the disk, sounds/s", lambda d: f"{disk[d]['render_sounds_s']:,.0f}"),
        row("rendered to the disk, MB/s", lambda d: f"{disk[d]['render_mb_s']:,.0f}"),
        row("what the disk takes, MB/s", lambda d: f"{disk[d]['plain_mb_s']:,.0f}"),
        row("share of what the disk takes", lambda d: f"{100 * disk[d]['share']:.0f} %"),
        row("read in random batches, sounds/s", lambda d: f"{found['reading'][d]['later_sounds_s']:,.0f}"),
        row("the first time, sounds/s", lambda d: f"{found['reading'][d]['first_sounds_s']:,.0f}"),
        row("a billion sounds, TB", lambda d: f"{cost[d]['bytes'] / 1e12:.1f}"),
        row("a billion sounds, hours on this machine", lambda d: f"{cost[d]['hours']:.1f}"),
        row("a billion sounds, core-hours without waiting for a disk", lambda d: f"{cost[d]['core_hours']:.1f}"),
    ]
    if memory:
        stored.insert(5, row("rendered to memory, sounds/s", lambda d: f"{memory[d]['render_sounds_s']:,.0f}"))
    read = found["reading"]["float32"]["later_sounds_s"]
    trained: Rows = [
        (name, f"{at['sounds_s']:,.0f}", f"{100 * at['in_step']:.1f} %", f"{read / at['sounds_s']:.0f} times")
        for name, at in found["training"].items()
    ]
    others: Rows = [("`data verify`", f"{found['verify_sounds_s']:,.0f}")]
    others += [(f"`data export --format {form}`", f"{rate:,.0f}") for form, rate in found["exports"].items()]
    return [
        (("stored as", *DTYPES), stored),
        (("trained", "sounds/s of the step", "time in the step", "reading is as fast"), trained),
        (("float32", "sounds/s"), others),
    ]


def markdown(found: dict[str, Any]) -> str:
    """The tables, and what they were measured on, as the docs show them."""
    at = found["machine"]
    lines = [f"On {at['cores']} cores ({at['cpu']}), {found['num_examples']:,} sounds, inversynth {at['inversynth']}:"]
    for header, rows in tables(found):
        lines += ["", *(f"| {' | '.join(row)} |" for row in (header, ("---", *("---:",) * (len(header) - 1)), *rows))]
    return "\n".join(lines)


def main() -> int:
    """Measures, prints tables, and writes the figures and the docs."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--disk", type=Path, default=Path(), metavar="DIR", help="a folder on the disk (default: here)")
    parser.add_argument("--memory", type=Path, default=Path("/dev/shm"), metavar="DIR", help="a folder in memory")
    parser.add_argument("--num-examples", type=int, default=16384, metavar="N", help="sounds (default: 16384)")
    add_options(parser, SOURCE, "few sounds, once")
    args = parser.parse_args()
    if not args.disk.is_dir():
        parser.error(f"{args.disk} is not a folder")
    console = Console()

    def measured() -> dict[str, Any]:
        count, repeats, steps = (2 * BATCH, 1, 2) if args.quick else (args.num_examples, 5, 200)
        with contextlib.ExitStack() as stack:
            disk, *memory = (
                Path(stack.enter_context(tempfile.TemporaryDirectory(prefix=".benchmark-", dir=place)))
                for place in (args.disk, args.memory)
                if place.is_dir()
            )
            found = measure(disk, memory[0] if memory else None, count, repeats, steps, console)
        found = {"machine": machine(), **found}
        return found | {"billion": billion(found)}

    def publish(found: dict[str, Any]) -> None:
        shown(args, console, found, tables(found), DOCS, markdown(found))

    return concluded("dataset", args, measured, publish)


if __name__ == "__main__":
    sys.exit(main())
