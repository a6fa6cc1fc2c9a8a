"""For the live bridge: the instrument as a process of its own, that messages go to through a pipe."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
import time
from collections import deque

from ...errors import UsageError
from ...midi import Message, Receiver
from ...midi.profiles import nrpn_profile
from ...synths.synth import Synth
from .voices import TOP_VELOCITY

PIPE_BAUD = 3_125_000.0
"""The pace of a pipe: a hundred times a MIDI cable's, at which a whole patch takes 1 ms."""
PIPE_OPTIONS = ("--silent", "--velocity", f"{TOP_VELOCITY}", "--gain", "-6")
"""It is silent before the first patch; a patch has the level of the sound that it was found for, and at this gain its
full scale is below the limiter."""


class ProcessSink:
    """`inversynth play` as a process of its own, that messages go to through a pipe.

    Nothing that is computed here can delay its sound. If its device or server is gone it just ends, and is
    started again every `RETRY_S` until it plays. One that doesn't read until its pipe is full counts as gone.
    options: of `inversynth play`. Raises `UsageError` with what it says if it doesn't play at first.
    """

    START_S = 30.0
    RETRY_S = 2.0
    END_S = 3.0

    def __init__(self, *options: str) -> None:
        self._command = [sys.executable, "-m", "inversynth", "play", "--midi-in", "-", *PIPE_OPTIONS, *options]
        self._away = False
        self._start()
        self._ready.wait(self.START_S)
        if not self._playing:
            self._end()
            raise UsageError(self._said[-1] if self._said else "inversynth play doesn't start")
        self.description = f"a process {self._said[-1]}"

    def _start(self) -> None:
        self._retry_at = time.monotonic() + self.RETRY_S
        self._said: deque[str] = deque(maxlen=8)
        self._ready, self._playing = threading.Event(), False
        self._process = subprocess.Popen(
            self._command,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            start_new_session=True,  # Ctrl-C is for this process; it ends with its pipe
        )
        assert self._process.stdin is not None
        self._pipe = self._process.stdin.fileno()
        with contextlib.suppress(OSError, AttributeError):  # Windows, before Python 3.12
            os.set_blocking(self._pipe, False)
        args = self._process, self._said, self._ready
        threading.Thread(target=self._listen, args=args, name="player", daemon=True).start()

    def _listen(self, process: subprocess.Popen[bytes], said: deque[str], ready: threading.Event) -> None:
        """Keeps what it says; it is ready when it plays, or has ended."""
        assert process.stderr is not None
        with process.stderr:
            for line in process.stderr:
                said.append(line.decode(errors="replace").strip().removeprefix("inversynth: error: "))
                if said[-1].startswith("playing ") and process is self._process:
                    self._playing = True
                    ready.set()
        ready.set()

    def _end(self, patience_s: float = 0.0) -> None:
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):
            self._process.stdin.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(patience_s)
        self._process.kill()
        self._process.wait()

    def send(self, message: Message, at_s: float) -> None:
        """Sends at once, whatever `at_s`; dropped while it is away."""
        if not self._away:
            try:
                os.write(self._pipe, message)
            except OSError:
                self._lose()

    def returned(self) -> bool:
        """Starts it again if it has ended, and says so once it plays."""
        ended = self._process.poll() is not None
        if not self._away:
            if ended:
                self._lose()
            return False
        if self._playing and not ended:
            self._away = False
            return True
        if ended and time.monotonic() >= self._retry_at:
            self._start()
        return False

    def _lose(self) -> None:
        self._away, self._playing = True, False
        self._end()

    def close(self) -> None:
        """Lets the last notes die away, and ends it."""
        self._end(self.END_S)


def receiver(synth: Synth, *options: str) -> Receiver:
    """The receiver through which the live bridge plays a synth in a process of its own; options: of `inversynth play`.

    It is sent 14 bits a parameter, much faster than a MIDI cable would. The synth's `note` plays the patch as it is.
    """
    return Receiver(nrpn_profile(synth), ProcessSink("--synth", synth.origin or synth.name, *options), PIPE_BAUD)
