"""Sessions: the input sound and the messages sent, recorded in a folder, and read again.

session.json     what it was recorded with: settings, model, sample rate, each receiver's profile and wire
audio-0001.wav   the sound, float32, a file an hour
log.jsonl        a line for each message with the time in the stream (s), and for other events that they depend on
"""

from __future__ import annotations

import contextlib
import errno
import json
import math
import shutil
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..audio.sources import BLOCK_SAMPLES, Clock, Source, check_block
from ..errors import DamageError, InversynthError, UsageError, one_line
from ..spec import AudioFormat
from ..system import files

FACTS, LOG, AUDIO = "session.json", "log.jsonl", "audio-{:04}.wav"
FILE_S = 3600.0
"""Sound in a file: at any rate it stays below the 4 GiB of a WAV file."""
WRITE_S = 0.1
MOST_WAITING = 1 << 16
"""Entries that wait for a slow disk; more are lost, and the session says so."""


class Recorder:
    """Keeps a session in a folder, from a thread of its own; raises `UsageError` if one is there already.

    A full disk ends the recording and nothing else; `say` gets a line at once.
    """

    def __init__(self, folder: str | Path, say: Callable[[str], None] = lambda line: None) -> None:
        self.folder, self._say = Path(folder), say
        if (self.folder / FACTS).exists():
            raise UsageError(f"{folder} holds a session already; give another folder")
        files.make_folder(self.folder)
        self._waiting: deque[NDArray[np.float32] | dict[str, Any]] = deque(maxlen=MOST_WAITING)
        self.lost = 0
        self._over = threading.Event()
        self._thread: threading.Thread | None = None
        self._error: BaseException | None = None

    def start(self, sample_rate: int, facts: Mapping[str, Any]) -> None:
        """Begins, with what the session is recorded with."""
        files.write_json(self.folder / FACTS, {"sample_rate": sample_rate, **facts})
        self._thread = threading.Thread(target=self._run, args=(sample_rate,), name="recorder", daemon=True)
        self._thread.start()

    def audio(self, block: NDArray[np.float32]) -> None:
        """The next block (samples,)."""
        self._put(block)

    def sent(self, number: int, message: bytes, at_s: float) -> None:
        """A message went to the receiver of a number."""
        self._put({"at_s": at_s, "to": number, "message": message.hex(" ")})

    def returned(self, number: int, at_s: float) -> None:
        """The receiver of a number was away, and is back."""
        self._put({"at_s": at_s, "returned": number})

    def mark(self, position: int, what: str, value: Any = True) -> None:
        """An event besides the sound happened at this position in samples."""
        self._put({"position": position, what: value})

    def _put(self, entry: NDArray[np.float32] | dict[str, Any]) -> None:
        if self._error is not None:
            return
        if len(self._waiting) == MOST_WAITING:
            self.lost += 1
        self._waiting.append(entry)

    def _run(self, sample_rate: int) -> None:
        try:
            self._write(sample_rate)
        except (OSError, RuntimeError) as error:
            self._error = error
            self._waiting.clear()
            self._say(f"the recording has ended, and no more is kept: {self._why()}")

    def _write(self, sample_rate: int) -> None:
        import soundfile

        sound: Any = None
        number, left = 0, 0
        try:
            with (self.folder / LOG).open("w", encoding="utf-8") as log:
                while True:
                    over = self._over.wait(WRITE_S)
                    while self._waiting:
                        entry = self._waiting.popleft()
                        if isinstance(entry, dict):
                            log.write(json.dumps(entry) + "\n")
                            continue
                        if left <= 0:
                            number, left = number + 1, round(FILE_S * sample_rate)
                            if sound is not None:
                                sound.close()
                            path = self.folder / AUDIO.format(number)
                            sound = soundfile.SoundFile(path, "w", sample_rate, 1, "FLOAT", format="WAV")
                        sound.write(entry)
                        left -= len(entry)
                    log.flush()
                    if over:
                        return
        finally:
            if sound is not None:
                sound.close()

    def _why(self) -> str:
        """Why not everything is kept."""
        full = isinstance(self._error, OSError) and self._error.errno == errno.ENOSPC
        if isinstance(self._error, RuntimeError):  # of libsndfile, which gives no reason
            full = not shutil.disk_usage(self.folder).free
        if full:
            return "the disk is full"
        return one_line(self._error) if self._error else f"{self.lost} entries were lost: the disk is too slow"

    def stop(self) -> None:
        """Writes what is left."""
        self._over.set()
        if self._thread is not None:
            self._thread.join()

    def check(self) -> None:
        """Raises `InversynthError` if not everything could be written."""
        if self._error is not None or self.lost:
            raise InversynthError(f"the session {self.folder} is damaged: {self._why()}")

    def close(self) -> None:
        """Stops, and checks."""
        self.stop()
        self.check()


@dataclass(frozen=True)
class Mark:
    """An event besides the sound, in the order it happened.

    `position` in samples of what the listening thread did, or `at_s` of what the sender did; `what`: "gap", "refined",
    "stopped" or "returned".
    """

    what: str
    value: Any
    position: int | None
    at_s: float | None


