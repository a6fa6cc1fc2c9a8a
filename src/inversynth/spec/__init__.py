"""Parameters, parameter spaces, notes and audio formats: all other shapes follow from them."""

from .conditions import AllOf, AnyOf, Condition
from .param import CATEGORICAL, CONTINUOUS, CURVES, KINDS, MAX_LEVELS, ORDINAL, ROLES, Param
from .sound import AudioFormat, Note
from .space import ParamSpace, Symmetry

__all__ = [
    "CATEGORICAL",
    "CONTINUOUS",
    "CURVES",
    "KINDS",
    "MAX_LEVELS",
    "ORDINAL",
    "ROLES",
    "AllOf",
    "AnyOf",
    "AudioFormat",
    "Condition",
    "Note",
    "Param",
    "ParamSpace",
    "Symmetry",
]
