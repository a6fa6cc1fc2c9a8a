"""What libraries write to standard error, and what this program says meanwhile."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from inversynth.system import devices


def test_quiet_discards_what_c_libraries_write(capfd: pytest.CaptureFixture[str]) -> None:
    with devices.quiet():
        os.write(2, b"Cannot connect to server socket\n")
    os.write(2, b"written\n")
    assert capfd.readouterr().err == "written\n"


def test_quiet_threads_leave_standard_error_as_it_was(capfd: pytest.CaptureFixture[str]) -> None:
    first, second = devices.quiet(), devices.quiet()
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    os.write(2, b"chatter")
    second.__exit__(None, None, None)
    os.write(2, b"written")
    assert capfd.readouterr().err == "written"


def test_what_the_command_writes_is_shown_while_libraries_are_quiet() -> None:
    code = """
import os, sys
from inversynth import cli
from inversynth.system import devices
cli._ready_streams()
with devices.quiet():
    print("said", file=sys.stderr)
    os.write(2, b"chatter")
print("é", file=sys.stderr)
"""
    environment = os.environ | {"PYTHONIOENCODING": "utf-8"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, env=environment)
    assert done.stderr.decode().split() == ["said", "é"]
