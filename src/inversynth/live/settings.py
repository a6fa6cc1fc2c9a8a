"""How the bridge listens and what it sends: plain data, checked."""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import UsageError
from ..spec import Note

MODES = ("capture", "follow")
NOTES = ("fixed", "pitch")
SMOOTH_S = {"capture": 0.0, "follow": 0.1}
MOST_GAIN_DB = 60.0


@dataclass(frozen=True)
class Settings:
    """How to listen, and what to send.

    mode: "capture" (a patch a note) or "follow" (and while it sounds on); gain_db: by how much the input is amplified;
    threshold_db: sound is what is above then, in dBFS; rate: predictions a second (follow); confidence,
    smooth (s): see `Tracker`, smooth by default `SMOOTH_S`; notes: send notes, of the key `note` at the onset ("fixed")
    or of the fundamental once it is known ("pitch"); panic: silence the receivers at the end; duration (s): until then.
    """

    mode: str = "capture"
    gain_db: float = 0.0
    threshold_db: float = -50.0
    rate: float = 10.0
    confidence: float = 0.3
    smooth: float | None = None
    notes: str | None = None
    note: int = round(Note().key)
    panic: bool = False
    duration: float | None = None

    def __post_init__(self) -> None:
        if self.mode not in MODES:
            raise UsageError(f"mode {self.mode!r} is not one of {', '.join(MODES)}")
        if not abs(self.gain_db) <= MOST_GAIN_DB:
            raise UsageError(f"a gain of {self.gain_db:g} dB is outside -{MOST_GAIN_DB:g}..{MOST_GAIN_DB:g}")
        if not -120 <= self.threshold_db < 0:
            raise UsageError(f"a threshold of {self.threshold_db:g} dBFS is outside -120..0")
        if not 0.1 <= self.rate <= 100:
            raise UsageError(f"{self.rate:g} predictions a second are outside 0.1..100")
        if not 0 <= self.confidence <= 1:
            raise UsageError(f"a confidence of {self.confidence:g} is outside 0..1")
        if self.smooth is not None and not 0 <= self.smooth <= 60:
            raise UsageError(f"{self.smooth:g} s to smooth are outside 0..60")
        if self.notes is not None and self.notes not in NOTES:
            raise UsageError(f"notes {self.notes!r} are not one of {', '.join(NOTES)}")
        if not 0 <= self.note <= 127:
            raise UsageError(f"key {self.note} is outside 0..127")
        if self.duration is not None and not 0 < self.duration < float("inf"):
            raise UsageError(f"a duration of {self.duration:g} s is not above 0")

    @property
    def smooth_s(self) -> float:
        """How long a move takes."""
        return SMOOTH_S[self.mode] if self.smooth is None else self.smooth
