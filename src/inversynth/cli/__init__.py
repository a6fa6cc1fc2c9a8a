"""The command line: parse, call one function, return a code.

Each sub-command is a module here with `add_arguments(parser)` and `run(args) -> int`; only the one
that was asked for is imported. Exit codes: 0 done, 1 failed while running, 2 asked wrongly, 130 Ctrl-C.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import io
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import FrameType
from typing import TYPE_CHECKING, Any, NoReturn

from ..errors import InversynthError
from ..system.devices import own_stderr
from ..version import __version__

if TYPE_CHECKING:
    from ..synths import Synth

COMMANDS = {
    "render": "render a dataset of random patches",
    "data": "inspect, verify, export and split datasets",
    "train": "train a network to infer a synth's parameters",
    "export": "turn a training run into one ONNX file",
    "evaluate": "measure a model on fresh sounds",
    "match": "find the patch that makes a sound",
    "profiles": "what devices take: list, check, import and learn profiles",
    "live": "listen, and send the predicted parameters as MIDI",
    "send": "send a patch to a synth, once, as MIDI",
    "play": "play a synth by MIDI",
    "doctor": "say what this machine lacks, and how to get it",
    "bench": "measure the live bridge on this machine",
}


class Parser(argparse.ArgumentParser):
    """Reports a wrong option in one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: error: {printable(message)}; see {self.prog} --help\n")


def main(argv: Sequence[str] | None = None) -> int:
    """Runs `inversynth` with these arguments (by default the process's); returns the exit code."""
    _ready_streams()
    os.environ["MPLBACKEND"] = "agg"  # all pictures here are files; matplotlib stops at one that it doesn't know
    try:
        with _terminated_as_interrupted():
            try:
                return _command(list(sys.argv[1:] if argv is None else argv))
            finally:
                sys.stdout.flush()
    except KeyboardInterrupt:
        return _interrupted()
    except InversynthError as error:
        if _of_ctrl_c(error):
            return _interrupted()
        tell_error(error)
        return error.exit_code
    except MemoryError:
        tell_error("not enough memory; ask for less at a time")
    except OSError as error:
        if not isinstance(error, BrokenPipeError):
            tell_error(f"can't use {error.filename or 'the output'}: {error.strerror or error}")
        if error.filename is None:
            with contextlib.suppress(OSError):  # what can't be written to standard output now can't be written on exit
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except UnicodeError as error:
        tell_error(f"a name holds what can't be written here ({error}); rename the file, or use a UTF-8 locale")
    except ImportError as error:
        if _of_ctrl_c(error):
            return _interrupted()
        tell_error(f"a part of this installation is missing ({error}); install inversynth again")
    return 1


def _interrupted() -> int:
    print("inversynth: interrupted", file=sys.stderr)
    return 130


def _of_ctrl_c(error: BaseException | None) -> bool:
    """Whether an error is of an `ImportError` that a native module made of Ctrl-C while it started."""
    while error is not None:
        cause = error.__cause__ or error.__context__
        if isinstance(error, ImportError) and isinstance(cause, KeyboardInterrupt):
            return True
        error = cause
    return False


def tell_error(error: object) -> None:
    """Prints one line on standard error, `printable`."""
    print(f"inversynth: error: {printable(' '.join(str(error).split()))}", file=sys.stderr)


def say(line: str) -> None:
    """Prints a line on standard error, at once."""
    print(line, file=sys.stderr, flush=True)


def actions(parser: argparse.ArgumentParser, texts: Mapping[str, str]) -> dict[str, argparse.ArgumentParser]:
    """The parser of each action, of which a command takes one; what each does, in a line."""
    made = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    return {
        name: made.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}.")
        for name, text in texts.items()
    }


def add_synth(parser: argparse._ActionsContainer, text: str, otherwise: str | None = None) -> None:
    """Declares --synth: a synth's name, or a Python file that holds one; `args.synth` is the synth itself.

    otherwise: describes the default, in words; `args.synth` is then None. Without it the default is `synths.DEFAULT`.
    """
    from .. import synths

    default = None if otherwise else synths.DEFAULT
    known = f"{', '.join(synths.names())} or FILE.py; default: {otherwise or default}"
    parser.add_argument("--synth", type=_synth, default=default, metavar="NAME|FILE", help=f"{text} ({known})")


