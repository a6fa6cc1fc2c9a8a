"""The bank against its rivals: the same patches and the same output, in one run.

    python benchmarks/render.py --out benchmarks/render.json

Each contender renders in a process of its own, pinned to its cores, and shows how far it is from the independent
float64 synth of the tests. Rivals that aren't installed are left out. They need much, and some of it doesn't go with
the rest: give them an environment of their own, and name its Python:

    python -m venv rivals && rivals/bin/pip install -r benchmarks/rivals/requirements.txt
    python benchmarks/render.py --rivals-python rivals/bin/python

Samples per second are the best of several repetitions over memory that is used again; compiling isn't counted.
"""

from __future__ import annotations

import argparse
import functools
import importlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from subprocess import PIPE
from typing import Any

import numpy as np
from needs import NOT_MEASURED, lacks
from numpy.typing import NDArray
from pages import Rows, Tables, add_options, as_markdown, concluded, shortened, shown
from rich.console import Console

from inversynth.errors import InversynthError
from inversynth.synths.paper.table import FORMAT, NOTE, SPACE

HERE = Path(__file__).parent
DOCS = HERE.parent / "docs" / "bank.md"
RATE = FORMAT.sample_rate
RIVALS = {"numpy": "NumPy and SciPy", "numba": "Numba", "torch": "PyTorch", "jax": "JAX", "faust": "Faust"}
ONE_CORE = ("numpy", "faust")
"""Rivals that keep to one core by themselves: here they get a process a core, and their rates are added."""
OTHERS = {"torchsynth": "torchsynth", "synthax": "SynthAX"}
"""Synths of their own, for context."""
NEEDED = {
    "numpy": "scipy",
    "numba": "numba",
    "torch": "torch",
    "jax": "jax",
    "faust": "dawdreamer",
    "torchsynth": "torchsynth",
    "synthax": "synthax",
}
"""The package that each rival needs."""
QUOTED = ("torchsynth, on one GPU, by its authors", 714.0, "arXiv 2104.12922: 16,200 times real time at 44.1 kHz")
CHECKED = 8
"""Sounds that are compared with the reference."""
CACHED = 32
"""Sounds that stay in the cache: 2 MB."""


def best_of(work: Callable[[], object], samples: int, seconds: float) -> dict[str, float]:
    """Million samples a second, best and median, of repetitions over a time; the first, which may compile, apart."""
    started = time.perf_counter()
    work()
    first = time.perf_counter() - started
    times: list[float] = []
    while len(times) < 3 or sum(times) < seconds:
        started = time.perf_counter()
        work()
        times.append(time.perf_counter() - started)
    rates = samples / np.array(times) / 1e6
    return {"best": float(rates.max()), "median": float(np.median(rates)), "first_s": first}


def error(values: NDArray[np.float64], sounds: NDArray[np.float32]) -> dict[str, float] | None:
    """How far sounds are from the float64 synth of the tests: typically, and the share within a thousandth.

    None without SciPy, which that synth needs.
    """
    if lacks("scipy"):
        return None
    sys.path.insert(0, str(HERE.parent / "tests"))
    import reference

    rows = [dict(zip(SPACE.names, row, strict=True)) for row in values[:CHECKED].tolist()]
    exact = np.stack([reference.paper(row, RATE, sounds.shape[1])[0] for row in rows])
    off = np.abs(sounds[:CHECKED] - exact)
    return {"median": float(np.median(off)), "within_a_thousandth": float(np.mean(off < 1e-3))}


def bank(threads: int, count: int, seconds: float) -> dict[str, Any]:
    """The bank, by the path that INVERSYNTH_SIMD names."""
    from inversynth import synths
    from inversynth.synths import sampling
    from inversynth.system.simd import simd_target

    paper = synths.load("paper")
    values = paper.space.values_of_levels(sampling.draw(paper.space, 0, 0, count))
    out = np.zeros((count, RATE), np.float32)
    found = best_of(lambda: paper.render(values, workers=threads, out=out), out.size, seconds)
    return {"path": simd_target().name, "batch": count, **found, "error": error(values, out)}


def rival(name: str, threads: int, count: int, seconds: float) -> dict[str, Any]:
    """A module of rivals/, at the best of its batch sizes."""
    from rivals import Task

    from inversynth.synths import sampling

    module = importlib.import_module(f"rivals.{name}_")
    render = module.make(Task(RATE, RATE, NOTE.hold_s, threads))
    values = SPACE.values_of_levels(sampling.draw(SPACE, 0, 0, count))
    out, found = np.zeros((count, RATE), np.float32), []
    for batch in sorted({min(batch, count) for batch in module.BATCHES}):

        def work(batch: int = batch) -> None:
            for start in range(0, count - batch + 1, batch):
                render(values[start : start + batch], out[start : start + batch])

        done = count // batch * batch
        found.append({"batch": batch, **best_of(work, done * RATE, seconds), "error": error(values[:done], out)})
    return {"about": module.ABOUT, **max(found, key=lambda at: at["best"])}


