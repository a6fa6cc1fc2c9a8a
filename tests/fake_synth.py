"""A synth as awkward as an instrument that somebody else built: for the tests of what any synth goes through.

It has 150 parameters of all kinds and uneven levels, two operators that may change places, renders in a process of its
own (this file, run as a script), takes its time, never sounds quite the same twice, and fails on some patches.
"""

from __future__ import annotations

import atexit
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inversynth import AllOf, AudioFormat, Note, Param, ParamSpace, Symmetry, Synth

OPERATORS, MINOR = 6, 18
FAILS_AT = 15
"""The level of `stability` at which nothing is rendered."""
NOISE = 1e-4
RENDER_S = 0.001


def _operator(op: str) -> list[Param]:
    silent = (f"{op}_level", 0)
    shapes = [(2, "continuous"), (7, "ordinal"), (100, "continuous"), (31, "continuous"), (15, "ordinal")]
    minor = [
        Param(f"{op}_minor_{i}", f"m{i}", 0, 1, levels=levels, kind=kind, group=op, inert_when=silent)
        for i, (levels, kind) in zip(range(MINOR), shapes * 4, strict=False)
    ]
    return [
        Param(f"{op}_level", "l", 0, 99, levels=100, kind="ordinal", group=op, role="level"),
        Param(f"{op}_ratio", "r", 0.5, 8, "", "exponential", 33, group=op, role="pitch", inert_when=silent),
        Param.choice(f"{op}_wave", "w", ("sine", "square", "saw"), group=op, role="waveform", inert_when=silent),
        *minor,
    ]


SPACE = ParamSpace(
    [
        Param.choice("algorithm", "alg", tuple(f"algorithm {n}" for n in range(1, 33))),
        *(param for n in range(1, OPERATORS + 1) for param in _operator(f"op{n}")),
        Param("attack", "a", 0.001, 1, "s", "exponential", 50, role="envelope time"),
        Param("release", "rel", 0.001, 1, "s", "exponential", 50, role="envelope time"),
        Param("lfo_depth", "d", 0, 99, levels=100, kind="ordinal", role="vibrato depth"),
        Param("lfo_width", "wd", 0, 99, levels=100, kind="ordinal", role="vibrato depth"),
        Param(
            "lfo_speed", "s", 0.1, 20, "Hz", levels=100, role="vibrato rate",
            inert_when=AllOf(("lfo_depth", 0), ("lfo_width", 0)),
        ),
        Param("stability", "st", 0, FAILS_AT, levels=FAILS_AT + 1, kind="ordinal"),
        Param("spare_0", "sp0", 0, 1, levels=1000),
        *(Param(f"spare_{i}", f"sp{i}", 0, 1, levels=2 + i) for i in range(1, 17)),
    ],
    [Symmetry(("op1", "op2"))],
)  # fmt: skip


def sounds(values: NDArray[np.float64], notes: NDArray[np.float64], rate: int, samples: int) -> NDArray[np.float32]:
    """(n, samples): operators in a sum, an attack, and a release after the note's hold."""
    at = {name: values[:, [i]] for i, name in enumerate(SPACE.names)}
    t = np.arange(samples)[None] / rate
    out = np.zeros((len(values), samples))
    bend = at["lfo_depth"] / 99 * 0.02 * np.sin(2 * np.pi * at["lfo_speed"] * t)
    for n in range(1, OPERATORS + 1):
        hz = 440 * 2 ** ((notes[:, [0]] - 69) / 12) * at[f"op{n}_ratio"] / 4
        phase = 2 * np.pi * hz * (t + bend / hz)
        waves = np.stack([np.sin(phase), np.sign(np.sin(phase)), (phase / np.pi) % 2 - 1])
        wave = np.take_along_axis(waves, at[f"op{n}_wave"].astype(int)[None], axis=0)[0]
        out += at[f"op{n}_level"] / 99 * wave / OPERATORS
    held = np.where(t < notes[:, [2]], np.minimum(t / at["attack"], 1), 0)
    return np.asarray(out * held * notes[:, [1]] / 127, np.float32)


class ProcessRenderer:
    """Renders in one process, patch by patch; one that has ended is started again."""

    version, arithmetic, lanes, fallible = "1", "any", 1, True

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._one_at_a_time = threading.Lock()

    def __call__(
        self,
        values: NDArray[np.float64],
        notes: NDArray[np.float64],
        sample_rate: int,
        out: NDArray[np.float32],
        workers: int | None = None,
    ) -> Mapping[int, str]:
        failures = {}
        with self._one_at_a_time:
            for row, (patch, note) in enumerate(zip(values, notes, strict=True)):
                if patch[SPACE.index("stability")] == FAILS_AT:
                    failures[row], out[row] = "it is unstable there", 0
                else:
                    out[row] = self._render(patch, note, sample_rate, out.shape[1])
        return failures

    def _render(self, patch: Any, note: Any, rate: int, samples: int) -> NDArray[np.float32]:
        if self._process is None or self._process.poll() is not None:
            command = [sys.executable, __file__]
            self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            atexit.register(self._process.kill)
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(np.concatenate([[rate, samples], note, patch]).tobytes())
        self._process.stdin.flush()
        return np.frombuffer(self._process.stdout.read(4 * samples), np.float32)


SYNTH = Synth("fake", SPACE, AudioFormat(8000, 0.25), ProcessRenderer(), note=Note(60, 100, 0.2))


def _serve() -> None:
    random = np.random.default_rng()
    while asked := sys.stdin.buffer.read(8 * (5 + len(SPACE))):
        numbers = np.frombuffer(asked)
        rate, samples = int(numbers[0]), int(numbers[1])
        sound = sounds(numbers[None, 5:], numbers[None, 2:5], rate, samples)[0]
        time.sleep(RENDER_S)
        noise = random.normal(0, NOISE, samples).astype(np.float32)
        sys.stdout.buffer.write((sound + noise).astype(np.float32).tobytes())
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    _serve()
