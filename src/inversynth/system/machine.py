"""The machine that a figure was measured on."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from pathlib import Path
from typing import Any

from ..version import __version__

LIBRARIES = ("numpy", "onnxruntime", "onnxruntime-gpu")


def machine() -> dict[str, Any]:
    """The machine and the versions that a figure was measured on: `cpu`, `cores`, `os`, `python`, libraries."""
    cpu = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = [
            line.split(":", 1)[1].strip() for line in info.read_text().splitlines() if line.startswith("model name")
        ]
        cpu = names[0] if names else cpu
    return {
        "cpu": cpu,
        "cores": os.cpu_count(),
        "os": platform.platform(),
        "python": platform.python_version(),
        **{name: found for name in LIBRARIES if (found := _version(name))},
        "inversynth": __version__,
    }


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None
