"""`sine`: two sine oscillators, the smallest example of a synth.

The sound is (a1 sin(2 pi f1 t) + a2 sin(2 pi f2 t)) / 2.
"""

from __future__ import annotations

from ..spec import AudioFormat, Param, ParamSpace
from .native import NativeEngine
from .synth import Synth

FORMAT = AudioFormat(16384, 1.0)

SPACE = ParamSpace(
    [
        Param("frequency_1", "f1", 100.0, 400.0, "Hz", "exponential", midi=20, group="1", role="pitch"),
        Param("amplitude_1", "a1", 0.5, 1.0, midi=21, group="1", role="level"),
        Param("frequency_2", "f2", 800.0, 1600.0, "Hz", midi=22, group="2", role="pitch"),
        Param("amplitude_2", "a2", 0.5, 1.0, midi=23, group="2", role="level"),
    ]
)

ENGINE = NativeEngine("sine", version="1")

SYNTH = Synth("sine", SPACE, FORMAT, ENGINE, open_stream=ENGINE.open_stream, open_voices=ENGINE.open_voices)
