"""Patches scored against a target, rendered, transformed and compared: the native scorer beside others, in one run.

    python benchmarks/scoring.py --out benchmarks/scoring.json

The rivals score sounds that the bank has rendered for them, in float32, with the same four scores; each runs in a
process of its own, pinned to its cores, and shows how far it is from float64. PyTorch is left out where it isn't
installed; `--rivals-python` names an environment that has it, as in render.py. Candidates a second are the best of
several repetitions.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from limit import BITS, limit
from numpy.typing import NDArray
from pages import Rows, as_markdown
from render import CACHED, best_of, command, run
from rich.console import Console

from inversynth.metrics import FLOOR, WINDOW
from inversynth.search.scoring import Scorer
from inversynth.synths.paper.table import FORMAT

HERE = Path(__file__).parent
DOCS = HERE.parent / "docs" / "bank.md"
RATE = FORMAT.sample_rate
HOP = WINDOW // 2
RIVALS = {"numpy": "NumPy (pocketfft)", "scipy": "scipy.fft, its workers", "torch": "PyTorch (torch.stft)"}
NEEDED = {"numpy": "numpy", "scipy": "scipy", "torch": "torch"}
"""The package that each rival needs."""
BATCHES = (8, 32, 128)
CHECKED = 128
"""Candidates that are compared with float64."""

ERRORS = "error of rho_stft", "of the rest"

Score = Callable[[NDArray[np.float32]], NDArray[np.float32]]
"""(n, samples) sounds to (n, 4) scores."""


def by_numpy(target: NDArray[np.float32], threads: int, scipy: bool = False) -> Score:
    """In whole arrays of float32; the transform by NumPy, or by SciPy on several threads."""
    hann = (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(WINDOW) / WINDOW)).astype(np.float32)
    front = (WINDOW - HOP) // 2
    frames = -(-len(target) // HOP)

    def magnitudes(sounds: NDArray[np.float32]) -> NDArray[np.float32]:
        padded = np.pad(sounds, ((0, 0), (front, (frames + 1) * HOP - front - sounds.shape[1])))
        windowed = np.lib.stride_tricks.sliding_window_view(padded, WINDOW, axis=1)[:, ::HOP] * hann
        if scipy:
            from scipy import fft

            spectra = fft.rfft(windowed, axis=2, overwrite_x=True, workers=threads)
        else:
            spectra = np.fft.rfft(windowed, axis=2)
        return np.asarray(np.abs(spectra), np.float32).reshape(len(sounds), -1)

    right = magnitudes(target[None])[0]
    floor = np.float32(FLOOR * right.max())
    right_logs = np.log(np.maximum(right, floor))
    centred = right_logs - right_logs.mean()
    norms = np.linalg.norm(centred), np.linalg.norm(right), np.linalg.norm(target)

    def score(sounds: NDArray[np.float32]) -> NDArray[np.float32]:
        found = magnitudes(sounds)
        logs = np.maximum(found, floor)
        np.log(logs, out=logs)
        off = np.abs(logs - right_logs).mean(axis=1)
        logs -= logs.mean(axis=1, keepdims=True)
        rho = logs @ centred / (np.linalg.norm(logs, axis=1) * norms[0])
        found -= right
        distances = np.linalg.norm(found, axis=1) / norms[1], np.linalg.norm(sounds - target, axis=1) / norms[2]
        return np.stack([rho, off, *distances], axis=1)

    return score


def by_torch(target: NDArray[np.float32], threads: int) -> Score:
    """torch.stft, and the scores compiled by torch.compile."""
    import torch

    torch.set_num_threads(threads)
    hann = torch.hann_window(WINDOW)
    front = (WINDOW - HOP) // 2
    frames = -(-len(target) // HOP)
    goal = torch.from_numpy(target)

    def magnitudes(sounds: Any) -> Any:
        padded = torch.nn.functional.pad(sounds, (front, (frames + 1) * HOP - front - sounds.shape[1]))
        return torch.stft(padded, WINDOW, HOP, window=hann, center=False, return_complex=True).abs().flatten(1)

    right = magnitudes(goal[None])[0]
    floor = float(FLOOR * right.max())
    right_logs = right.clamp(min=floor).log()
    centred = right_logs - right_logs.mean()

    def compared(found: Any, sounds: Any) -> Any:
        logs = found.clamp(min=floor).log()
        off = (logs - right_logs).abs().mean(1)
        logs = logs - logs.mean(1, keepdim=True)
        rho = (logs * centred).sum(1) / (logs.norm(dim=1) * centred.norm())
        distances = (found - right).norm(dim=1) / right.norm(), (sounds - goal).norm(dim=1) / goal.norm()
        return torch.stack([rho, off, *distances], 1)

    fast = torch.compile(compared, dynamic=False)

    def score(sounds: NDArray[np.float32]) -> NDArray[np.float32]:
        with torch.inference_mode():
            there = torch.from_numpy(sounds)
            return np.asarray(fast(magnitudes(there), there))

    return score


def errors(values: NDArray[np.float64], target: NDArray[np.float32], scores: NDArray[Any]) -> dict[str, float]:
    """The largest errors of the correlation, absolute, and of the other scores, relative, to float64."""
    from dataclasses import astuple, replace

    from inversynth import synths
    from inversynth.search.scoring import Scorer

    in_float64 = replace(synths.load("paper"), make_target=None)
    exact = np.stack(astuple(Scorer(in_float64, target)(values)), axis=1)
    off = np.abs(scores - exact)
    return {"rho_stft": float(off[:, 0].max()), "others": float((off[1:, 1:] / exact[1:, 1:]).max())}


def child(name: str, threads: int, count: int, seconds: float) -> dict[str, Any]:
    """Measures a contender in this process, at its best batch size; the target is the first candidate's sound."""
    from dataclasses import astuple

    from inversynth import synths
    from inversynth.synths import sampling
    from inversynth.system.simd import simd_target

    paper = synths.load("paper")
    values = paper.space.values_of_levels(sampling.draw(paper.space, 0, 0, count))
    target = paper.render(values[:1])[0]
    checked = values[:CHECKED]
    candidates = 1_000_000 * count  # `best_of` counts in millions
    if name == "scorer":
        scorer = Scorer(paper, target)
        found = best_of(lambda: scorer(values, threads), candidates, seconds)
        scores = np.stack(astuple(scorer(checked, threads)), axis=1)
        return {"path": simd_target().name, "batch": count, **found, "error": errors(checked, target, scores)}
    if name == "rendering":
        out = np.empty((min(count, CACHED), RATE), np.float32)
        found = best_of(
            lambda: paper.render(values[: len(out)], workers=threads, out=out), 1_000_000 * len(out), seconds
        )
        return {"path": simd_target().name, "batch": len(out), **found}
    score = by_torch(target, threads) if name == "torch" else by_numpy(target, threads, name == "scipy")
    results = []
    for batch in sorted({min(batch, count) for batch in BATCHES}):
        out, whole = np.empty((batch, RATE), np.float32), count // batch * batch

        def work(batch: int = batch, out: NDArray[np.float32] = out, whole: int = whole) -> None:
            for start in range(0, whole, batch):
                score(paper.render(values[start : start + batch], workers=threads, out=out))

        results.append({"batch": batch, **best_of(work, 1_000_000 * whole, seconds)})
    scores = score(paper.render(checked))
    return {**max(results, key=lambda at: at["best"]), "error": errors(checked, target, scores)}


