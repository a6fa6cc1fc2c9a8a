"""What a training run is: its settings, and how its learning rate goes."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from pathlib import Path

from .. import synths
from ..errors import MismatchError, UsageError
from ..synths.sampling import check_seed
from ..synths.synth import Synth

MOST = 1 << 20
"""The most epochs, steps, and sounds of a batch or a validation set."""
VALIDATION = "validation"
"""The part of a split that a run is measured on."""


@dataclass(frozen=True)
class Settings:
    """What a run is, apart from where it is kept.

    `synth` is a name; `data` is a dataset's folder, or None for fresh sounds; `split` is the part of it that is trained
    on; `note`: the network takes the note that is played (see `networks.build`).
    """

    synth: str = synths.DEFAULT
    model: str = "C6XL"
    data: str | None = None
    split: str | None = None
    epochs: int = 100
    steps: int = 250
    batch_size: int = 64
    learning_rate: float = 1e-3
    warmup_steps: int = 200
    weight_decay: float = 1e-4
    loss: str = "softmax"
    seed: int = 0
    validation: int = 2048
    patience: int = 10
    data_format: str = "channels_last"
    precision: str = "float32"
    augment: float = 0.0
    partial: float = 0.0
    note: bool = False

    def __post_init__(self) -> None:
        for name in ("epochs", "steps", "batch_size", "warmup_steps", "validation", "patience"):
            if not 1 <= getattr(self, name) <= MOST:
                raise UsageError(f"{name} is {getattr(self, name)}; it must be at least 1 and at most {MOST}")
        if self.split is not None and self.data is None:
            raise UsageError(f"--split {self.split} needs a dataset; give its folder with --data, or leave --split out")
        if self.split == VALIDATION:
            raise UsageError(f"the part {VALIDATION} is what a run is measured on; train on another")
        if not 0 < self.learning_rate < 1:
            raise UsageError(f"learning rate {self.learning_rate} is outside (0, 1)")
        if not 0 <= self.weight_decay < 1:
            raise UsageError(f"weight decay {self.weight_decay} is outside [0, 1)")
        for name in ("augment", "partial"):
            share = getattr(self, name)
            if not 0 <= share <= 1:
                raise UsageError(f"{name}: a share of {share} of the sounds is outside [0, 1]")
            if share and self.data is not None:
                raise UsageError(f"the sounds of a dataset are trained on as they are; leave --{name} out, or --data")
        if self.loss not in ("softmax", "sigmoid"):
            raise UsageError(f"loss {self.loss!r} is not softmax or sigmoid")
        check_seed(self.seed)

    AUGMENTATION = ("augment", "partial")
    CHANGEABLE = ("epochs", "patience", "precision", *AUGMENTATION)
    """What --resume may change: the schedule stretches or shrinks to the new number of epochs, sounds may be augmented
    in another way, and a run in bfloat16 should end in float32, in which its network is exported."""

    def require(self, before: Settings, folder: Path) -> None:
        """Raises `MismatchError`, naming what differs, unless the run in `folder` can go on from `before`."""
        for name in (field.name for field in dataclasses.fields(self) if field.name not in self.CHANGEABLE):
            was, now = getattr(before, name), getattr(self, name)
            if was != now:
                raise MismatchError(
                    f"{folder} was trained with {name} {was}, not {now}; resume it with its own settings"
                )

    def require_synth(self, synth: Synth) -> None:
        """Raises `MismatchError` unless these are settings of a run on this synth."""
        if synth.name != self.synth:
            raise MismatchError(f"the settings are of a run on the synth {self.synth}, not on {synth.name}")

    def learning_rate_at(self, step: int) -> float:
        """Linear warm-up, then half a cosine down to a hundredth over all epochs."""
        progress = min(step / (self.epochs * self.steps), 1.0)
        cosine = 0.01 + 0.99 * (1 + math.cos(math.pi * progress)) / 2
        return self.learning_rate * cosine * min((step + 1) / self.warmup_steps, 1.0)
