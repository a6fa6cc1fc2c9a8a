"""Playing: to a device in its own time, or to an array as fast as possible."""

from __future__ import annotations

import math
import threading
from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from ...errors import UsageError
from .inputs import FileInput, Input
from .output import Output
from .player import Player

Sound: TypeAlias = NDArray[np.float32]

LOOK_S = 0.05
MAX_RENDERED = 1 << 30
"""Samples of 4 bytes that a WAV file can hold."""


def perform(
    player: Player, output: Output, inputs: Sequence[Input], stop: threading.Event, duration: float | None = None
) -> None:
    """Plays until `stop` is set, the seconds are over, or all inputs have ended and the last note has died away.

    Raises `InversynthError` if the output stops for good.
    """
    for each in inputs:
        each.poll(0)
    output.start()
    while not stop.wait(LOOK_S):
        samples, _, _, sounding = player.voices.native.played()
        if duration is not None and samples >= duration * player.voices.sample_rate:
            return
        if not sounding and all(each.ended for each in inputs):
            return
        for each in inputs:
            each.poll(samples)
        output.check()


def render(player: Player, file: FileInput, duration: float | None = None, block_samples: int = 1024) -> Sound:
    """(samples,) what is played of a MIDI file until its last note has died away, or for `duration` seconds.

    Raises `UsageError` from `MAX_RENDERED` samples on.
    """
    blocks, samples, sounding = [], 0, 0
    rate = player.voices.sample_rate
    end = math.inf if duration is None else round(duration * rate)
    if min(end, file.seconds * rate) > MAX_RENDERED:
        raise UsageError(
            f"{file.description} lasts longer than the {MAX_RENDERED / rate:.0f} s that a WAV file can hold "
            f"at {rate} Hz; give a --duration"
        )
    while samples < end and not (file.ended and not sounding):
        file.poll(samples)
        blocks.append(player.voices.process(int(min(block_samples, end - samples)))[:, 0])
        samples, _, _, sounding = player.voices.native.played()
    return np.concatenate(blocks) if blocks else np.zeros(0, np.float32)
