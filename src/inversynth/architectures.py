"""The paper's convolutional networks as tables (arXiv 1812.06349)."""

from __future__ import annotations

from .errors import UsageError

# Filters, kernel (time, frequency), strides (time, frequency): the paper's table of architectures,
# and the one place where they are declared. ConvE2E's first four layers run along the waveform.
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
MODELS = tuple(SPECTROGRAM_STACKS)


def check_model(model: str) -> None:
    """Raises `UsageError`, naming those there are, unless there is an architecture of that name."""
    if model not in MODELS:
        raise UsageError(f"no model {model!r}; there are {', '.join(MODELS)}")
