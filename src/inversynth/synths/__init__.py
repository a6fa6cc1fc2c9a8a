"""Synths: a parameter space, a prior over it and a renderer each. `load` is the way to one."""

from .registry import DEFAULT, find, load, names
from .synth import Rendered, Synth

__all__ = ["DEFAULT", "Rendered", "Synth", "find", "load", "names"]
