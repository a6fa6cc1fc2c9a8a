"""Whether a JACK server is there and runs, from Linux: a client of one that is gone would wait for ever."""

from __future__ import annotations

import contextlib
import os
import socket
import struct
import sys
import time
from pathlib import Path
from typing import NamedTuple

STANDS_S = 0.5
"""A JACK server hangs if none of its threads has run for this long; its periods are shorter."""
CONNECT_S = 1.0
"""How long to wait for a server to take a connection."""


class Server(NamedTuple):
    """A running JACK server: the inode and time of the socket it listens at, and its process."""

    inode: int
    time_ns: int
    process: int

    @property
    def runs(self) -> bool:
        """Whether it is still there."""
        with contextlib.suppress(OSError):
            found = os.stat(_socket())
            return (found.st_ino, found.st_ctime_ns) == self[:2] and os.path.exists(f"/proc/{self.process}")
        return False

    def trace(self) -> list[str]:
        """The state of its threads from Linux; it changes while the server runs."""
        with contextlib.suppress(OSError):
            return [file.read_text() for file in sorted(Path(f"/proc/{self.process}/task").glob("*/status"))]
        return []

    def moves(self) -> bool:
        """Whether it runs within `STANDS_S`, or that isn't known; libjack waits for ever for one that hangs."""
        before, end = self.trace(), time.monotonic() + STANDS_S
        while before and time.monotonic() < end:
            if self.moved(before, self.trace()):
                return True
            time.sleep(0.01)
        return not before

    @staticmethod
    def moved(before: list[str], after: list[str]) -> bool:
        """Whether it ran between two traces, other than by being stopped."""
        return after != before and not any("\nState:\tT" in status for status in after)


def has_sequencer() -> bool:
    """Whether ALSA's sequencer is there: MIDI is then not JACK's."""
    return Path("/dev/snd/seq").exists()


def _socket() -> str:
    return f"/dev/shm/jack_{os.environ.get('JACK_DEFAULT_SERVER', 'default')}_{os.getuid()}_0"


def jack_server() -> Server | None:
    """Which JACK server runs; None if none does, or MIDI isn't JACK's.

    A client can't ask: after its server was killed it still names the ports that were there. The place of the socket
    is that of jackd 2 on Linux; of PipeWire's JACK nothing is known.
    """
    if not sys.platform.startswith("linux") or has_sequencer():
        return None
    try:
        with socket.socket(socket.AF_UNIX) as probe:
            probe.settimeout(CONNECT_S)
            probe.connect(_socket())
            process, _, _ = struct.unpack("3i", probe.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
        found = os.stat(_socket())
    except OSError:
        return None
    return Server(found.st_ino, found.st_ctime_ns, process)
