"""The live bridge measured on this machine: how late it is, what it loses, what it costs.

The bridge runs as it does on stage, on a JACK server of its own without hardware or, where there is none, on a device
that is simulated in real time. Another process plays random patches of the model's synth. Three things are
played: patches without a pause (followed, for the time from a block to its message), notes with rests (captured, for
the time from an onset to its first message), and silence (for what the bridge costs while nobody plays).
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import _native, live, synths
from ..audio.sources import DeviceSource, Source, WallClock, find_device, list_devices, open_stream, serve
from ..errors import InversynthError, UsageError, one_line
from ..midi import PortSink, Receiver, Sink
from ..midi.profiles import default_profile
from ..predict.model import WARM_UP_RUNS, Model, load_model
from ..synths import sampling
from ..system.devices import own_stderr, quiet
from ..system.processes import Helper, no_interrupts
from ..system.realtime import Stall, stalls

RATE_HZ = 48000
PERIODS = (128, 256, 512, 1024)
SEED, PATCHES = 11, 16
PEAK = 0.5
REST_S = 0.5
"""Before each note."""
FOLLOW_RATE = 20.0
"""Predictions a second in the first part: more than by default, for as many figures."""
SETTLE_S = 1.0
"""So much of a part is not counted."""
ALL = live.Settings(confidence=0.0, smooth=0.0)
"""Settings with which every prediction that differs is sent, at once."""
SOAK_OUTPUTS = 20
"""Receivers at once in a soak: so many times the messages of one."""
STALLED_BLOCKS = 4
"""JACK tells its clients of an overflow by another thread, and PortAudio ours with one of the next blocks."""
DRAINING_S = 2e-3
"""A control change takes half of this on a MIDI cable."""
TOOLS = ("jackd", "jack_lsp", "jack_connect")
POLL_S = 1e-3
WAIT_S = 20.0
MIB = 1 << 20


@dataclass(frozen=True)
class Budget:
    """A limit: the keys of its figure in what `measure` returns, what it is called, its unit."""

    keys: tuple[str, ...]
    name: str
    most: float
    unit: str

    def figure(self, found: dict[str, Any]) -> float | None:
        """The figure, None where it could not be measured."""
        at: Any = found
        for key in self.keys:
            at = None if at is None else at.get(key)
        return None if at is None else float(at)

    def shown(self, figure: float) -> str:
        """A figure to three digits at least."""
        return f"{figure:.0f}" if abs(figure) >= 100 else f"{figure:.3g}"

    def met(self, figure: float) -> bool:
        """Whether a figure is within the limit."""
        return figure <= self.most


BUDGETS = (
    Budget(("path_ms", "p50"), "block to message, p50", 3.0, "ms"),
    Budget(("path_ms", "p99"), "block to message, p99", 10.0, "ms"),
    Budget(("path_ms", "spread"), "block to message, p99 - p50", 5.0, "ms"),
    Budget(("inference_ms", "p99"), "inference, p99", 2.0, "ms"),
    Budget(("first_message_ms", "p99"), "onset to first message, p99", 100.0, "ms"),
    Budget(("idle_percent",), "a core, while it is silent", 10.0, "%"),
    Budget(("overflows",), "overflows", 0.0, ""),
    Budget(("growth_mib",), "growth of memory", 1.0, "MiB"),
)


# -- what is played and heard ---------------------------------------------------------------------


def sounds(name: str, rate: int) -> dict[str, NDArray[np.float32]]:
    """What is played of the synth `name`, at a sample rate in Hz, again and again: `patches`, `notes`, `silence`."""
    made = synths.load(name)
    levels = sampling.draw(made.space, SEED, 0, PATCHES)
    each = made.render(made.space.values_of_levels(levels), rate)
    each *= PEAK / np.maximum(np.abs(each).max(axis=1, keepdims=True), 1e-6)
    rests = np.zeros((PATCHES, round(REST_S * rate)), np.float32)
    notes = np.concatenate([rests, each], axis=1)
    return {"patches": each.ravel(), "notes": notes.ravel(), "silence": np.zeros(rate, np.float32)}


class Timed(Source):
    """A source that remembers when each block came, and what was read; `newest_s` is when the last block read came,
    `lost_s` when the first and the last block came of those with which an overflow was told."""

    def until(self, stop: threading.Event, seconds: float, keep: bool = True, sound: bool = False) -> None:
        """Is to set `stop` so many seconds after its start; without `keep` nothing is remembered, and what was read
        only with `sound`."""
        self.keep, self._sound = keep, sound
        self._timer = threading.Timer(seconds, stop.set)
        self._timer.daemon = True
        self.times_s, self.ends = array("d"), array("q")
        self.heard: list[NDArray[np.float32]] = []
        self.lost_s: list[tuple[float, float]] = []
        self._came_s = array("d")
        self.newest_s = 0.0
        self._cpu_s = self._wall_s = 0.0
        self._delivered = self._taken = 0

    def begin(self) -> None:
        """It has started, and what is played begins."""
        self._timer.start()
        self._cpu_s, self._wall_s = cpu_s(), time.perf_counter()

    def share(self) -> float:
        """The share of a core that the bridge, with its device's process, has taken since the start, in percent."""
        return round(100 * (cpu_s() - self._cpu_s) / (time.perf_counter() - self._wall_s), 2)

    def deliver(self, block: NDArray[np.float32]) -> None:
        self._came_s.append(self.delivered_s or time.perf_counter())
        if self.keep:
            self._delivered += len(block)
            self.times_s.append(self._came_s[-1])
            self.ends.append(self._delivered)
        super().deliver(block)

    def read(self) -> NDArray[np.float32] | None:
        block = super().read()
        if self._came_s:
            self.lost_s += [(self._came_s[0], self._came_s[-1])] * (self.overflows - len(self.lost_s))
            del self._came_s[:]
        if self.keep and block is not None and len(block):
            self._taken += len(block)
            self.newest_s = self.times_s[bisect_left(self.ends, self._taken)]
            if self._sound:
                self.heard.append(block)
        return block

    def came_s(self, sample: int) -> float:
        """When a sample sounded: its block came when the last of the block did."""
        at = bisect_left(self.ends, sample + 1)
        return self.times_s[at] - (self.ends[at] - sample) / self.sample_rate


