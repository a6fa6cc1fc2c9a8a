from collections.abc import Sequence
from typing import NoReturn

import numpy as np
from numpy.typing import NDArray

def paths() -> tuple[tuple[str, int, str], ...]: ...
def paper(
    values: NDArray[np.float64], out: NDArray[np.float32], sample_rate: float, note_off: float, path: int
) -> None: ...

class PaperTarget:
    def __init__(self, sound: NDArray[np.float32], sample_rate: float, note_off: float, path: int) -> None: ...
    def score(self, values: NDArray[np.float64], out: NDArray[np.float64]) -> None: ...

class PaperStream:
    def __init__(self, values: NDArray[np.float64], sample_rate: float, note_off: float, path: int) -> None: ...
    def process(self, out: NDArray[np.float32]) -> None: ...
    def change(self, values: NDArray[np.float64]) -> None: ...

VOICES: int
NOTE_OFF: int
NOTE_ON: int
SET: int
NOTES_OFF: int
SOUND_OFF: int
BEND: int

class PaperVoices:
    def __init__(
        self,
        values: NDArray[np.float64],
        count: int,
        note: int,
        sample_rate: float,
        gain: float,
        channels: int,
        path: int,
    ) -> None: ...
    def push(self, kind: int, index: int, value: float, at: int) -> bool: ...
    def process(self, out: NDArray[np.float32]) -> None: ...
    def played(self) -> tuple[int, int, int, int]: ...
    def callback(self) -> tuple[int, int]: ...

def sine(values: NDArray[np.float64], out: NDArray[np.float32], sample_rate: float) -> None: ...
def to_half(audio: NDArray[np.float32], out: NDArray[np.uint16], path: int) -> None: ...
def to_int16(audio: NDArray[np.float32], out: NDArray[np.int16], peaks: NDArray[np.float32], path: int) -> None: ...

MAX_LANES: int
TOGETHER: int
PARTIALS: int

def resample(
    rows: NDArray[np.float32],
    up: int,
    down: int,
    before: int,
    sound: NDArray[np.float32],
    out: NDArray[np.float32],
    path: int,
) -> None: ...
def spin() -> NoReturn: ...
def estimate(
    rows: Sequence[NDArray[np.float32]],
    levels: NDArray[np.int64],
    likeliest: bool,
    choices: int,
    out: NDArray[np.int64],
    confidence: NDArray[np.float64],
) -> None: ...

SAMPLES: int
PARAMETERS: int
LEVELS: int
PHASORS: int

def atoms_arrays() -> tuple[tuple[str, int, int], ...]: ...

class Atoms:
    def __init__(self, arrays: Sequence[NDArray[np.float32]], phasors: NDArray[np.uint8], path: int) -> None: ...
    def hear(self, audio: NDArray[np.float32], out: NDArray[np.float32]) -> None: ...
