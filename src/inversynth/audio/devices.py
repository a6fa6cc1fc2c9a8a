"""Audio devices: which there are, which one is meant, which one is back, and a stream of one."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

from ..errors import UsageError
from ..system.devices import pick, quiet
from .internals import Callback, load_sounddevice, native_stream

Row = dict[str, Any]
"""A device: `index`, `name`, `hostapi`, `max_input_channels`, `max_output_channels`, `default_samplerate` (Hz)."""


def list_devices(what: str = "input", instead: str = "--file") -> list[Row]:
    """The rows of the audio inputs or, with "output", of the outputs.

    Raises `UsageError`, saying what to do, without the PortAudio library or any input; instead: the option that needs
    none.
    """
    sounddevice = load_sounddevice()
    with quiet():
        apis = sounddevice.query_hostapis()
        rows = [dict(row) | {"hostapi": apis[row["hostapi"]]["name"]} for row in sounddevice.query_devices()]
    found = [row for row in rows if row[f"max_{what}_channels"] > 0]
    if not found:
        raise UsageError(
            f"no audio {what}: connect a device, or start a server (JACK without hardware: jackd -r -d dummy -r 48000 "
            f"-p 256), or use {instead}"
        )
    return found


def find_device(rows: Sequence[Row], device: str, what: str = "input") -> Row:
    """The row of an index or a part of a name; raises `UsageError` that says which there are.

    Of devices of the very same name only an index says which is meant.
    """
    if device.isdecimal():
        for row in rows:
            if row["index"] == int(device):
                return row
        raise UsageError(f"no audio {what} {device}; there are {_indexed(rows)}")
    names = [row["name"] for row in rows]
    wanted = device.casefold()
    twins = [row for row in rows if row["name"] == device] or [row for row in rows if wanted in row["name"].casefold()]
    if len(twins) > 1 and len({row["name"] for row in twins}) == 1:
        raise UsageError(f"audio {what} {device!r} could be {_indexed(twins)}; give its index")
    return rows[pick(names, device, f"audio {what}")]


def _indexed(rows: Sequence[Row]) -> str:
    return ", ".join(f"{row['index']} {row['name']!r}" for row in rows)


class DeviceIdentity(NamedTuple):
    """By what a device is known again: its name, and what its twins were when it was opened.

    hostapi: of PortAudio; rank: which of the `twins` of exactly this name it is; others: the names of devices
    that differ from it in the number of ALSA's card alone.
    """

    name: str
    hostapi: str
    rank: int
    twins: int
    others: tuple[str, ...]

    @classmethod
    def of(cls, row: Row, rows: Sequence[Row]) -> DeviceIdentity:
        """The identity of a row, beside all there are."""
        same = [other for other in rows if other["hostapi"] == row["hostapi"]]
        equal = [other["index"] for other in same if other["name"] == row["name"]]
        others = {other["name"] for other in same if _without_card(other["name"]) == _without_card(row["name"])}
        others -= {row["name"]}
        return cls(row["name"], row["hostapi"], equal.index(row["index"]), len(equal), tuple(sorted(others)))

    def find(self, rows: Sequence[Row]) -> Row | None:
        """The row of this device now; None while it is away, or can't be told from one that was its twin."""
        same = [row for row in rows if row["hostapi"] == self.hostapi]
        equal = [row for row in same if row["name"] == self.name]
        if equal:
            return equal[self.rank] if len(equal) >= self.twins else None
        like = _without_card(self.name)
        renumbered = [row for row in same if _without_card(row["name"]) == like and row["name"] not in self.others]
        return renumbered[0] if len(renumbered) == 1 else None


def _without_card(name: str) -> str:
    """A name without the number of ALSA's card, which changes when a device is plugged in again."""
    return re.sub(r"\(hw:\d+,", "(hw:", name)


def open_stream(kind: str, row: Row, sample_rate: int, block_samples: int, channels: int, native: Callback) -> Any:
    """A stream of sounddevice of the `kind` "input" or "output" that calls C alone: no Python runs in its thread.

    row: of `list_devices`; native: lives as long as the stream. Raises `UsageError` if it can't be opened.
    """
    sounddevice = load_sounddevice()
    try:
        with quiet():
            return native_stream(
                sounddevice,
                kind,
                native,
                device=row["index"],
                channels=channels,
                samplerate=sample_rate,
                blocksize=block_samples,
                dtype="float32",
                latency="low",
            )
    except (sounddevice.PortAudioError, ValueError) as error:
        reason = str(error).split(": ", 1)[-1]
        raise UsageError(
            f"can't open {row['name']!r} at {sample_rate} Hz ({reason}); "
            f"its own rate is {row['default_samplerate']:g} Hz: try without --sample-rate"
        ) from None
