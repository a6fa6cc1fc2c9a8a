"""The command line: answers at once, one line for each wrong use, exit codes 0, 1, 2."""

from __future__ import annotations

import subprocess
import sys

import pytest

from inversynth.cli import COMMANDS, main


@pytest.mark.parametrize("words", [["--help"], *([name, "--help"] for name in COMMANDS)])
def test_help_is_there_for_every_command(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(words)
    assert stop.value.code == 0
    assert "usage: inversynth" in capsys.readouterr().out


CODE = """
import sys
from inversynth.cli import main
try:
    main({words!r})
except SystemExit:
    pass
print(*sys.modules)
"""


def modules_after(words: list[str]) -> set[str]:
    """What a fresh interpreter has imported after running the command."""
    code = CODE.format(words=words)
    return set(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split())


@pytest.mark.parametrize("words", [[], ["--version"], ["--help"]])
def test_the_bare_command_imports_nothing_heavy(words: list[str]) -> None:
    assert not modules_after(words) & {"numpy", "keras", "onnxruntime", "matplotlib", "mido", "sounddevice", "rich"}


@pytest.mark.parametrize("name", COMMANDS)
def test_the_help_of_a_command_needs_no_engine(name: str) -> None:
    assert not modules_after([name, "--help"]) & {"keras", "onnxruntime", "matplotlib", "sounddevice", "rtmidi"}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "the following arguments are required: COMMAND"),
        (["rendr"], "invalid choice: 'rendr'"),
        (["train"], "the following arguments are required: --out"),
        (["train", "--out", "x", "--epochs", "many"], "argument --epochs: invalid int value: 'many'"),
        (["train", "--out", "x", "--data", "d", "--render"], "not allowed with argument --data"),
    ],
)
def test_a_wrong_use_is_one_line_and_exit_code_2(
    words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stop:
        main(words)
    assert stop.value.code == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
