"""The private parts of sounddevice and multiprocessing that are used here, all in one place.

Both hide what an audio thread without Python needs: sounddevice a stream whose callback is C, and multiprocessing the
address of a semaphore, which C posts. If a new version of either moves something, this is the place to adapt.
"""

from __future__ import annotations

import atexit
import contextlib
from multiprocessing.synchronize import Semaphore
from typing import Any, Protocol

from ..errors import UsageError
from ..system.devices import keep_forever, quiet
from ..system.realtime import realtime_threads


class Callback(Protocol):
    """What PortAudio calls, in C."""

    def callback(self) -> tuple[int, int]:
        """The addresses of a PaStreamCallback, and of its user data."""


def load_sounddevice() -> Any:
    """The module sounddevice; raises `UsageError`, saying what to do, without the PortAudio library."""
    try:
        with quiet(), realtime_threads():  # with JACK the thread of the callback begins here
            import sounddevice
    except (OSError, ImportError) as error:
        raise UsageError(
            f"audio devices need the PortAudio library ({error}); install it (Debian, Ubuntu: "
            "apt install libportaudio2), or use --file"
        ) from None
    except KeyboardInterrupt as error:
        # Its frames hold the library: unloading it under JACK's threads would crash.
        keep_forever(error)
        raise
    return sounddevice


def native_stream(sounddevice: Any, kind: str, native: Callback, **settings: Any) -> Any:
    """A stream of the `kind` "input" or "output" that calls C alone; other arguments as in `sounddevice.Stream`.

    The base class of sounddevice's streams is for those who bring a callback in C; its own classes wrap one in Python.
    """
    cast, (callback, state) = sounddevice._ffi.cast, native.callback()
    return sounddevice._StreamBase(kind, **settings, callback=cast("void *", callback), userdata=cast("void *", state))


def leave_portaudio_open() -> None:
    """PortAudio isn't ended with this process: it aborts, or hangs, if the server of an open stream is gone."""
    handler = getattr(load_sounddevice(), "_exit_handler", None)
    if handler is not None:
        atexit.unregister(handler)


def rescan_devices() -> None:
    """Lets PortAudio, which lists devices once, list them again; no stream may be open. Raises `UsageError`."""
    sounddevice = load_sounddevice()
    with quiet():
        with contextlib.suppress(sounddevice.PortAudioError):
            sounddevice._terminate()
        try:
            sounddevice._initialize()
        except sounddevice.PortAudioError as error:
            raise UsageError(f"PortAudio can't list the audio devices: {error}") from None


def semaphore_address(semaphore: Semaphore) -> int:
    """Where the sem_t of a semaphore is (on Windows its handle); other processes that have it have one of their own."""
    lock: Any = semaphore
    return int(lock._semlock.handle)
