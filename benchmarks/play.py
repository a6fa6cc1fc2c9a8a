"""What the audio callback of `inversynth play` takes, for blocks of 128 to 1024 samples at 48 kHz.

    python benchmarks/play.py [--quick] [--show] [--out FILE.json]

It plays without an audio device: eight notes of a random patch are held, and then the patch is changed in every block
besides, so that all voices always fade. Measured is the processor's time, whatever else the machine does.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import numpy as np
from pages import ROOT, Found, Tables, add_options, as_markdown, concluded, shown
from rich.console import Console

from inversynth import synths
from inversynth.live.play import VOICES, Voices
from inversynth.synths import sampling
from inversynth.system.machine import machine
from inversynth.system.simd import simd_target

HERE = Path(__file__).parent
RATE = 48000
BLOCKS = (128, 256, 512, 1024)
HELD, CHANGED = "eight notes held", "and the patch changed in every block"


def taken_s(block: int, changed: bool, calls: int) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """(calls,) how long each call took."""
    paper = synths.load("paper")
    voices = Voices(paper, paper.space.values_of_levels(sampling.draw(paper.space, 1, 0, 1))[0], RATE)
    for note in range(60, 60 + VOICES):
        voices.note_on(note)
    cutoff, out, taken = paper.space.index("cutoff"), np.empty((block, 1), np.float32), np.empty(calls)
    for i in range(calls):
        if changed:
            voices.set(cutoff, 500.0 + i % 1000)
        began = time.thread_time()
        voices.native.process(out)
        taken[i] = time.thread_time() - began
    return taken


def measure(seconds: float) -> Found:
    """The median and the 99th percentile of each block size, over `seconds` of sound."""
    rows = []
    for what in (HELD, CHANGED):
        for block in BLOCKS:
            p50, p99 = np.percentile(taken_s(block, what == CHANGED, round(seconds * RATE / block)), [50, 99])
            rows.append({"what": what, "block": block, "p50_s": float(p50), "p99_s": float(p99)})
    return {"machine": machine(), "path": simd_target().name, "rate_hz": RATE, "voices": VOICES, "rows": rows}


def tables(found: Found) -> Tables:
    """The figures as rows of text."""
    header = ("block", "its time", "what plays", "callback p50", "p99", "p50, of the block's time")
    rows = []
    for row in found["rows"]:
        block_s = row["block"] / found["rate_hz"]
        cells = (f"{row['block']}", f"{1e3 * block_s:.2f} ms", row["what"])
        rows.append(
            (*cells, *(f"{1e6 * row[key]:.0f} µs" for key in ("p50_s", "p99_s")), f"{row['p50_s'] / block_s:.1%}")
        )
    return [(header, rows)]


def markdown(found: Found) -> str:
    """The figures as they stand in the docs."""
    head = (
        f"On {found['machine']['cpu']}, SIMD target `{found['path']}`, {found['voices']} voices, {found['rate_hz']} Hz."
    )
    return "\n".join([head, *as_markdown(tables(found))])


def main() -> int:
    """Measures, prints the table, and writes the figures and the docs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_options(parser, HERE / "play.json")
    args = parser.parse_args()

    def publish(found: Found) -> None:
        shown(args, Console(), found, tables(found), ROOT / "docs" / "play.md", markdown(found))

    return concluded("play", args, lambda: measure(1.0 if args.quick else 60.0), publish)


if __name__ == "__main__":
    sys.exit(main())
