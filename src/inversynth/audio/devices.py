"""Audio devices: which there are, which one is meant, and a stream of one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

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


def device_names(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """What devices are known by: the same name at another system of PortAudio's is another device."""
    return [f"{row['name']} ({row['hostapi']})" for row in rows]


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