def stages(path: str) -> list[dict[str, Any]]:
    """For each stage of a path, on one core: instructions and microseconds a candidate. Empty without a C compiler."""
    compiler, ext = shutil.which("cc"), HERE.parent / "ext"
    if path not in BITS or not compiler:
        return []
    columns = []
    with tempfile.TemporaryDirectory() as folder:
        for options in (("-DVECTOR=0", "-DPLAIN"), (f"-DVECTOR={BITS[path]}",)):
            program = str(Path(folder) / "stages")
            words = [
                compiler,
                "-std=c11",
                "-O3",
                "-ffp-contract=off",
                "-fno-math-errno",
                "-fno-trapping-math",
                *options,
            ]
            sources = (HERE / "stages.c", ext / "engines" / "target.c", ext / "dsp" / "spectrum.c")
            words += [f"-I{ext}", *map(str, sources), "-o", program, "-lm"]
            subprocess.run(words, check=True)
            lanes, *lines = subprocess.run([program], check=True, capture_output=True, text=True).stdout.splitlines()
            columns.append([(name, float(cost)) for name, cost in (line.split(",") for line in lines)])
    return [
        {"name": name, "instructions": instructions / int(lanes), "us": 1e6 * seconds / int(lanes)}
        for (name, instructions), (_, seconds) in zip(*columns, strict=True)
    ]


