"""The paper's synth (arXiv 1812.06349), with all that is its own; what is heavy is imported where it is asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...spec import AudioFormat, ParamSpace
from ..synth import Inference, Solver, Synth
from . import published
from .engine import ENGINE
from .table import FORMAT, INITIAL, NOTE, SPACE


def _solve(target: NDArray[np.float32], likely: Sequence[NDArray[np.float64]], seconds: float) -> NDArray[np.float64]:
    from .pursuit import solve

    return solve(target, likely, seconds)


def _atoms(space: ParamSpace, audio: AudioFormat, precision: str) -> Any:
    from .atoms import build

    return build(space, audio, precision)


def _accelerate(weights: Mapping[str, NDArray[Any]], training: Mapping[str, Any]) -> Inference | None:
    from .inference import infer_natively

    return infer_natively(weights, training)


def _fold_export(graph: Any) -> None:
    from .export import in_bytes

    in_bytes(graph)


SYNTH = Synth(
    "paper",
    SPACE,
    FORMAT,
    ENGINE,
    note=NOTE,
    least_rate_hz=2 * SPACE["cutoff"].high,
    window=512,
    initial=INITIAL,
    open_stream=ENGINE.open_stream,
    make_target=ENGINE.make_target,
    open_voices=ENGINE.open_voices,
    solver=Solver(_solve, own_distance=1.5, least_s=0.1, most_s=4.0),
    networks={"Atoms": _atoms},
    accelerate=_accelerate,
    fold_export=_fold_export,
    default_model="paper",
    published=published.PUBLISHED,
)
