"""The paper's synth in C: its name among the native engines, and the version of its sounds."""

from __future__ import annotations

from ..native import NativeEngine

ENGINE = NativeEngine("paper", version="1")