def torchsynth(threads: int, seconds: float) -> dict[str, Any]:
    """Its voice, with random parameters, as it comes."""
    import pytorch_lightning
    import torch

    sys.modules["pytorch_lightning.core.lightning"] = (
        pytorch_lightning.core.module
    )  # where it was when this was written
    from torchsynth.config import SynthConfig
    from torchsynth.synth import Voice

    torch.set_num_threads(threads)
    found = []
    for batch in (32, 64):
        voice = Voice(SynthConfig(batch_size=batch, reproducible=False, sample_rate=RATE, buffer_size_seconds=1.0))
        with torch.inference_mode():
            found.append({"batch": batch, **best_of(functools.partial(voice, 0), batch * RATE, seconds)})
    return {"about": "its Voice, at 16384 Hz", **max(found, key=lambda at: at["best"])}


def synthax(threads: int, seconds: float) -> dict[str, Any]:
    """Its voice, with random parameters, jitted."""
    import jax
    from synthax.config import SynthConfig
    from synthax.synth import ParametricSynth

    batch = 32
    config = SynthConfig(batch_size=batch, sample_rate=RATE, buffer_size_seconds=1.0)
    synth = ParametricSynth(config=config, sine=1, square_saw=1, fm_sine=1, fm_square_saw=0)
    parameters = synth.init(jax.random.PRNGKey(0))
    play = jax.jit(synth.apply)
    found = best_of(lambda: jax.block_until_ready(play(parameters)), batch * RATE, seconds)
    return {"about": "its ParametricSynth, at 16384 Hz", "batch": batch, **found}


def child(name: str, threads: int, count: int, seconds: float) -> dict[str, Any]:
    """Measures a contender in this process."""
    if name == "bank":
        return bank(threads, count, seconds)
    if name in OTHERS:
        return {"torchsynth": torchsynth, "synthax": synthax}[name](threads, seconds)
    return rival(name, threads, min(count, 256), seconds)


def run(
    python: str,
    name: str,
    threads: int,
    count: int,
    seconds: float,
    path: str = "",
    script: str = __file__,
    ours: bool = False,
) -> dict[str, Any]:
    """What a contender's own process found, or why it found nothing; raises `InversynthError` if it is `ours`."""
    cores = sorted(os.sched_getaffinity(0))[:threads] if hasattr(os, "sched_getaffinity") else []
    shares = [cores]
    if name in ONE_CORE:
        shares, threads = [[core] for core in cores] or [[]] * threads, 1
    limits = {f"{library}_NUM_THREADS": str(threads) for library in ("OMP", "MKL", "OPENBLAS", "NUMBA")}
    places = [str(HERE), str(HERE.parent / "src"), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, **limits, "PYTHONPATH": os.pathsep.join(places), "INVERSYNTH_SIMD": path}
    words = [python, script, "--contender", name, "--threads", str(threads), "--num-sounds", str(count)]
    words += ["--seconds", str(seconds), "--cores"]
    started = [
        subprocess.Popen([*words, ",".join(map(str, share))], text=True, env=environment, stdout=PIPE, stderr=PIPE)
        for share in shares
    ]
    found: list[dict[str, Any]] = []
    for process in started:
        out, problems = process.communicate(timeout=900)
        if process.returncode:
            found.append({"missing": (problems.strip().splitlines() or ["it died"])[-1]})
        else:
            found.append(dict(json.loads(out.splitlines()[-1])))
    failed = [at for at in found if "missing" in at]
    if failed and ours:
        raise InversynthError(f"{name} could not be measured: {failed[0]['missing']}")
    if failed:
        return failed[0]
    return {**found[0], **{figure: sum(at[figure] for at in found) for figure in ("best", "median")}}


def measure(args: argparse.Namespace, console: Console) -> dict[str, Any]:
    """All contenders, on one core and on all."""
    from limit import limit

    from inversynth import _native
    from inversynth.system.machine import machine

    everything = os.cpu_count() or 1
    counts = [threads for threads in (1, 2, 4, 8, 16, 32, 64, 128) if threads < everything] + [everything]
    found: dict[str, Any] = {"machine": machine(), "num_sounds": args.num_sounds, "limit": limit()}
    seconds = 0.2 if args.quick else 2.0
    found["bank"], found["rivals"], found["others"] = [], [], []
    for path, lanes, _ in _native.simd_targets():
        for count in (CACHED, args.num_sounds):
            for threads in counts:
                console.print(f"bank, {path}, {count} sounds, {threads} cores", highlight=False)
                at = run(sys.executable, "bank", threads, count, seconds, path, ours=True)
                found["bank"].append({"lanes": lanes, "threads": threads, **at})
    for kind, table in (("rivals", RIVALS), ("others", OTHERS)):
        for name in table:
            if args.only and name not in args.only:
                continue
            for threads in sorted({1, everything}):
                console.print(f"{table[name]}, {threads} cores", highlight=False)
                at = run(args.rivals_python, name, threads, args.num_sounds, seconds)
                found[kind].append({"name": name, "threads": threads, **at})
    found[NOT_MEASURED] = {"how exact the bank is": why} if (why := lacks("scipy")) else {}
    return found


