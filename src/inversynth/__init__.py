"""Play it a sound, and it gives you the patch.

import inversynth
synth = inversynth.synth("paper")       # .space and .render(values)
model = inversynth.load_model("paper")  # an ONNX network in onnxruntime
result = inversynth.match("sound.wav")  # the patch that makes a sound
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from .version import __version__

if TYPE_CHECKING:
    from .errors import InversynthError, MismatchError, UsageError
    from .evaluation import evaluate
    from .matching.match import match
    from .predict.model import load_model
    from .spec import AllOf, AnyOf, AudioFormat, Note, Param, ParamSpace, Symmetry
    from .synths.function import from_function
    from .synths.registry import load as synth
    from .synths.synth import Synth

_HOME = {
    "AllOf": "spec",
    "AnyOf": "spec",
    "AudioFormat": "spec",
    "InversynthError": "errors",
    "MismatchError": "errors",
    "Note": "spec",
    "Param": "spec",
    "ParamSpace": "spec",
    "Symmetry": "spec",
    "Synth": "synths.synth",
    "UsageError": "errors",
    "evaluate": "evaluation",
    "from_function": "synths.function",
    "load_model": "predict.model",
    "match": "matching.match",
    "synth": "synths.registry",
}
__all__ = [
    "AllOf",
    "AnyOf",
    "AudioFormat",
    "InversynthError",
    "MismatchError",
    "Note",
    "Param",
    "ParamSpace",
    "Symmetry",
    "Synth",
    "UsageError",
    "__version__",
    "evaluate",
    "from_function",
    "load_model",
    "match",
    "synth",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'inversynth' has no attribute {name!r}")
    found = importlib.import_module(f".{_HOME[name]}", __name__)
    return getattr(found, "load" if name == "synth" else name)