class Simulated(Source):
    """A device without hardware or server: a thread delivers a block of a sound, over and over, when it is due."""

    def __init__(self, period: int) -> None:
        super().__init__(f"simulated device, {RATE_HZ} Hz", RATE_HZ, period, WallClock())
        self.sound = np.zeros(period, np.float32)
        self._period = period
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._play, name="device", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def _play(self) -> None:
        began, count = self.clock.now(), 0
        while not self._over.is_set():
            count += 1
            self.clock.sleep_until(began + count * self._period / self.sample_rate)
            at = np.arange((count - 1) * self._period, count * self._period) % len(self.sound)
            self.deliver(self.sound[at])

    def read(self) -> NDArray[np.float32] | None:
        began = self.clock.now()
        while not len(block := self._ring.read()) and self.clock.now() - began < self.nap_s:
            time.sleep(POLL_S)
        return block

    def close(self) -> None:
        self._over.set()
        if self._thread.is_alive():
            self._thread.join()


class TimedSimulated(Timed, Simulated):
    """A simulated device that remembers."""

    def start(self) -> None:
        super().start()
        self.begin()


class TimedDevice(Timed, DeviceSource):
    """The JACK server's input that remembers; when it starts it is connected to the player, which then begins."""

    def __init__(self, period: int, play: Callable[[], None]) -> None:
        super().__init__("system", RATE_HZ, period)
        self._play = play

    def start(self) -> None:
        words = ["jack_connect", _wait_for(r":out_\d+"), _wait_for(r":in_\d+")]
        super().start()
        end = time.monotonic() + WAIT_S
        while subprocess.run(words, capture_output=True).returncode:  # until the device's process has started
            if time.monotonic() > end:
                raise InversynthError(f"{words[1]} can't be connected to {words[2]}")
            time.sleep(0.02)
        self._play()
        self.begin()


class TimedSink:
    """Another sink, or none, that remembers when each send returned."""

    def __init__(self, inner: Sink | None, keep: bool) -> None:
        self.description = "nowhere" if inner is None else inner.description
        self.times_s = array("d")
        self.prompt = getattr(inner, "prompt", False)
        self._inner, self._keep = inner, keep

    def send(self, message: bytes, at_s: float) -> None:
        """Sends, and notes when that returned."""
        if self._inner is not None:
            self._inner.send(message, at_s)
        if self._keep:
            self.times_s.append(time.perf_counter())

    def returned(self) -> bool:
        """Whether the other has."""
        return self._inner is not None and self._inner.returned()

    def close(self) -> None:
        """The other is closed by who opened it."""


