"""The checked front of the native bank, and the `Synth` that binds a parameter space to a renderer."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import _native
from .errors import UsageError
from .spec import AudioFormat, ParamSpace
from .synths import paper as paper_tables
from .synths import sine as sine_tables

Fill = Callable[[NDArray[np.float64], NDArray[np.float32], int], None]
"""Fills out (n, samples) float32 from values (n, P) float64 at a sample rate; pure, releases the GIL."""


@dataclass(frozen=True)
class Synth:
    """A parameter space and a renderer; `format` is the audio that its models are trained on."""

    name: str
    space: ParamSpace
    format: AudioFormat
    fill: Fill

    def render(
        self,
        values: ArrayLike,
        sample_rate: int | None = None,
        seconds: float | None = None,
        workers: int | None = None,
    ) -> NDArray[np.float32]:
        """Renders patches.

        values: (n, P) in units, in the order of `space`; sample_rate in Hz and seconds default to
        `format`; workers: threads, by default one a core. Returns (n, samples) float32, as it comes:
        neither clipped nor normalised. Item i depends on row i alone. Raises `UsageError` for a
        value outside its range, or a sample rate that this synth can't be rendered at.
        """
        audio = AudioFormat(
            self.format.sample_rate if sample_rate is None else sample_rate,
            self.format.seconds if seconds is None else seconds,
        )
        rows = np.ascontiguousarray(self.space.check_values(values))
        nyquist = audio.sample_rate / 2
        top = max((param.high for param in self.space if param.name == "cutoff"), default=0.0)
        if top >= nyquist:
            raise UsageError(
                f"sample rate {audio.sample_rate} Hz is too low: a cutoff of {top:g} Hz needs more than {2 * top:g} Hz"
            )
        out = np.empty((len(rows), audio.samples), np.float32)
        threads = min(workers or os.cpu_count() or 1, len(rows))
        if threads <= 1:
            self.fill(rows, out, audio.sample_rate)
        else:
            bounds = np.linspace(0, len(rows), threads + 1).astype(int)
            with ThreadPoolExecutor(threads) as pool:
                jobs = [
                    pool.submit(self.fill, rows[a:b], out[a:b], audio.sample_rate)
                    for a, b in itertools.pairwise(bounds)
                ]
                for job in jobs:
                    job.result()
        return out


def _fill_paper(values: NDArray[np.float64], out: NDArray[np.float32], sample_rate: int) -> None:
    _native.paper(values, out, sample_rate, paper_tables.NOTE_OFF_S)


def _fill_sine(values: NDArray[np.float64], out: NDArray[np.float32], sample_rate: int) -> None:
    _native.sine(values, out, sample_rate)


SYNTHS = {
    synth.name: synth
    for synth in (
        Synth("paper", paper_tables.SPACE, paper_tables.FORMAT, _fill_paper),
        Synth("sine", sine_tables.SPACE, sine_tables.FORMAT, _fill_sine),
    )
}


def synth(name: str) -> Synth:
    """The synth of that name; raises `UsageError` naming those there are."""
    if name not in SYNTHS:
        raise UsageError(f"no synth {name!r}; there are {', '.join(SYNTHS)}")
    return SYNTHS[name]
