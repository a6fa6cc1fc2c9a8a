"""Play it a sound, and it gives you the patch.

import inversynth
paper = inversynth.synth("paper")           # .space and .render(values)
model = inversynth.load_model("paper")  # an ONNX network in onnxruntime
result = inversynth.match("sound.wav")      # the patch that makes a sound
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .errors import InversynthError, MismatchError, UsageError
    from .evaluation import evaluate
    from .matching.result import match
    from .predict.model import load_model
    from .spec import AudioFormat, Param, ParamSpace
    from .synths.render import Synth, synth

__version__ = "0.1.0"

_HOME = {
    "InversynthError": "errors",
    "MismatchError": "errors",
    "UsageError": "errors",
    "evaluate": "evaluation",
    "match": "matching",
    "load_model": "predict",
    "Synth": "render",
    "synth": "render",
    "AudioFormat": "spec",
    "Param": "spec",
    "ParamSpace": "spec",
}
__all__ = [
    "AudioFormat",
    "InversynthError",
    "MismatchError",
    "Param",
    "ParamSpace",
    "Synth",
    "UsageError",
    "__version__",
    "evaluate",
    "load_model",
    "match",
    "synth",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'inversynth' has no attribute {name!r}")
    return getattr(importlib.import_module(f".{_HOME[name]}", __name__), name)
