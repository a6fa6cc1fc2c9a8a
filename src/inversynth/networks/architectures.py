"""The networks of arXiv 1812.06349 as tables, and the names of all."""

from __future__ import annotations

from collections.abc import Iterable

from ..errors import UsageError

# Filters, kernel (time, frequency), strides (time, frequency): its table of architectures, and the one place
# where they are declared. ConvE2E's first four layers run along the waveform.
_C6 = ((32, 3, 3, 2, 2), (71, 3, 3, 2, 2), (128, 3, 4, 2, 3), (128, 3, 3, 2, 2), (128, 3, 3, 2, 2), (128, 3, 3, 1, 2))
SPECTROGRAM_STACKS: dict[str, tuple[tuple[int, int, int, int, int], ...]] = {
    "C1": ((38, 13, 26, 13, 26),),
    "C2": ((35, 6, 7, 5, 6), (87, 6, 9, 5, 8)),
    "C3": ((32, 4, 5, 3, 4), (98, 4, 6, 3, 5), (128, 4, 6, 3, 5)),
    "C4": ((32, 3, 4, 2, 3), (65, 3, 4, 2, 3), (105, 3, 4, 2, 3), (128, 4, 5, 3, 4)),
    "C5": ((32, 3, 3, 2, 2), (98, 3, 3, 2, 2), (128, 3, 4, 2, 3), (128, 3, 5, 2, 4), (128, 3, 3, 2, 2)),
    "C6": _C6,
    "C6XL": (
        (64, 3, 3, 2, 2),
        (128, 3, 3, 2, 2),
        (128, 3, 4, 2, 3),
        (128, 3, 3, 2, 2),
        (256, 3, 3, 2, 2),
        (256, 3, 3, 1, 2),
    ),
    "CE2E": _C6,
    "CE2E_2D": _C6,
}
WAVEFORM_STACKS: dict[str, tuple[tuple[int, int, int], ...]] = {
    "CE2E": ((96, 64, 4), (96, 32, 4), (128, 16, 4), (257, 8, 4)),  # filters, kernel, stride
}
HIDDEN_UNITS = 512
"""Of the layer between the convolutions and the logits."""

# Units and dropout of the layers of the fully connected networks.
_LINEAR, _FC3 = ((869, 0.2),), ((560, 0.0), (500, 0.2), (400, 0.4))
DENSE_STACKS: dict[str, tuple[tuple[int, float], ...]] = {
    "FC-Linear": _LINEAR,
    "FC1": ((868, 0.3),),
    "FC2": ((603, 0.1), (602, 0.3)),
    "FC3": _FC3,
    "HC": _LINEAR,
    "HC3": _FC3,
}
LINEAR = ("FC-Linear", "HC")
"""The fully connected networks without activations."""
HAND_MADE = ("HC", "HC3")
"""The fully connected networks on hand-made features; the others take a bag of words."""
WORD_DIMENSIONS, WORDS, FEATURE_DIMENSIONS = 64, 1000, 1000
"""Principal components of a frame and centroids of the bag of words; principal components of the features."""

MODELS = (*SPECTROGRAM_STACKS, *DENSE_STACKS)


def check_model(model: str, own: Iterable[str] = ()) -> None:
    """Raises `UsageError`, naming those there are, unless it is one of `MODELS`, or of a synth's own."""
    if model not in (known := (*MODELS, *own)):
        raise UsageError(f"no model {model!r}; there are {', '.join(known)}")