def _synth(name: str) -> Synth:
    from .. import synths

    try:
        return synths.load(name)
    except InversynthError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def list_ends(
    args: argparse.Namespace,
    audio: str,
    devices: Callable[[], list[dict[str, Any]]],
    ports: Callable[[], list[str]],
    without: str,
) -> int:
    """Prints what --list-devices and --list-ports ask for.

    audio: "input" or "output", what the devices are; without: what is said if there is no port.
    """
    if args.list_devices:
        for row in devices():
            rate, channels = row["default_samplerate"], row[f"max_{audio}_channels"]
            print(f"{row['index']:3}  {row['name']}  ({row['hostapi']}, {channels} channels, {rate:g} Hz)")
    if args.list_ports:
        names = ports()
        for number, name in enumerate(names):
            print(f"{number:3}  {name}")
        if not names:
            say(without)
    return 0


def printable(text: object) -> str:
    """A text, such as the name of a file, with control characters and invalid ones escaped."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in str(text))


def _command(words: list[str]) -> int:
    parser = Parser(prog="inversynth", description="Play it a sound, and it gives you the patch.")
    parser.add_argument("--version", action="version", version=f"inversynth {__version__}")
    choices = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, text in COMMANDS.items():
        command = choices.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
        if words[:1] == [name]:
            module = importlib.import_module(f".{name}", __package__)
            module.add_arguments(command)
            command.set_defaults(run=module.run)
    if "" in words:
        parser.error("one of the arguments is empty; leave it out, or give it a value")
    args, others = parser.parse_known_args(words)
    if others:
        choices.choices[args.command].error(f"unrecognized arguments: {' '.join(others)}")
    return int(args.run(args))


def _ready_streams() -> None:
    """Opens closed standard streams, so that no other file gets their numbers; prints "?" for what can't be encoded."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode))  # noqa: SIM115
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")
    own_stderr()


def _ending_signals() -> list[signal.Signals]:
    """What ends a command besides Ctrl-C: SIGTERM and, where there is one, the SIGHUP of a terminal that is closed.

    Not one that is ignored, as nohup does with SIGHUP.
    """
    names = [name for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
    found = [signal.Signals[name] for name in names]
    return [number for number in found if signal.getsignal(number) is not signal.SIG_IGN]


@contextlib.contextmanager
def _handling(numbers: Sequence[signal.Signals], handler: Any) -> Iterator[None]:
    kept = {number: signal.signal(number, handler) for number in numbers}
    try:
        yield
    finally:
        for number, before in kept.items():
            signal.signal(number, before)


@contextlib.contextmanager
def _terminated_as_interrupted() -> Iterator[None]:
    """A signal that ends a command is handled like Ctrl-C: everything is cleaned up."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    with _handling(_ending_signals(), signal.default_int_handler):
        yield


@contextlib.contextmanager
def until_signalled() -> Iterator[threading.Event]:
    """An event that Ctrl-C and what else ends a command set; a second Ctrl-C interrupts at once."""
    stop = threading.Event()

    def leave(number: int, frame: FrameType | None) -> None:
        if stop.is_set() and number == signal.SIGINT:
            raise KeyboardInterrupt
        stop.set()

    with _handling([signal.SIGINT, *_ending_signals()], leave):
        yield stop


def _alias(name: str) -> int:
    return main([name, *sys.argv[1:]])


def render() -> int:
    """`inversynth-render`."""
    return _alias("render")


def train() -> int:
    """`inversynth-train`."""
    return _alias("train")


def export() -> int:
    """`inversynth-export`."""
    return _alias("export")


def evaluate() -> int:
    """`inversynth-evaluate`."""
    return _alias("evaluate")


def match() -> int:
    """`inversynth-match`."""
    return _alias("match")


def live() -> int:
    """`inversynth-live`."""
    return _alias("live")
