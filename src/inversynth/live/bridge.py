"""The bridge itself: what it listens with, what it does with what it hears, and what it says of it."""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ..audio.onsets import Capture, Event, Follow, Heard, Onset, Release, clean, fit, fit_part
from ..audio.pitch import pitch
from ..audio.sources import Source, StreamClock
from ..errors import UsageError
from ..midi import Receiver
from ..spec import AudioFormat, ParamSpace
from ..system.realtime import hurry, relax, undisturbed
from .gate import LEAST_STEADY_S, Gate
from .refining import Refiner
from .sending import Sender
from .session import Mark, Recorder, Session
from .tracking import Tracker, estimate

MODES = ("capture", "follow")
NOTES = ("fixed", "pitch")
STAGES_S = (0.07, 0.25, 0.5)
"""A note is heard after these times since its onset, and when its window is full. With a period of 1024 samples at
48 kHz (21 ms) and 5 ms for the network, what is heard after 70 ms is sent within 100."""
SMOOTH_S = {"capture": 0.0, "follow": 0.1}
TICK_S = 0.01
"""While a parameter moves its new places are sent so often."""
NOTE = 69
"""The key at which the synths of this package play a patch as it is written."""
VELOCITY_DB = 40.0
"""Full scale is velocity 127, and so much below it velocity 1."""
FLUSH_S = 1.0
"""How long, at most, the end waits for messages that are still to be sent."""
GAP_S = 0.25
"""A source that delivers nothing for so long has stopped, for the time being."""
PEAK_S = 0.3
"""The level that a status tells falls by half in this time."""
QUIET_S = 0.02
"""In silence so much of it gathers before it is heard: a note's first part is heard `STAGES_S` after its onset."""
CLIPPED = 0.999
MOST_GAIN_DB = 60.0
REHEARSED_S = 0.006
"""So long before the block that makes a window due, what that will take is run once for nothing."""
LEFT = ", like nothing the synth makes: left alone"
KEPT = 1 << 14
"""So many of the latest inference times are kept."""


class Model(Protocol):
    """What the bridge needs of a `predict.Model`."""

    name: str
    audio: AudioFormat
    space: ParamSpace

    def predict_one(self, window: NDArray[np.float32]) -> list[NDArray[np.float32]]:
        """P arrays (levels,) from a window (samples,)."""

    def warm_up(self, runs: int = ...) -> None:
        """Predicts so often for nothing, by default until its time has settled."""


@dataclass(frozen=True)
class Settings:
    """How to listen, and what to send.

    mode: "capture" (a patch a note) or "follow" (and while it sounds on); gain_db: how much louder than it comes in the
    input is heard; threshold_db: sound is what is above then, in dBFS; rate: predictions a second (follow); confidence,
    smooth (s): see `Tracker`, smooth by default `SMOOTH_S`; notes: send notes, of the key `note` at the onset ("fixed")
    or of the fundamental once it is heard ("pitch"); panic: silence the receivers at the end; duration (s): until then.
    """

    mode: str = "capture"
    gain_db: float = 0.0
    threshold_db: float = -50.0
    rate: float = 10.0
    confidence: float = 0.3
    smooth: float | None = None
    notes: str | None = None
    note: int = NOTE
    panic: bool = False
    duration: float | None = None

    def __post_init__(self) -> None:
        if self.mode not in MODES:
            raise UsageError(f"mode {self.mode!r} is not one of {', '.join(MODES)}")
        if not abs(self.gain_db) <= MOST_GAIN_DB:
            raise UsageError(f"a gain of {self.gain_db:g} dB is outside -{MOST_GAIN_DB:g}..{MOST_GAIN_DB:g}")
        if not -120 <= self.threshold_db < 0:
            raise UsageError(f"a threshold of {self.threshold_db:g} dBFS is outside -120..0")
        if not 0.1 <= self.rate <= 100:
            raise UsageError(f"{self.rate:g} predictions a second are outside 0.1..100")
        if not 0 <= self.confidence <= 1:
            raise UsageError(f"a confidence of {self.confidence:g} is outside 0..1")
        if self.smooth is not None and not 0 <= self.smooth <= 60:
            raise UsageError(f"{self.smooth:g} s to smooth are outside 0..60")
        if self.notes is not None and self.notes not in NOTES:
            raise UsageError(f"notes {self.notes!r} are not one of {', '.join(NOTES)}")
        if not 0 <= self.note <= 127:
            raise UsageError(f"key {self.note} is outside 0..127")
        if self.duration is not None and not 0 < self.duration < float("inf"):
            raise UsageError(f"a duration of {self.duration:g} s is not above 0")