def measure(args: argparse.Namespace, console: Console) -> dict[str, Any]:
    """All contenders, on one core and on all."""
    from inversynth import _native
    from inversynth.system.machine import machine
    from inversynth.system.simd import simd_target

    counts = sorted({1, os.cpu_count() or 1})
    found: dict[str, Any] = {"machine": machine(), "num_candidates": args.num_sounds, "limit": limit()}
    found["stages"] = stages(simd_target().name)
    seconds = 0.2 if args.quick else 2.0
    for name in ("scorer", "rendering"):
        found[name] = []
        for path, lanes, _ in _native.simd_targets():
            for threads in counts:
                console.print(f"{name}, {path}, {threads} cores", highlight=False)
                at = run(sys.executable, name, threads, args.num_sounds, seconds, path, __file__, True)
                found[name].append({"lanes": lanes, "threads": threads, **at})
    found["rivals"] = []
    for name in RIVALS if args.only is None else args.only:
        for threads in counts:
            console.print(f"{RIVALS[name]}, {threads} cores", highlight=False)
            at = run(args.rivals_python, name, threads, args.num_sounds, seconds, "", __file__)
            found["rivals"].append({"name": name, "threads": threads, **at})
    return found


def tables(found: dict[str, Any]) -> list[tuple[tuple[str, ...], Rows]]:
    """Headers and rows: the paths, the stages of the fastest, and the rivals."""
    rows: Rows = []
    fastest: dict[int, float] = {}
    for at, rendered in zip(found["scorer"], found["rendering"], strict=True):
        fastest[at["threads"]] = max(at["best"], fastest.get(at["threads"], 0.0))
        one = next(o for o in found["scorer"] if (o["path"], o["threads"]) == (at["path"], 1))
        cells = (at["path"], str(at["threads"]), f"{at['best']:,.0f}", f"{at['best'] / one['best']:.2f}")
        rows.append(
            (*cells, f"{rendered['best']:,.0f}", f"{at['error']['rho_stft']:.0e}", f"{at['error']['others']:.0e}")
        )
    result: list[tuple[tuple[str, ...], Rows]] = [
        (("SIMD target", "cores", "candidates/s", "times one core", "rendered alone, sounds/s", *ERRORS), rows)
    ]
    if found["stages"]:
        rows, rate = [], found["limit"]["instructions_per_s"]
        whole = found["stages"][-1]["us"]
        for at in found["stages"]:
            reached = 1e6 * at["instructions"] / at["us"]
            cells = (at["name"], f"{at['instructions']:,.0f}", f"{at['us']:.2f}", f"{100 * at['us'] / whole:.0f} %")
            rows.append((*cells, f"{100 * reached / rate:.0f} %"))
        result.append((("stage", "vector instructions", "µs a candidate", "of all", "of the core's rate"), rows))
    rows = []
    for at in found["rivals"]:
        if "missing" in at:
            rows.append((RIVALS[at["name"]], str(at["threads"]), "not measured", at["missing"][:60], "", ""))
            continue
        ratio = f"{fastest[at['threads']] / at['best']:.1f}"
        cells = (RIVALS[at["name"]], str(at["threads"]), f"{at['best']:,.0f}", ratio)
        rows.append((*cells, f"{at['error']['rho_stft']:.0e}", f"{at['error']['others']:.0e}"))
    return [*result, (("rival", "cores", "candidates/s", "the scorer is faster", *ERRORS), rows)]


def markdown(found: dict[str, Any]) -> str:
    """The tables, and the machine in a line."""
    lines = [f"On {found['machine']['cpu']}, {found['machine']['cores']} cores."]
    if found["stages"]:
        lines[0] += (
            f" A core does {found['limit']['instructions_per_s'] / 1e9:.1f} billion vector instructions a second "
            f"({found['limit']['path']}); a candidate takes its share of a vector's."
        )
    return "\n".join(lines + as_markdown(tables(found)))


def main() -> int:
    """Measures, prints tables, and writes the figures and the docs."""
    return command(__doc__ or "", HERE / "scoring.json", 4096, "candidates", NEEDED, child, measure, tables, markdown)


if __name__ == "__main__":
    sys.exit(main())
