"""A synth of a Python function: what a user needs to add one."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import one_line
from ..spec import AudioFormat, ParamSpace
from .synth import Synth

Floats = NDArray[np.float64]
Sounds = NDArray[np.float32]
Function = Callable[[Floats, Floats, int, int], ArrayLike]
"""values (n, P) in units, notes (n, 3), the sample rate in Hz and the number of samples, to (n, samples)."""

BATCH = 64
"""Patches that a function is given at a time, at most."""
LOUDEST = 1e6
"""A peak above this is no sound: 1 is full scale."""


@dataclass(frozen=True)
class FunctionRenderer:
    """A renderer of a function that gives NumPy arrays; it is called by one thread at a time.

    Where a call fails, each of its patches is tried alone. A patch fails that raises, and one whose sound has another
    shape, isn't finite, is louder than `LOUDEST`, or is no real number of which 1 is full scale.
    """

    function: Function
    version: str
    arithmetic: str = "numpy"
    lanes: int = 1
    fallible: bool = True
    _one_at_a_time: threading.Lock = field(default_factory=threading.Lock, init=False, repr=False, compare=False)

    def __call__(
        self, values: Floats, notes: Floats, sample_rate: int, out: Sounds, workers: int | None = None
    ) -> Mapping[int, str]:
        """See `synth.Renderer`; `workers` changes nothing."""
        failures: dict[int, str] = {}
        for first in range(0, len(values), BATCH):
            rows = slice(first, first + BATCH)
            if self._fill(values[rows], notes[rows], sample_rate, out[rows]) is None:
                continue
            for row in range(first, min(first + BATCH, len(values))):
                one = slice(row, row + 1)
                why = self._fill(values[one], notes[one], sample_rate, out[one])
                if why is not None:
                    out[row] = 0
                    failures[row] = why
        return failures

    def _fill(self, values: Floats, notes: Floats, sample_rate: int, out: Sounds) -> str | None:
        """Why these can't be rendered, if so."""
        try:
            with self._one_at_a_time:
                made = np.asarray(self.function(values.copy(), notes.copy(), sample_rate, out.shape[1]))
            if np.iscomplexobj(made):
                return "its samples are complex"
            with np.errstate(over="ignore"):  # what is too large for a sample is infinite, and told below
                sounds = made.astype(np.float32)
        except (Exception, SystemExit) as error:
            return f"{type(error).__name__}: {one_line(error)}"
        if sounds.shape != out.shape:
            return f"its function gave the shape {sounds.shape}, not {out.shape}"
        if not np.isfinite(sounds).all():
            return "its sound has samples that are NaN or infinite"
        loudest = LOUDEST if made.dtype.kind == "f" else 1
        if np.abs(sounds).max() > loudest:
            return f"its sound ({made.dtype}) has samples beyond {loudest:g}, where 1 is full scale"
        out[:] = sounds
        return None


def from_function(
    name: str, space: ParamSpace, format: AudioFormat, render: Function, version: str = "1", **more: Any
) -> Synth:
    """A synth that a Python function renders.

    render(values, notes, sample_rate, samples): values (n, P) float64 in units, notes (n, 3) float64 (key, velocity,
    hold in seconds), gives (n, samples) samples; row i must depend on row i alone. version: change it with every
    change of the sounds. more: other fields of `Synth`.
    """
    return Synth(name, space, format, FunctionRenderer(render, version), **more)
