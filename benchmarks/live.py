"""The live bridge on a JACK server without hardware: from the delivery of a block to the first message it causes.

    python benchmarks/live.py --model paper --seconds 30 --out benchmarks/live.json

A process of its own plays random patches of the synth into the server, one after another; the bridge follows
them, in this process. For each prediction that changes something three times are taken: from the callback that
delivered the last block of its window to the first message, and to the last, and of the inference alone.
"""

from __future__ import annotations

import argparse
import atexit
import multiprocessing
import os
import subprocess
import sys
import threading
import time
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich import box
from rich.console import Console
from rich.table import Table

from inversynth import live, sampling
from inversynth.audio import DeviceSource
from inversynth.errors import InversynthError
from inversynth.files import write_json
from inversynth.machine import machine
from inversynth.midi import Receiver
from inversynth.predict import load_model
from inversynth.profiles import of_space
from inversynth.render import synth

RATE, PERIOD = 48000, 256
SEED = 11


def play(name: str, ready: Event, stop: Event) -> None:
    """Plays random patches of the synth `name` into the server, one a second, until `stop`."""
    import sounddevice

    made = synth(name)
    levels = sampling.draw(made.space, SEED, 0, 16)
    sound = made.render(made.space.values_of_levels(levels), RATE).ravel()
    sound *= 0.5 / np.abs(sound).max()
    at = 0

    def callback(out: NDArray[np.float32], frames: int, times: Any, status: Any) -> None:
        nonlocal at
        out[:, 0] = np.take(sound, np.arange(at, at + frames), mode="wrap")
        at += frames

    with sounddevice.OutputStream(device="system", channels=1, samplerate=RATE, dtype="float32", callback=callback):
        ready.set()
        stop.wait()


class TimedSource(DeviceSource):
    """A device that remembers when each block came; `newest` is when the last block that was read came."""

    def __init__(self) -> None:
        self.times: list[float] = []
        self.newest = 0.0
        self._taken = 0
        super().__init__("system", RATE, PERIOD)

    def deliver(self, block: NDArray[np.float32]) -> None:
        self.times.append(time.perf_counter())
        super().deliver(block)

    def read(self) -> NDArray[np.float32] | None:
        block = super().read()
        if block is not None and len(block):
            self._taken += len(block)
            self.newest = self.times[self._taken // PERIOD - 1]
        return block


class TimedSink:
    """Remembers when each message was sent, to nowhere."""

    description = "nowhere"

    def __init__(self) -> None:
        self.times: list[float] = []

    def send(self, message: bytes, at_s: float) -> None:
        self.times.append(time.perf_counter())

    def returned(self) -> bool:
        return False

    def close(self) -> None:
        pass


def ports(suffix: str) -> set[str]:
    done = subprocess.run(["jack_lsp"], capture_output=True, text=True)
    return {name for name in done.stdout.split() if name.endswith(suffix)}


def wait_for(suffix: str) -> str:
    """The name of a JACK port that ends in `suffix`."""
    for _ in range(500):
        if names := ports(suffix):
            return min(names)
        time.sleep(0.02)
    raise InversynthError(f"no JACK port *{suffix} appeared within ten seconds")


def connect(stop: threading.Event) -> None:
    subprocess.run(["jack_connect", wait_for(":out_0"), wait_for(":in_0")], check=not stop.is_set())


def measure(model_name: str, rate: float, seconds: float) -> dict[str, Any]:
    """Runs the bridge in follow mode; returns milliseconds and counts. A JACK server must be there."""
    model = load_model(model_name, "cpu")
    space = synth(model.synth).space
    context = multiprocessing.get_context("spawn")
    ready, over, stop = context.Event(), context.Event(), threading.Event()
    player = context.Process(target=play, args=(model.synth, ready, over), daemon=True)
    player.start()
    if not ready.wait(60):
        raise InversynthError("the player did not start within a minute")
    source, sink = TimedSource(), TimedSink()
    came: list[float] = []
    connector = threading.Thread(target=connect, args=(stop,))
    connector.start()
    try:
        summary = live.run(
            source,
            model,
            [Receiver(of_space(model.synth, space), sink)],
            live.Settings("follow", rate=rate, duration=seconds),
            stop,
            lambda at_s, levels: came.append(source.newest),
        )
    finally:
        stop.set()
        source.close()
        over.set()
        player.join(10)
        connector.join(10)
    sent = np.array(sink.times)
    first, last = [], []
    for begin, end in zip(came, [*came[1:], np.inf], strict=True):
        mine = sent[(sent > begin) & (sent < end)]
        if len(mine):
            first.append(mine[0] - begin)
            last.append(mine[-1] - begin)
    if not first:
        raise InversynthError("nothing was heard: is another program holding the JACK server?")
    return {
        "predictions": summary.predictions,
        "messages": summary.sent,
        "superseded": summary.superseded,
        "blocks": summary.blocks,
        "overflows": summary.overflows,
        "first_message_ms": percentiles(first),
        "last_message_ms": percentiles(last),
        "inference_ms": percentiles(summary.inference_s),
    }


def percentiles(seconds: Any) -> dict[str, float]:
    """p50, p99 and max in milliseconds."""
    p50, p99, most = np.percentile(np.asarray(seconds), [50, 99, 100]) * 1e3
    return {"p50": round(float(p50), 3), "p99": round(float(p99), 3), "max": round(float(most), 3)}


def main() -> int:
    """Starts a JACK server of its own, measures, prints a table and writes the figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--model", default="paper", help="a shipped model or an ONNX file (default: paper)")
    parser.add_argument("--rate", type=float, default=live.Settings.rate, help="predictions a second (default: 10)")
    parser.add_argument("--seconds", type=float, default=30.0, help="how long to measure (default: 30)")
    parser.add_argument("--out", type=Path, metavar="FILE.json", help="where to write the figures")
    args = parser.parse_args()

    os.environ |= {"JACK_DEFAULT_SERVER": f"inversynth-benchmark-{os.getpid()}", "JACK_NO_START_SERVER": "1"}
    words = ["jackd", "-r", "-n", os.environ["JACK_DEFAULT_SERVER"], "-d", "dummy", "-r", str(RATE), "-p", str(PERIOD)]
    try:
        server = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    except FileNotFoundError:
        print("this needs jackd (Debian: jackd2)", file=sys.stderr)
        return 2
    atexit.register(server.terminate)  # after PortAudio, which is imported later and aborts without its server
    try:
        wait_for("system:capture_1")
        figures = measure(args.model, args.rate, args.seconds)
    except InversynthError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code

    table = Table("milliseconds", "p50", "p99", "max", box=box.SIMPLE)
    for name in ("first_message_ms", "last_message_ms", "inference_ms"):
        row = figures[name]
        table.add_row(name[:-3].replace("_", " "), *(f"{row[key]:.2f}" for key in ("p50", "p99", "max")))
    console = Console()
    console.print(table)
    console.print(
        f"{figures['predictions']} predictions, {figures['messages']} messages, {figures['overflows']} overflows"
    )
    if args.out is not None:
        settings = {"model": args.model, "rate": args.rate, "seconds": args.seconds, "period_samples": PERIOD}
        write_json(args.out, {"machine": machine(), "sample_rate": RATE, **settings, **figures})
    return 0


if __name__ == "__main__":
    sys.exit(main())