def listener(settings: Settings, sample_rate: int, audio: AudioFormat) -> Capture:
    """The listener that settings ask for, at the sample rate (Hz) of a source, for windows of a model's length."""
    threshold = 10 ** (settings.threshold_db / 20)
    stages_s = [stage_s for stage_s in STAGES_S if stage_s < audio.seconds]
    if settings.mode == "capture":
        return Capture(sample_rate, audio.seconds, threshold, stages_s=stages_s, anew=True)
    return Follow(sample_rate, audio.seconds, threshold, settings.rate, stages_s, anew=True)


@dataclass(frozen=True)
class Status:
    """A snapshot of the bridge, P parameters, for displays.

    level_db: the peak of what is heard in dBFS, -inf for silence; clipped: samples of the input at full scale so far;
    sounding: whether a note does; note: its MIDI number where it is known; x, confidence: (P,) the patch that is
    wanted, on its curves, and how probable what was heard last is, None before the first; heard: (P,) False where one
    has no effect in it; messages, overflows, predictions: so far; refused: predictions that moved nothing, by the gate;
    away: the audio device is waited for; refined: a background search has improved the patch.
    """

    seconds: float
    level_db: float
    clipped: int
    sounding: bool
    note: int | None
    x: NDArray[np.float64] | None
    confidence: NDArray[np.float64] | None
    heard: NDArray[np.bool_] | None
    messages: int
    overflows: int
    predictions: int = 0
    refused: int = 0
    away: bool = False
    refined: bool = False


@dataclass(frozen=True)
class Summary:
    """What a run did. `damaged` counts samples that were no sound, `superseded` values that a later one replaced.

    notes: whole windows that moved something; refused: predictions that moved nothing, by the gate; inference_s: of
    the latest predictions.
    """

    seconds: float
    blocks: int
    overflows: int
    damaged: int
    notes: int
    predictions: int
    refused: int
    refined: int
    inference_s: NDArray[np.float64]
    sent: int
    superseded: int

    def lines(self) -> list[str]:
        """For the user."""
        heard = f"{_count(self.notes, 'note')}, {_count(self.predictions, 'prediction')}, {self.refused} refused"
        if self.refined:
            heard += f", {self.refined} refined"
        if len(self.inference_s):
            p50, p99, most = np.percentile(self.inference_s, [50, 99, 100]) * 1e3
            heard += f"; inference p50 {p50:.2f} ms, p99 {p99:.2f} ms, max {most:.2f} ms"
        return [
            f"{self.seconds:.1f} s, {self.blocks} blocks, {self.overflows} overflows, {self.damaged} damaged samples",
            heard,
            f"{self.sent} messages sent, {self.superseded} dropped (superseded before they were sent)",
        ]