class Open(live.Gate):
    """Takes as long as the gate, and lets everything pass: any model sends."""

    def __call__(self, heard: NDArray[np.float32], estimates: Sequence[live.Estimate]) -> tuple[live.Estimate, bool]:
        """What the gate takes, and True."""
        return super().__call__(heard, estimates)[0], True


class TimedModel:
    """A model that remembers of each prediction when its newest block came, when it was done, and how long it took."""

    def __init__(self, model: live.Model, source: Timed) -> None:
        self.name, self.audio, self.space = model.name, model.audio, model.space
        self.came_s, self.done_s, self.took_s = array("d"), array("d"), array("d")
        self._model, self._source = model, source

    def predict_one(self, window: NDArray[np.float32]) -> list[NDArray[np.float32]]:
        """As the model does."""
        began = time.perf_counter()
        rows = self._model.predict_one(window)
        done = time.perf_counter()
        if self._source.keep and self._source.times_s:
            self.came_s.append(self._source.newest_s)
            self.done_s.append(done)
            self.took_s.append(done - began)
        return rows

    def warm_up(self, runs: int = WARM_UP_RUNS) -> None:
        """As the model does; it is no prediction."""
        self._model.warm_up(runs)


# -- where it is played ---------------------------------------------------------------------------

Hear = Callable[[str], Timed]
"""Opens a source that hears one of `sounds`, to be closed by who asked."""


@contextlib.contextmanager
def simulated(name: str, period: int) -> Iterator[Hear]:
    """Devices simulated in this process."""
    made = sounds(name, RATE_HZ)

    def hear(what: str) -> Timed:
        source = TimedSimulated(period)
        source.sound = made[what]
        return source

    yield hear


