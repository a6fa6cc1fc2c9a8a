"""The front of the native engines."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .. import _native
from ..system.simd import in_threads, simd_target
from .synth import NativeStream, NativeTarget, NativeVoices

Floats = NDArray[np.float64]
Sounds = NDArray[np.float32]


@dataclass(frozen=True)
class NativeEngine:
    """An engine in C by its name: a renderer, and what opens its streams, targets and voices; see `synth.Synth`.

    `version` goes up with every change of its sounds.
    """

    engine: str
    version: str

    @property
    def arithmetic(self) -> str:
        """That of the SIMD target."""
        return simd_target().arithmetic

    @property
    def lanes(self) -> int:
        """Those of the SIMD target."""
        return simd_target().lanes

    @property
    def fallible(self) -> bool:
        """It renders every patch."""
        return False

    def __call__(
        self, values: Floats, notes: Floats, sample_rate: int, out: Sounds, workers: int | None = None
    ) -> Mapping[int, str]:
        """Renders in threads; nothing fails."""

        def fill(first: int, after: int) -> None:
            rows = slice(first, after)
            _native.render(self.engine, values[rows], notes[rows], out[rows], sample_rate, simd_target().number)

        in_threads(fill, len(values), workers)
        return {}

    def open_stream(self, values: Floats, notes: Floats, sample_rate: int) -> NativeStream:
        """A stream of (n, P) values and (n, 3) notes."""
        return _native.Stream(self.engine, values, notes, sample_rate, simd_target().number)

    def make_target(self, sound: Sounds, note: Floats, sample_rate: int) -> NativeTarget:
        """A target (samples,), for patches played by a note (3,)."""
        return _native.Target(self.engine, sound, note, sample_rate, simd_target().number)

    def open_voices(self, values: Floats, sample_rate: int, count: int, gain: float, channels: int) -> NativeVoices:
        """Voices of a patch (P,)."""
        return _native.Voices(self.engine, values, count, sample_rate, gain, channels, simd_target().number)
