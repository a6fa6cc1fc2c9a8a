"""A callback in C called as PortAudio does."""

from __future__ import annotations

import ctypes

import numpy as np
from numpy.typing import NDArray

INPUT_OVERFLOW = 2
CALLBACK = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_ulong, ctypes.c_void_p, ctypes.c_ulong, ctypes.c_void_p
)
"""PaStreamCallback of portaudio.h."""


def deliver(callback: int, userdata: int, block: NDArray[np.float32], flags: int = 0) -> None:
    """Gives the callback of an input a block, after which it is to be called again."""
    assert CALLBACK(callback)(block.ctypes.data_as(ctypes.c_void_p), None, len(block), None, flags, userdata) == 0


def asked(callback: int, userdata: int, samples: int) -> NDArray[np.float32]:
    """(samples,) what the callback of an output gives, after which it is to be called again."""
    out = np.empty(samples, np.float32)
    assert CALLBACK(callback)(None, out.ctypes.data_as(ctypes.c_void_p), samples, None, 0, userdata) == 0
    return out
