"""The command line: answers at once, one line for each wrong use, exit codes 0, 1, 2."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from inversynth.cli import COMMANDS, main

posix = pytest.mark.skipif(os.name != "posix", reason="needs a POSIX shell")


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
        (["train", "--out", ""], "one of the arguments is empty"),
        (["match", "a.wav", "--\x1b[31m\nred"], r"unrecognized arguments: --\x1b[31m\nred"),
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


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["render", "--out", "z" * 300], "can't use zzz"),
        (["match", "a.wav", "--out", "x", "--model", "z" * 300], "can't use zzz"),
        (["data", "info", "\x1b[31mred\n"], "\\x1b[31mred is not a folder"),
        (["data", "info", "not utf-8 \udcff"], "not utf-8 \\udcff is not a folder"),
    ],
)
def test_a_name_that_no_one_can_have_is_one_printable_line(
    words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words) in (1, 2)
    error = capsys.readouterr().err
    assert message in error
    assert error.startswith("inversynth: error: ")
    assert error.count("\n") == 1


def test_a_missing_part_of_the_installation_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "soundfile", None)
    recording = Path(__file__).parents[2] / "demo" / "recording.flac"
    assert main(["match", str(recording), "--out", str(tmp_path)]) == 1
    assert "a part of this installation is missing" in capsys.readouterr().err


class Interrupted:
    """Finds no module: Ctrl-C comes while a native one starts, and makes an `ImportError` of it."""

    def find_spec(self, name: str, *_: object) -> None:
        if name in ("soundfile", "onnxruntime"):
            raise ImportError("initialization failed") from KeyboardInterrupt()


@pytest.mark.parametrize("module", ["soundfile", "onnxruntime"])
def test_ctrl_c_while_a_native_module_starts_is_no_missing_part(
    module: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.delitem(sys.modules, module, raising=False)
    monkeypatch.setattr(sys, "meta_path", [Interrupted(), *sys.meta_path])
    recording = Path(__file__).parents[2] / "demo" / "recording.flac"
    assert main(["match", str(recording), "--out", str(tmp_path)]) == 130
    assert capsys.readouterr().err == "inversynth: interrupted\n"


def shell(command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Runs a line of sh, in which $IS stands for `inversynth`."""
    env = os.environ | {"IS": f"{sys.executable} -m inversynth"}
    return subprocess.run(["sh", "-c", command], cwd=folder, env=env, capture_output=True, text=True)


@posix
@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_standard_streams_harm_no_file(closed: str, tmp_path: Path) -> None:
    done = shell(f"$IS render --synth sine --num-examples 600 --length 0.1 --out ds {closed}", tmp_path)
    assert done.returncode == 0, done.stderr
    assert "every file is whole" in shell("$IS data verify ds", tmp_path).stdout
    assert shell(f"$IS data info nowhere {closed}", tmp_path).returncode == 2
    assert "error" not in shell("$IS data info nowhere 2>&-", tmp_path).stdout


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_output_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    assert shell("$IS render --synth sine --num-examples 1 --out ds", tmp_path).returncode == 0
    done = shell("$IS data info ds > /dev/full", tmp_path)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert done.stderr.startswith("inversynth: error: can't use the output")


@posix
def test_what_a_terminal_cannot_show_is_replaced(tmp_path: Path) -> None:
    assert shell("$IS render --synth sine --num-examples 1 --out d\u00e4", tmp_path).returncode == 0
    done = shell("PYTHONIOENCODING=ascii $IS data verify d\u00e4", tmp_path)
    assert done.stdout == "d?: every file is whole\n"


@posix
def test_sigterm_puts_everything_away_as_ctrl_c_does(tmp_path: Path) -> None:
    words = ["render", "--num-examples", "100000", "--length", "0.2", "--shard-size", "64", "--out", str(tmp_path)]
    process = subprocess.Popen([sys.executable, "-m", "inversynth", *words], stderr=subprocess.PIPE, text=True)
    while process.poll() is None and not (tmp_path / "levels-000001.npy").exists():
        time.sleep(0.005)
    process.send_signal(signal.SIGTERM)
    assert "the same command goes on from here" in process.communicate()[1]
    assert process.returncode == 130
    assert list(tmp_path.glob(".*")) == []
