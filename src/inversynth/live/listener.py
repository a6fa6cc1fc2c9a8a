"""From blocks of sound to estimates of a patch: segments of notes, windows, the network, the gate."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from ..audio.onsets import Capture, Event, Follow, Segment
from ..audio.sources import Source
from ..audio.windows import fit, fit_part
from ..spec import AudioFormat, ParamSpace
from .gate import LEAST_STEADY_S, UNLIKE, Gate
from .settings import Settings
from .tracking import Estimate, estimate

STAGES_S = (0.07, 0.25, 0.5)
"""A note is inferred from after these times since its onset, and when its window is full. With a period of 1024 samples
at 48 kHz (21 ms) and 5 ms for the network, what is known after 70 ms is sent within 100."""
REHEARSED_S = 0.006
"""How long before the block that makes a window due a rehearsal of its inference is run."""
KEPT = 1 << 14
"""How many of the latest inference times are kept."""


class Model(Protocol):
    """What the bridge needs of a `predict.Model`."""

    name: str
    audio: AudioFormat
    space: ParamSpace

    def predict_one(self, window: NDArray[np.float32]) -> list[NDArray[np.float32]]:
        """P arrays (levels,) from a window (samples,)."""

    def warm_up(self, runs: int = ...) -> None:
        """Predicts `runs` times and drops the results; by default until the time has settled."""


class Prediction(NamedTuple):
    """What is made of a segment of a note.

    number: the note's, from 1 on; begins: this is the first of it; window: (samples,) what the network got; part: (n,)
    the beginning of it that is known so far; rows: P distributions (levels,); refusal: why it moves nothing, None if it
    may; last_chance: a refusal now is final.
    """

    number: int
    begins: bool
    window: NDArray[np.float32]
    part: NDArray[np.float32]
    rows: Sequence[NDArray[np.float32]]
    estimate: Estimate
    refusal: str | None
    last_chance: bool


class Listener:
    """Finds notes in blocks of sound, and what a network and a gate make of them.

    space: the synth's own; gate: what may move (None: everything). `number` of the latest note, `predictions`, how many
    of them the gate `refused`, and `refusals` for each of its reasons, so far.
    """

    def __init__(
        self, model: Model, space: ParamSpace, settings: Settings, sample_rate: int, gate: Gate | None
    ) -> None:
        self._model, self._space, self._settings, self._gate = model, space, settings, gate
        self._rate = sample_rate
        self.number = self.predictions = self.refused = 0
        self.refusals: Counter[str] = Counter()
        self._refusal = None if gate is None else UNLIKE  # of the latest note
        self._likeliest = False  # is the estimate that it settled on
        self._times_s = np.zeros(KEPT)
        self._latest = np.zeros(round(model.audio.seconds * sample_rate), np.float32)  # the latest sound
        self._rehearsed = False
        self.restart(0)

    def prepare(self) -> None:
        """Runs everything once, since first calls take long."""
        fit(self._latest, self._rate, self._model.audio)  # which makes its filter
        self._model.warm_up()
        if self._gate is not None:
            self._gate.warm_up()

    def restart(self, position: int) -> None:
        """Starts again at a position in samples; what sounded is over."""
        audio, settings = self._model.audio, self._settings
        threshold = 10 ** (settings.threshold_db / 20)
        stages_s = [stage_s for stage_s in STAGES_S if stage_s < audio.seconds]
        self._onsets = (
            Capture(self._rate, audio.seconds, threshold, stages_s=stages_s, retrigger=True)
            if settings.mode == "capture"
            else Follow(self._rate, audio.seconds, threshold, settings.rate, stages_s, retrigger=True)
        )
        self.base = position
        """Events count their samples from here."""
        self._length: float = math.inf  # of the latest segment of the note

    def push(self, block: NDArray[np.float32]) -> list[Event]:
        """What became known with a block (samples,)."""
        return self._onsets.push(block)

    def end(self) -> list[Event]:
        """What is known at the end of the stream."""
        return self._onsets.end()

    @property
    def due(self) -> int | None:
        """How many samples later the next segment is due; None if that isn't known."""
        return self._onsets.due

    @property
    def inference_s(self) -> NDArray[np.float64]:
        """How long the latest predictions took."""
        return self._times_s[: min(self.predictions, KEPT)].copy()

    def infer(self, segment: Segment) -> Prediction:
        """What is made of a segment."""
        audio = self._model.audio
        count = min(round(len(segment.sound) * audio.sample_rate / self._rate), audio.samples)
        window = (fit if segment.whole or segment.sliding else fit_part)(segment.sound, self._rate, audio)
        self._latest = segment.sound
        began = time.perf_counter()
        rows = self._model.predict_one(window)
        self._times_s[self.predictions % KEPT] = time.perf_counter() - began
        self.predictions += 1
        kinds = (True, False) if segment.whole else (segment.sliding and self._likeliest,)
        estimates = [estimate(self._space, rows, likeliest) for likeliest in kinds]
        taken, begins = estimates[0], False
        if not segment.sliding:  # which is of a note that was accepted, or not, by its beginning
            begins = len(segment.sound) <= self._length
            self.number += begins
            self._length = math.inf if segment.whole else len(segment.sound)
            if self._gate is not None:
                taken, self._refusal = self._gate(window[:count], estimates)
            self._likeliest = segment.whole and taken is estimates[0]
        if self._refusal is not None:
            self.refused += 1
            self.refusals[self._refusal] += 1
        last_chance = segment.whole or len(segment.sound) >= round(LEAST_STEADY_S * self._rate)
        return Prediction(self.number, begins, window, window[:count], rows, taken, self._refusal, last_chance)

    def rehearse(self, source: Source, came_s: float) -> None:
        """Infers from the latest sound again, shortly before the next is due; `came_s`: when the latest block came.

        The result is dropped. Other processes use the caches between two windows; without this the next takes longer.
        """
        due = self._onsets.due
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
