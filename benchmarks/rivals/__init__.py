"""The paper's synth as users of other tools would write it at their best, for benchmarks/render.py to measure.

A rival is a module of this package. `ABOUT` says in a line what is measured, `BATCHES` are the batch sizes worth
trying, and `make(task)` gives the function that renders a batch.

All use what costs least in their tool: phases in closed form, split into a part a block and a part within it, so that
float32 carries them; a polynomial for the sine; and the low-pass as matrices over blocks of samples where a loop over
samples is slow.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Render = Callable[[NDArray[np.float64], NDArray[np.float32]], None]
"""Fills out (n, samples) float32 from values (n, 23) float64, in the units and order of the synth's space."""

BLOCK = 128
SINE = (6.28318530718, -41.3416748, 81.6009827, -76.5498962, 39.5367069)
"""sin(2 pi y) / y in powers of y^2, for |y| <= 1/4: the least largest error at this degree, 3e-9."""


@dataclass(frozen=True)
class Task:
    """What is rendered: the samples of a sound, the sample rate, the end of the notes, and the number of cores."""

    sample_rate: int
    samples: int
    note_off_s: float
    threads: int