@dataclass(frozen=True)
class Session:
    """A recorded session: its facts, the marks, and the messages as (receiver's number, bytes, time in s)."""

    folder: Path
    facts: dict[str, Any]
    marks: tuple[Mark, ...]
    messages: tuple[tuple[int, bytes, float], ...]

    @property
    def sample_rate(self) -> int:
        """In Hz."""
        return int(self.facts["sample_rate"])

    @contextlib.contextmanager
    def reading(self) -> Iterator[None]:
        """Raises `DamageError` if `facts` read within aren't as the bridge writes them."""
        try:
            yield
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise _damaged(self.folder / FACTS, error) from None


def load(folder: str | Path) -> Session:
    """Reads a session; raises `UsageError` for a folder that isn't a session, or is damaged."""
    place = Path(folder)
    if not (place / FACTS).is_file():
        raise UsageError(f"{folder} is not a session: it has no {FACTS}; give a folder that --record made")
    facts = files.read_json(place / FACTS, "session")
    marks, messages = [], []
    try:
        rate = facts["sample_rate"]
        if type(rate) is not int:
            raise TypeError(f"sample_rate is {rate!r}")
        AudioFormat(rate, 1.0)
    except (ValueError, KeyError, TypeError) as error:
        raise _damaged(place / FACTS, error) from None
    try:
        for line in (place / LOG).read_text(encoding="utf-8").splitlines():
            entry = json.loads(line)
            position, at_s = entry.pop("position", None), entry.pop("at_s", None)
            if "message" in entry:
                messages.append((int(entry["to"]), bytes.fromhex(entry["message"]), float(at_s)))
            else:
                ((what, value),) = entry.items()
                marks.append(_mark(what, value, position, at_s))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError, OverflowError) as error:
        raise _damaged(place / LOG, error) from None
    return Session(place, facts, tuple(marks), tuple(messages))


def _damaged(file: Path, error: Exception) -> DamageError:
    why = f"{error} is missing" if isinstance(error, KeyError) else one_line(error)
    return DamageError(f"{file} is damaged: {why}; record the session again")


def _mark(what: str, value: Any, position: Any, at_s: Any) -> Mark:
    """Raises `ValueError` for what the bridge doesn't write."""
    right = {
        "gap": value is True,
        "stopped": value is True,
        "refined": isinstance(value, list) and all(isinstance(x, int | float) and 0 <= x <= 1 for x in value),
        "returned": type(value) is int and value >= 0,
    }
    if what == "returned":
        right_time = isinstance(at_s, float) and 0 <= at_s < math.inf
    else:
        right_time = type(position) is int and position >= 0
    if not (right.get(what) and right_time):
        raise ValueError(f"it says {what} = {value!r} at {position if at_s is None else at_s!r}")
    return Mark(what, value, position, at_s)


class Comparison:
    """A sink that compares what it gets with what a session's receiver of a number got."""

    def __init__(self, session: Session, number: int) -> None:
        self.description = f"a comparison with what {session.folder} sent to its output {number + 1}"
        self._expected = [(message, at_s) for to, message, at_s in session.messages if to == number]
        self._count = 0
        self.difference: str | None = None

    def send(self, message: bytes, at_s: float) -> None:
        """Compares bytes and time."""
        expected = self._expected[self._count] if self._count < len(self._expected) else None
        self._count += 1
        if self.difference is None and expected != (message, at_s):
            then = "nothing" if expected is None else f"{expected[0].hex(' ')} at {expected[1]:.6f} s"
            self.difference = f"message {self._count} is {message.hex(' ')} at {at_s:.6f} s; it was {then}"

    def returned(self) -> bool:
        """Never: the session's log says it."""
        return False

    def close(self) -> None:
        """Nothing is left to do."""

    def result(self) -> str | None:
        """What differs, in words; None if nothing does."""
        if self.difference is None and self._count < len(self._expected):
            return f"{self._count} messages came; there were {len(self._expected)}"
        return self.difference


class SessionSource(Source):
    """The sound of a session, as a device would deliver it in the time of a clock."""

    def __init__(self, session: Session, clock: Clock, block_samples: int = BLOCK_SAMPLES) -> None:
        super().__init__(f"session {session.folder}", session.sample_rate, check_block(block_samples), clock)
        self._blocks = _blocks(session, block_samples)
        self._began, self._at = clock.now(), 0

    def start(self) -> None:
        """The first block is due one block later."""
        self._began = self.clock.now()

    def read(self) -> NDArray[np.float32] | None:
        """The next block, when its last sample is due."""
        block = next(self._blocks, None)
        if block is None:
            return None
        self._at += len(block)
        self.clock.sleep_until(self._began + self._at / self.sample_rate)
        self.deliver(block)
        return self._ring.read()


def _blocks(session: Session, block_samples: int) -> Iterator[NDArray[np.float32]]:
    import soundfile

    number = 1
    while (path := session.folder / AUDIO.format(number)).is_file():
        number += 1
        try:
            with soundfile.SoundFile(path) as sound:
                if (sound.samplerate, sound.channels) != (session.sample_rate, 1):
                    raise RuntimeError(f"it has {sound.channels} channels of {sound.samplerate} Hz")
                yield from sound.blocks(block_samples, dtype="float32")
        except (soundfile.LibsndfileError, RuntimeError) as error:
            raise _damaged(path, error) from None
