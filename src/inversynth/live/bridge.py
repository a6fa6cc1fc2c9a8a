"""The bridge itself: it ties the source, the listener, the tracker and the outputs together."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..audio.sources import Source, StreamClock
from ..midi import Receiver
from ..spec import ParamSpace
from ..system.realtime import gc_paused, restore_priority, set_realtime_priority
from .gate import Gate
from .keys import Keys
from .listener import Listener, Model
from .meter import Meter
from .outputs import Outputs
from .pipeline import Pipeline
from .refining import Refiner
from .replay import Replay
from .session import Recorder, Session
from .settings import Settings
from .status import Status, Summary
from .tracking import Tracker

GAP_S = 0.25
"""A source that delivers nothing for this long has stopped, for now."""
QUIET_S = 0.02
"""In silence this much gathers before it is processed: a note is first inferred from `STAGES_S` after its onset."""


class Bridge:
    """Listens to a source, and sends what a model infers to receivers; all of them are the caller's to close.

    gate: what may move the patch (default: every segment); refiner: the background search; recorder: keeps
    the session; session: the one that is run again, whose sound is the source's; say: gets lines for the user;
    report: is called with the time (s) and the (P,) levels of each prediction; space: the synth's own, with the roles
    that a model's lacks (default: the model's).
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
        space: ParamSpace | None = None,
    ) -> None:
        self._source, self._settings, self._gate = source, settings, gate
        self._refiner, self._say = refiner, say or (lambda line: None)
        space = model.space if space is None else space
        replay = Replay(session)
        self._outputs = Outputs(receivers, recorder, replay.returns)
        self._listener = Listener(model, space, settings, source.sample_rate, gate)
        self._pipeline = Pipeline(
            self._listener,
            Tracker(space, settings.confidence, settings.smooth_s),
            Keys(settings, self._outputs, model.audio.sample_rate),
            self._outputs,
            Meter(source.sample_rate, settings.gain_db),
            source.sample_rate,
            replay,
            refiner,
            recorder,
            self._say if settings.mode == "capture" else lambda line: None,
            report,
        )

    # -- status ------------------------------------------------------------------

    def status(self) -> Status:
        """A snapshot; from any thread."""
        pipeline, tracker, keys = self._pipeline, self._pipeline.tracker, self._pipeline.keys
        known = tracker.known
        return Status(
            seconds=pipeline.seconds,
            level_db=pipeline.meter.level_db,
            clipped=pipeline.meter.clipped,
            sounding=keys.sounding,
            note=keys.note if keys.sounding else None,
            x=tracker.x(pipeline.seconds) if known else None,
            confidence=tracker.confidence if known else None,
            active=tracker.active if known else None,
            messages=self._outputs.sent,
            overflows=self._source.overflows,
            predictions=self._listener.predictions,
            refused=self._listener.refused,
            away=self._source.away,
            refined=pipeline.refined,
        )

    def _summary(self, seconds: float) -> Summary:
        return Summary(
            seconds,
            self._source.blocks,
            self._source.overflows,
            self._pipeline.meter.damaged,
            self._pipeline.notes,
            self._listener.number,
            self._listener.predictions,
            dict(self._listener.refusals),
            self._pipeline.refinements,
            self._listener.inference_s,
            self._outputs.sent,
            self._outputs.superseded,
        )

    @property
    def facts(self) -> dict[str, Any]:
        """What a session's messages depend on, besides its sound and the receivers."""
        renders = {} if self._gate is None else {"gate_renders": self._gate.renders}
        return {"settings": asdict(self._settings), "gate": self._gate is not None, **renders}

    # -- the run -------------------------------------------------------------------------------

    def run(self, stop: threading.Event) -> Summary:
        """Listens until the source ends, `stop` is set or the duration is over; returns what it did.

        Raises `InversynthError` if the source or a sink fails.
        """
        clock = self._source.clock
        threaded = not isinstance(clock, StreamClock)
        self._listener.prepare()
        began = clock.now()
        try:
            with gc_paused():
                if threaded:
                    if (why := set_realtime_priority()) is not None:
                        self._say(f"no real-time priority: {why}")
                    self._outputs.start(stop)
                try:
                    self._source.start()
                    self._listen(stop, began, threaded)
                finally:
                    self._pipeline.leave(self._settings.panic)
                    seconds = clock.now() - began
                    if threaded:
                        self._outputs.finish()
                        restore_priority()
                    else:
                        self._outputs.advance()
        finally:
            self._outputs.release()
        self._outputs.check()
        return self._summary(seconds)

    def _listen(self, stop: threading.Event, began: float, threaded: bool) -> None:
        source, clock, duration = self._source, self._source.clock, self._settings.duration
        deadline = math.inf if duration is None else began + duration
        came, away = time.perf_counter(), False
        while not stop.is_set() and clock.now() < deadline:
            source.patience = self._patience()
            block = source.read()
            if block is None:
                self._pipeline.end()
                return
            now = time.perf_counter()
            if source.away != away:
                away = source.away
                self._say(f"{source.description} is {'away; waiting for it' if away else 'back'}")
            if len(block):
                came = now
                self._pipeline.take(block)
            elif now - came > max(GAP_S, 3 * source.block_samples / source.sample_rate) and threaded:
                came = math.inf  # until something comes
                self._pipeline.gap()
            found = self._refiner.poll() if self._refiner is not None else None
            if found is not None:
                self._pipeline.refine(*found)
            if threaded:
                self._listener.rehearse(source, came)
            else:
                self._outputs.advance()
        self._pipeline.mark("stopped")

    def _patience(self) -> int:
        """How many samples may gather: waking for each block of silence costs more than processing it."""
        patient = self._settings.notes != "fixed" and self._pipeline.idle
        return round(QUIET_S * self._source.sample_rate) if patient else 0


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