def _count(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"


class Bridge:
    """Listens to a source, and sends what a model hears to receivers; all of them are the caller's to close.

    gate: what may move (default: everything that the listener tells); refiner: the background search; recorder: keeps
    the session; session: the one that is run again, whose sound is the source's; say: is told lines for the user;
    report: is called with the time (s) and the (P,) levels of each prediction.
    """

    def __init__(
        self,
        source: Source,
        model: Model,
        receivers: Sequence[Receiver],
        settings: Settings,
        gate: Gate | None = None,
        refiner: Refiner | None = None,
        recorder: Recorder | None = None,
        session: Session | None = None,
        say: Callable[[str], None] | None = None,
        report: Callable[[float, NDArray[np.int64]], None] | None = None,
    ) -> None:
        self._source, self._model, self._settings = source, model, settings
        self._receivers = receivers
        self._gate, self._refiner, self._recorder = gate, refiner, recorder
        marks = session.marks if session else ()
        self._marks: deque[Mark] = deque(mark for mark in marks if mark.position is not None)
        returns = [(mark.at_s, int(mark.value)) for mark in marks if mark.at_s is not None]
        self._returns: deque[tuple[float, int]] = deque(sorted(returns))
        self._say = say or (lambda line: None)
        self._report = report
        self._rate = source.sample_rate
        self._gain = np.float32(10 ** (settings.gain_db / 20))
        self._senders = [Sender(receiver, recorder, number) for number, receiver in enumerate(receivers)]
        smooth_s = SMOOTH_S[settings.mode] if settings.smooth is None else settings.smooth
        self._tracker = Tracker(model.space, settings.confidence, smooth_s)
        self._tick = max(round(TICK_S * self._rate), 1)
        self._position = 0  # samples that were heard
        self._next_tick = 0
        self._anew()
        self._number = 0  # of the latest note that was heard
        self._length: float = math.inf  # of what was heard of it
        self._accepted, self._likeliest = gate is None, False  # the latest note; what it settled on
        self._notes = self._predictions = self._refused = self._refined = self._damaged = self._clipped = 0
        self._last_refined = False
        self._sounding, self._note, self._level = False, settings.note if settings.notes == "fixed" else None, 0.0
        self._key: int | None = None  # the key that is down
        self._peak = 0.0
        self._inference_s = np.zeros(KEPT)
        self._latest = np.zeros(round(model.audio.seconds * self._rate), np.float32)  # the sound that was heard last
        self._rehearsed = False

    # -- what the user is told -------------------------------------------------------------------

    def status(self) -> Status:
        """A snapshot; from any thread."""
        tracker, known = self._tracker, self._tracker.known
        return Status(
            seconds=self._position / self._rate,
            level_db=20 * math.log10(self._peak) if self._peak > 0 else -math.inf,
            clipped=self._clipped,
            sounding=self._sounding,
            note=self._note if self._sounding else None,
            x=tracker.x(self._position / self._rate) if known else None,
            confidence=tracker.confidence if known else None,
            heard=tracker.heard if known else None,
            messages=sum(receiver.sent for receiver in self._receivers),
            overflows=self._source.overflows,
            predictions=self._predictions,
            refused=self._refused,
            away=self._source.away,
            refined=self._last_refined,
        )

    def _summary(self, seconds: float) -> Summary:
        return Summary(
            seconds,
            self._source.blocks,
            self._source.overflows,
            self._damaged,
            self._notes,
            self._predictions,
            self._refused,
            self._refined,
            self._inference_s[: min(self._predictions, KEPT)].copy(),
            sum(receiver.sent for receiver in self._receivers),
            sum(receiver.superseded for receiver in self._receivers),
        )

    @property
    def facts(self) -> dict[str, Any]:
        """What a session's messages depend on, besides its sound and the receivers."""
        return {"settings": asdict(self._settings), "gate": self._gate is not None}

    # -- the run -------------------------------------------------------------------------------

    def run(self, stop: threading.Event) -> Summary:
        """Listens until the source ends, `stop` is set or the duration is over; then says what it did.

        Raises `InversynthError` if the source or a sink fails.
        """
        source, clock = self._source, self._source.clock
        threaded = not isinstance(clock, StreamClock)
        audio = self._model.audio
        fit(np.zeros(round(audio.seconds * self._rate), np.float32), self._rate, audio)  # which makes its filter
        self._model.warm_up()
        if self._gate is not None:
            self._gate.warm_up()
        began = clock.now()
        deadline = math.inf if self._settings.duration is None else began + self._settings.duration
        threads = [
            threading.Thread(target=self._send, args=(sender, stop), name="sender", daemon=True)
            for sender in self._senders
        ]
        came, away = time.perf_counter(), False
        try:
            with undisturbed():
                if threaded:
                    if (why := hurry()) is not None:
                        self._say(f"no real-time priority: {why}")
                    for thread in threads:
                        thread.start()
                try:
                    source.start()
                    while not stop.is_set() and clock.now() < deadline:
                        source.patience = self._patience()
                        block = source.read()
                        if block is None:
                            self._end()
                            break
                        now = time.perf_counter()
                        if source.away != away:
                            away = source.away
                            self._say(f"{source.description} is {'away; waiting for it' if away else 'back'}")
                        if len(block):
                            came = now
                            self._take(block)
                        elif now - came > max(GAP_S, 3 * source.block_samples / self._rate) and threaded:
                            came = math.inf  # until something comes
                            self._gap()
                        self._take_refined()
                        if threaded:
                            self._rehearse(came)
                        else:
                            self._advance()
                    else:
                        self._mark("stopped")
                finally:
                    self._leave()
                    seconds = clock.now() - began
                    if threaded:
                        for sender in self._senders:
                            sender.finish(FLUSH_S)
                        latest = time.perf_counter() + FLUSH_S + 1
                        for thread in threads:
                            thread.join(max(latest - time.perf_counter(), 0))
                        relax()
                    else:
                        self._reach(math.inf)
                        self._advance()
        finally:
            for sender in self._senders:
                sender.release()
        for sender in self._senders:
            if sender.error is not None:
                raise sender.error
        return self._summary(seconds)

    def _send(self, sender: Sender, stop: threading.Event) -> None:
        hurry()
        sender.run(stop)

    def _reach(self, at_s: float) -> None:
        for sender in self._senders:
            sender.reach(at_s)

    def _advance(self) -> None:
        for sender in self._senders:
            sender.advance()

    # -- what happens, in the time of the stream ---------------------------------------------------

    def _take(self, block: NDArray[np.float32]) -> None:
        """Hears a block (samples,), with what else a session's log says happened within it."""
        block, bad = clean(block)
        self._damaged += bad
        loudest = float(np.abs(block).max())
        self._clipped += int(np.count_nonzero(np.abs(block) >= CLIPPED)) if loudest >= CLIPPED else 0
        self._peak = max(loudest * float(self._gain), self._peak * 0.5 ** (len(block) / (PEAK_S * self._rate)))
        if self._recorder is not None:
            self._recorder.audio(block)
        if self._gain != 1:
            block = block * self._gain
        while len(block):
            self._run_marks()
            count = len(block)
            if self._marks and (ahead := self._marks[0].position) is not None and ahead > self._position:
                count = min(count, ahead - self._position)
            self._hear(block[:count])
            block = block[count:]
        self._run_marks()

    def _hear(self, block: NDArray[np.float32]) -> None:
        base = self._base
        end = self._position + len(block)
        for event in self._ear.hear(block):
            self._until(base + event.at)
            self._on(event, base + event.at)
        self._until(end)
        self._position = end
        self._back_before(end / self._rate)
        self._reach(end / self._rate)

    def _on(self, event: Event, at: int) -> None:
        if isinstance(event, Onset):
            self._sounding, self._level = True, event.level
            if self._settings.notes == "fixed":
                self._key_down(at, self._settings.note)
        elif isinstance(event, Release):
            self._sounding = False
            self._key_up(at)
        else:
            self._on_heard(event, at)

    def _on_heard(self, event: Heard, at: int) -> None:
        audio, at_s = self._model.audio, at / self._rate
        count = min(round(len(event.sound) * audio.sample_rate / self._rate), audio.samples)
        window = (fit if event.whole or event.sliding else fit_part)(event.sound, self._rate, audio)
        self._latest = event.sound
        began = time.perf_counter()
        rows = self._model.predict_one(window)
        self._inference_s[self._predictions % KEPT] = time.perf_counter() - began
        self._predictions += 1
        kinds = (True, False) if event.whole else (event.sliding and self._likeliest,)
        estimates = [estimate(self._model.space, rows, likeliest) for likeliest in kinds]
        of_it = estimates[0]
        if not event.sliding:  # which is of a note that was accepted, or not, by its beginning
            if len(event.sound) <= self._length:
                self._number += 1
                self._tracker.begin()
            self._length = math.inf if event.whole else len(event.sound)
            if self._gate is not None:
                of_it, self._accepted = self._gate(window[:count], estimates)
            self._likeliest = event.whole and of_it is estimates[0]
        if self._settings.notes is not None and self._sounding and self._key is None:
            key: int | None = self._settings.note
            if self._settings.notes == "pitch":
                key = self._note = pitch(window[:count], audio.sample_rate).note
            if key is not None and self._accepted:
                self._key_down(at, key)
        if self._accepted:
            self._tracker.hear(of_it, at_s, settle=event.whole, sliding=event.sliding)
            self._last_refined = False
            self._offer(at)
            self._notes += event.whole
            if event.whole and self._refiner is not None:
                self._refiner.ask(self._number, window, rows)
        else:
            self._refused += 1
            if event.whole or len(event.sound) >= round(LEAST_STEADY_S * self._rate):
                self._key_up(at)  # before, a steady note can still turn out to be one
        if event.whole and self._settings.mode == "capture":
            self._say(f"{at_s:8.2f} s  note {self._number}{'' if self._accepted else LEFT}")
        if self._report is not None:
            self._report(at_s, np.array([int(row.argmax()) for row in rows]))

    def _patience(self) -> int:
        """How many samples may gather: waking for each block of silence costs more than hearing it."""
        urgent = self._sounding or self._ear.due is not None or self._settings.notes == "fixed"
        if urgent or any(sender.waits for sender in self._senders):
            return 0
        moving = self._tracker.known and self._tracker.moving(self._position / self._rate)
        return 0 if moving else round(QUIET_S * self._rate)

    def _rehearse(self, came_s: float) -> None:
        """Hears the latest sound again, for nothing, shortly before the next is due; the latest block came at a time.

        Between two windows others have had the processor, and its caches: it would take longer.
        """
        source, due = self._source, self._ear.due
        source.nap_s = source.WAIT_S
        if due is None or due > max(REHEARSED_S * self._rate, source.block_samples):
            self._rehearsed = False
        elif not self._rehearsed:
            left_s = came_s + source.block_samples / self._rate - REHEARSED_S - time.perf_counter()
            if 0 < left_s < source.WAIT_S:
                source.nap_s = left_s
                return
            self._rehearsed = True
            fit(self._latest, self._rate, self._model.audio)
            self._model.warm_up(1)

    def _until(self, at: int) -> None:
        """Sends the places of what moves up to a position."""
        while self._next_tick <= at:
            before = (self._next_tick - self._tick) / self._rate
            if self._tracker.known and self._tracker.moving(before):
                self._offer(self._next_tick)
            self._next_tick += self._tick

    def _offer(self, at: int) -> None:
        at_s = at / self._rate
        self._back_before(at_s)
        x, heard = self._tracker.x(at_s), self._tracker.heard
        for sender in self._senders:
            sender.offer(at_s, x, heard)

    def _do(self, at: int, action: Callable[[Receiver], None]) -> None:
        self._back_before(at / self._rate)
        for sender in self._senders:
            sender.do(at / self._rate, action)

    # -- notes -----------------------------------------------------------------------------------

    def _key_down(self, at: int, key: int) -> None:
        level_db = 20 * math.log10(self._level) if self._level > 0 else -math.inf
        velocity = round(min(max(1 + 126 * (1 + level_db / VELOCITY_DB), 1), 127))
        self._key_up(at)
        self._key = key
        self._do(at, lambda receiver: receiver.note_on(key, velocity))

    def _key_up(self, at: int) -> None:
        key, self._key = self._key, None
        if key is not None:
            self._do(at, lambda receiver: receiver.note_off(key))

    # -- the end, and what the sound doesn't tell ------------------------------------------------

    def _anew(self) -> None:
        self._ear = listener(self._settings, self._rate, self._model.audio)
        self._base = self._position

    def _gap(self) -> None:
        """The source has stopped for a while: what sounded is over, and what waits is sent."""
        self._mark("gap")
        self._sounding, self._length = False, math.inf
        self._key_up(self._position)
        for sender in self._senders:
            sender.flush()
        self._anew()

    def _end(self) -> None:
        """The source has ended, unless it is that of a session that was stopped there."""
        if self._marks and self._marks[0].what == "stopped":
            return
        for event in self._ear.end():
            self._on(event, self._base + event.at)

    def _leave(self) -> None:
        self._key_up(self._position)
        if self._settings.panic:
            self._do(self._position, lambda receiver: receiver.panic())
        self._back_before(math.inf)

    def _take_refined(self) -> None:
        found = self._refiner.poll() if self._refiner is not None else None
        if found is not None and found[0] == self._number:
            self._mark("refined", found[1].tolist())
            self._on_refined(found[1])

    def _on_refined(self, x: NDArray[np.float64]) -> None:
        self._refined += 1
        self._last_refined = True
        self._tracker.settle(x, self._position / self._rate)
        self._offer(self._position)

    def _mark(self, what: str, value: Any = True) -> None:
        if self._recorder is not None:
            self._recorder.mark(self._position, what, value)

    # -- a session that is run again -----------------------------------------------------------------

    def _run_marks(self) -> None:
        """Does what the log says happened at this position."""
        while self._marks and self._marks[0].position == self._position and self._marks[0].what != "stopped":
            mark = self._marks.popleft()
            if mark.what == "gap":
                self._gap()
            elif mark.what == "refined":
                self._on_refined(np.array(mark.value))

    def _back_before(self, at_s: float) -> None:
        """Receivers come back that the log says came back before a time."""
        while self._returns and self._returns[0][0] < at_s:
            back_s, number = self._returns.popleft()
            if number < len(self._senders):
                self._senders[number].do(back_s, self._senders[number].back)


def run(
    source: Source,
    model: Model,
    receivers: Sequence[Receiver],
    settings: Settings,
    stop: threading.Event,
    report: Callable[[float, NDArray[np.int64]], None] | None = None,
) -> Summary:
    """A `Bridge` without more; see there."""
    return Bridge(source, model, receivers, settings, report=report).run(stop)