def tables(found: dict[str, Any]) -> list[tuple[tuple[str, ...], Rows]]:
    """Headers and rows: the bank, and the others beside it."""
    limit = found["limit"]
    fastest: dict[int, float] = {}
    rows: Rows = []
    for at in found["bank"]:
        whole = at["batch"] == found["num_sounds"]
        if whole:
            fastest[at["threads"]] = max(at["best"], fastest.get(at["threads"], 0.0))
        share = ""
        if limit and limit["path"] == at["path"] and at["threads"] == 1:
            share = f"{100e6 * at['best'] / limit['samples_per_s']:.0f} %"
        one = next(o for o in found["bank"] if (o["path"], o["batch"], o["threads"]) == (at["path"], at["batch"], 1))
        size = f"{4 * at['batch'] * RATE / 1e6:.0f} MB"
        cells = (at["path"], str(at["threads"]), size, f"{at['best']:,.0f}", f"{1e6 * at['best'] / RATE:,.0f}")
        rows.append((*cells, f"{at['best'] / one['best']:.2f}", share))
    header = "SIMD target", "cores", "output", "million samples/s", "sounds/s", "times one core", "of the limit"
    result = [(header, rows)]
    rows = []
    for at in found["rivals"] + found["others"]:
        same = at["name"] in RIVALS
        name = {**RIVALS, **OTHERS}[at["name"]]
        if "missing" in at:
            rows.append((name, "", str(at["threads"]), "not measured", at["missing"][:60], "", ""))
            continue
        ratio = f"{fastest[at['threads']] / at['best']:.1f}"
        exact = f"{100 * at['error']['within_a_thousandth']:.2f} %" if at.get("error") else ""
        kind = "yes" if same else "no"
        rows.append((name, kind, str(at["threads"]), f"{at['best']:,.1f}", ratio, exact, at["about"]))
    what, rate, source = QUOTED
    rows.append((what, "no", "", f"{rate:,.0f}", "", "", source))
    header = "rival", "same synth", "cores", "million samples/s", "the bank is faster", "within 10⁻³", "how"
    return [*result, (header, rows)]


def markdown(found: dict[str, Any]) -> str:
    """The tables, and the machine and the limit in a line each."""
    lines = [f"On {found['machine']['cpu']}, {found['machine']['cores']} cores."]
    if found["limit"]:
        at = found["limit"]
        lines[0] += (
            f" A core does {at['instructions_per_s'] / 1e9:.1f} billion vector instructions a second and stores "
            f"{at['bytes_per_s'] / 1e9:.0f} GB/s; with {at['instructions']:.0f} instructions a vector, the limit of "
            f"{at['path']} is {at['samples_per_s'] / 1e6:,.0f} million samples a second."
        )
    return "\n".join(lines + as_markdown(tables(found)))


def command(
    words: str,
    source: Path,
    count: int,
    what: str,
    rivals: Mapping[str, str],
    child: Callable[[str, int, int, float], dict[str, Any]],
    measure: Callable[[argparse.Namespace, Console], dict[str, Any]],
    tables: Callable[[dict[str, Any]], Tables],
    markdown: Callable[[dict[str, Any]], str],
) -> int:
    """A benchmark of contenders in processes of their own: measures, prints, and writes the figures and the docs.

    `rivals` has the package that each needs. Called with --contender it is such a process, which prints what `child`
    has measured.
    """
    parser = argparse.ArgumentParser(description=words.split("\n")[0])
    parser.add_argument("--num-sounds", type=int, default=count, metavar="N", help=f"{what} (default: {count})")
    parser.add_argument("--rivals-python", default=sys.executable, metavar="PYTHON", help="an environment with rivals")
    parser.add_argument("--only", nargs="*", choices=list(rivals), help="these rivals alone")
    add_options(parser, source, "each for a short time")
    for name, kind in (("contender", str), ("threads", int), ("seconds", float), ("cores", str)):
        parser.add_argument(f"--{name}", type=kind, help=argparse.SUPPRESS)
    args = parser.parse_args()
    args.num_sounds = shortened(args, args.num_sounds, 512)
    if args.contender:
        if args.contender in rivals and (why := lacks(rivals[args.contender])):
            print(json.dumps({"missing": why}))
            return 0
        if args.cores and hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(0, {int(core) for core in args.cores.split(",")})
        print(json.dumps(child(args.contender, args.threads, args.num_sounds, args.seconds)))
        return 0
    console = Console()

    def publish(found: dict[str, Any]) -> None:
        shown(args, console, found, tables(found), DOCS, markdown(found))

    return concluded(source.stem, args, lambda: measure(args, console), publish)


def main() -> int:
    """Measures, prints tables, and writes the figures and the docs."""
    source = HERE / "render.json"
    return command(__doc__ or "", source, 1024, "sounds of a second", NEEDED, child, measure, tables, markdown)


if __name__ == "__main__":
    sys.exit(main())