@contextlib.contextmanager
def jack(name: str, period: int) -> Iterator[Hear]:
    """A JACK server of its own with a dummy driver, and a process that plays into it."""
    os.environ |= {"JACK_DEFAULT_SERVER": f"inversynth-bench-{os.getpid()}", "JACK_NO_START_SERVER": "1"}
    words = ["jackd", "-R", "-n", os.environ["JACK_DEFAULT_SERVER"], "-d", "dummy", "-r", str(RATE_HZ)]
    made = sounds(name, RATE_HZ)
    with contextlib.ExitStack() as stack:
        server = subprocess.Popen([*words, "-p", str(period)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        stack.callback(server.wait)
        stack.callback(server.terminate)
        _wait_for("system:capture_1")
        player = Helper(play_sounds, list(made.values()))
        stack.callback(player.end, WAIT_S)

        def play(what: str) -> None:
            try:
                player.pipe.send(list(made).index(what))
            except OSError:
                raise InversynthError("the player has ended") from None

        play("silence")
        if not player.pipe.poll(WAIT_S):
            raise InversynthError(f"the player did not start within {WAIT_S:g} s")
        if (error := player.pipe.recv()) is not None:
            raise error

        def hear(what: str) -> Timed:
            play("silence")
            return TimedDevice(period, lambda: play(what))

        yield hear


def play_sounds(pipe: Connection, made: list[NDArray[np.float32]]) -> None:
    """Plays one sound after another, each over and over until the pipe gives the number of the next.

    Tells by the pipe that it plays, or the error.
    """
    tape = _native.LoopPlayer(np.concatenate(made), np.cumsum([len(sound) for sound in made]))
    tape.play(pipe.recv())
    try:
        stream = open_stream("output", find_device(list_devices("output"), "system", "output"), RATE_HZ, 0, 1, tape)
    except UsageError as error:
        pipe.send(error)
        return
    with stream:
        pipe.send(None)
        while True:
            tape.play(pipe.recv())


def _wait_for(ending: str) -> str:
    """The name of the JACK port with such an ending, a regular expression, once it is there."""
    end = time.monotonic() + WAIT_S
    while time.monotonic() < end:
        done = subprocess.run(["jack_lsp"], capture_output=True, text=True)
        if found := re.search(f"^.*{ending}$", done.stdout, re.MULTILINE):
            return found[0]
        time.sleep(0.02)
    raise InversynthError(f"no JACK port *{ending} appeared within {WAIT_S:g} s")


def has_jack() -> bool:
    """Whether a JACK server can be started here, and be reached."""
    if any(shutil.which(tool) is None for tool in TOOLS) or not sys.platform.startswith("linux"):
        return False
    with contextlib.suppress(OSError, ImportError), quiet():
        import sounddevice  # noqa: F401

        return True
    return False


# -- what it means --------------------------------------------------------------------------------


def percentiles(seconds: ArrayLike) -> dict[str, float] | None:
    """p50, p99, p99 - p50 (`spread`) and max in ms, and how many there were; None of none."""
    at = np.asarray(seconds, np.float64)
    if not len(at):
        return None
    p50, p99, most = (round(float(figure), 3) for figure in np.percentile(at, [50, 99, 100]) * 1e3)
    return {"p50": p50, "p99": p99, "spread": round(p99 - p50, 3), "max": most, "count": len(at)}


def path_s(came_s: ArrayLike, done_s: ArrayLike, sent_s: ArrayLike) -> NDArray[np.float64]:
    """From the delivery of a prediction's newest block to the return of the first send that it caused, in seconds.

    Of predictions done while messages of the one before still went out (one within `DRAINING_S`) none is counted,
    nor of those that sent none.
    """
    came, done, sent = (np.asarray(times, np.float64) for times in (came_s, done_s, sent_s))
    next_done = np.append(done[1:], np.inf)
    first = np.searchsorted(sent, done)
    last_before = np.where(first > 0, np.append(sent, 0)[np.maximum(first - 1, 0)], -np.inf)
    at = np.append(sent, np.inf)[first]
    return (at - came)[(at < next_done) & (last_before < done - DRAINING_S)]


def onsets(sound: NDArray[np.float32], threshold: float, rest: int) -> NDArray[np.int64]:
    """The samples of a sound at which it exceeds a threshold after at least `rest` samples at or below it."""
    loud = np.flatnonzero(np.abs(sound) > threshold)
    return loud[np.diff(loud, prepend=-1) > rest]


def first_after_s(begins_s: ArrayLike, sent_s: ArrayLike) -> NDArray[np.float64]:
    """From each beginning to the first send before the next one, in seconds; of those without a send none."""
    begins, sent = np.asarray(begins_s, np.float64), np.asarray(sent_s, np.float64)
    at = np.append(sent, np.inf)[np.searchsorted(sent, begins)]
    return (at - begins)[at < np.append(begins[1:], np.inf)]


def cpu_s() -> float:
    """The time on a processor of this process and, on Linux, of that of its device (proc(5))."""
    spent = time.process_time()
    for child in multiprocessing.active_children():
        file = Path(f"/proc/{child.pid}/stat")
        if child.name == serve.__name__ and file.exists():
            fields = file.read_text().rpartition(")")[2].split()
            spent += (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return spent


def resident_bytes() -> int | None:
    """The memory that this process holds; None where it is not to be seen."""
    file = Path("/proc/self/statm")
    return int(file.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") if file.exists() else None


@contextlib.contextmanager
def watched(every_s: float, tell: Callable[[float, int | None], None] | None = None) -> Iterator[list[int]]:
    """The memory this process holds meanwhile, looked at every so many seconds; `tell` gets seconds and bytes."""
    seen: list[int] = []
    over = threading.Event()
    began = time.perf_counter()

    def look() -> None:
        while not over.wait(every_s):
            held = resident_bytes()
            if held is not None:
                seen.append(held)
            if tell is not None:
                tell(time.perf_counter() - began, held)

    thread = threading.Thread(target=look, name="watch", daemon=True)
    thread.start()
    try:
        yield seen
    finally:
        over.set()
        thread.join()


def stalled(
    seen: Sequence[Stall] | None, lost_s: Sequence[tuple[float, float]], block_s: float
) -> dict[str, Any] | None:
    """Of the machine's stalls how many there were, the longest in ms, and how many overflows came with one.

    lost_s: see `Timed`; an overflow is told of at most `STALLED_BLOCKS` blocks late. None where no stall can be seen.
    """
    if seen is None:
        return None
    late_s = STALLED_BLOCKS * block_s
    spans = [(stall.end_s - stall.length_s, stall.end_s + late_s) for stall in seen]
    after = sum(any(last >= begin and first <= end for begin, end in spans) for first, last in lost_s)
    longest = max((stall.length_s for stall in seen), default=0.0)
    return {"count": len(seen), "max_ms": round(longest * 1e3, 2), "overflows": after}


def stall_rows(rows: Sequence[dict[str, Any]]) -> list[tuple[str, ...]]:
    """The name and, of each row of figures, the cell of what `stalled` found; - where that can't be seen."""
    names = {"count": "stalls of the machine", "max_ms": "the longest, ms", "overflows": "overflows with one"}
    found = [row["stalls"] for row in rows]
    return [(name, *("-" if stalls is None else f"{stalls[key]:g}" for stalls in found)) for key, name in names.items()]


def growth_mib(seen: Sequence[int]) -> float | None:
    """From the second quarter to the last the growth of the memory's median, in MiB; in the first, rings fill."""
    quarter = len(seen) // 4
    if not quarter:
        return None
    return round(float(np.median(seen[-quarter:]) - np.median(seen[quarter : 2 * quarter])) / MIB, 3)


# -- measuring ------------------------------------------------------------------------------------


class Heard(live.Model, Protocol):
    """A model that says whose sounds it hears."""

    synth: str


Load = Callable[[str], Heard]
"""Loads a model by its name."""


def load_on_cpu(name: str) -> Model:
    """A shipped or exported model, as the bridge loads it, on the CPU."""
    return load_model(name, "cpu")


def measure(load: Load, name: str, period: int, seconds: float, simulate: bool) -> dict[str, Any]:
    """The figures at one period: milliseconds, percent, counts. Each of three parts takes `seconds`."""
    model = load(name)
    profile = default_profile(synths.load(model.synth))
    found: dict[str, Any] = {"period_samples": period}
    with (simulated if simulate else jack)(model.synth, period) as hear, _port() as port:

        def part(what: str, settings: live.Settings) -> tuple[Timed, TimedSink, TimedModel, live.Summary]:
            source, sink = hear(what), TimedSink(port, keep=True)
            stop = threading.Event()
            source.until(stop, seconds, sound=what == "notes")
            timed = TimedModel(model, source)
            try:
                receiver = Receiver(profile, sink)
                gate = Open(synths.load(model.synth), model.audio)
                summary = live.Bridge(source, timed, [receiver], settings, gate).run(stop)
                found["device"], found["midi"] = source.description, sink.description
                if what != "notes":
                    found["idle_percent" if what == "silence" else "busy_percent"] = source.share()
            finally:
                source.close()
            found["overflows"] = found.get("overflows", 0) + summary.overflows
            found["messages"] = found.get("messages", 0) + len(sink.times_s)
            return source, sink, timed, summary

        with watched(min(1.0, seconds / 10)) as seen:
            source, sink, timed, _ = part("patches", replace(ALL, mode="follow", rate=FOLLOW_RATE))
        settled = np.asarray(timed.came_s) > source.times_s[0] + min(SETTLE_S, seconds / 4)
        found["path_ms"] = percentiles(
            path_s(np.asarray(timed.came_s)[settled], np.asarray(timed.done_s)[settled], sink.times_s)
        )
        found["inference_ms"] = percentiles(np.asarray(timed.took_s)[settled])
        found["growth_mib"] = growth_mib(seen)
        settings = ALL
        source, sink, _, _ = part("notes", settings)
        heard = np.concatenate(source.heard) if source.heard else np.zeros(0, np.float32)
        begins = onsets(heard, 10 ** (settings.threshold_db / 20), round(REST_S / 2 * RATE_HZ))
        found["notes"] = len(begins)
        found["first_message_ms"] = percentiles(
            first_after_s([source.came_s(int(sample)) for sample in begins], sink.times_s)
        )
        part("silence", settings)
    return found


def soak(load: Load, name: str, period: int, seconds: float, simulate: bool, tell: bool = True) -> dict[str, Any]:
    """The bridge in follow mode for so long, with `SOAK_OUTPUTS` receivers: memory, messages, overflows.

    And, beside the overflows, how often a processor stood still for half a block or longer (`stalled`).
    """
    model, block_s = load(name), period / RATE_HZ
    with (simulated if simulate else jack)(model.synth, period) as hear, _port() as port:
        source, sink = hear("patches"), TimedSink(port, keep=False)
        stop = threading.Event()
        source.until(stop, seconds, keep=False)
        profile = default_profile(synths.load(model.synth))
        receivers = [Receiver(profile, sink) for _ in range(SOAK_OUTPUTS)]

        def line(at_s: float, held: int | None) -> None:
            sent = sum(receiver.sent for receiver in receivers)
            memory = "" if held is None else f", {held / MIB:.1f} MiB"
            print(f"{at_s:7.0f} s  {sent} messages, {source.overflows} overflows{memory}", file=sys.stderr, flush=True)

        try:
            with watched(min(60.0, seconds / 40), line if tell else None) as seen, stalls(block_s / 2) as stood:
                summary = live.run(source, model, receivers, replace(ALL, mode="follow"), stop)
                still = stalled(stood(), source.lost_s, block_s)
        finally:
            source.close()
    return {
        "device": source.description,
        "midi": sink.description,
        "period_samples": period,
        "seconds": round(summary.seconds, 3),
        "outputs": SOAK_OUTPUTS,
        "messages": summary.sent,
        "messages_per_s": round(summary.sent / summary.seconds, 1),
        "predictions": summary.predictions,
        "blocks": summary.blocks,
        "overflows": summary.overflows,
        "stalls": still,
        "memory_mib": [round(held / MIB, 2) for held in seen],
        "growth_mib": growth_mib(seen),
    }


def soak_lines(found: dict[str, Any]) -> list[str]:
    """What `soak` found, for the user, each limit beside its figure."""
    lines = [
        f"{found['seconds']:.0f} s, {found['messages']} messages to {found['outputs']} outputs "
        f"({found['messages_per_s']:.0f} a second), {found['predictions']} predictions, {found['blocks']} blocks"
    ]
    for budget in BUDGETS:
        if budget.keys[0] in found:
            figure = budget.figure(found)
            verdict = "not to be seen here" if figure is None else f"{budget.shown(figure)} {budget.unit}".rstrip()
            within = "" if figure is None else ", met" if budget.met(figure) else ", not met"
            lines.append(f"{budget.name}: {verdict} (budget {budget.most:g} {budget.unit}".rstrip() + f"{within})")
    lines += [f"{name}: {cell}" for name, cell in stall_rows([found])]
    return [*lines, f"heard through: {found['device']}; sent to: {found['midi']}"]


@contextlib.contextmanager
def _port() -> Iterator[PortSink | None]:
    """A virtual MIDI port, where the system has them."""
    try:
        port = PortSink("inversynth bench", virtual=True)
    except UsageError:
        yield None
        return
    try:
        yield port
    finally:
        port.close()


def apart(function: Callable[..., dict[str, Any]], *arguments: Any) -> dict[str, Any]:
    """What a function of this or another module returns in a process of its own; raises `InversynthError`.

    The process is interrupted with this one, and then puts away what it has started.
    """
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_apart, args=(theirs, function, arguments))
    with no_interrupts():
        process.start()
    theirs.close()
    try:
        found: dict[str, Any] | str = ours.recv()
    except EOFError:
        process.join()
        raise InversynthError(f"the process that measures has ended with {process.exitcode}") from None
    except KeyboardInterrupt:
        if process.pid is not None and hasattr(signal, "pthread_sigmask"):
            with contextlib.suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGINT)
        raise
    finally:
        process.join()
    if isinstance(found, str):
        raise InversynthError(found)
    return found


def _apart(pipe: Any, function: Callable[..., dict[str, Any]], arguments: tuple[Any, ...]) -> None:
    try:
        if hasattr(signal, "pthread_sigmask"):
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
        own_stderr()
        with quiet():  # libjack tells much when its server goes
            found: dict[str, Any] | str = function(*arguments)
    except Exception as error:
        found = one_line(error)
    except KeyboardInterrupt:
        found = "interrupted"
    with contextlib.suppress(OSError):  # nobody waits for it any more
        pipe.send(found)
    os._exit(0)  # PortAudio aborts in being ended without its server
