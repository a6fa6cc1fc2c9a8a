"""The command line: parse, call one function, return a code.

Each sub-command is a module here with `add_arguments(parser)` and `run(args) -> int`; only the one
that was asked for is imported. Exit codes: 0 done, 1 failed while running, 2 asked wrongly, 130 Ctrl-C.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

from .. import __version__
from ..errors import InversynthError

COMMANDS = {
    "render": "render a dataset of random patches",
    "data": "inspect and verify datasets",
    "train": "train a network to hear a synth's parameters",
    "export": "turn a training run into one ONNX file",
    "match": "find the patch that makes a sound",
    "live": "listen, and send the predicted parameters as MIDI",
}


class Parser(argparse.ArgumentParser):
    """Reports a wrong option in one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: error: {message}; see {self.prog} --help\n")


def main(argv: Sequence[str] | None = None) -> int:
    """Runs `inversynth` with these arguments (by default the process's); returns the exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    parser = Parser(prog="inversynth", description="Play it a sound, and it gives you the patch.")
    parser.add_argument("--version", action="version", version=f"inversynth {__version__}")
    choices = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, text in COMMANDS.items():
        command = choices.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
        if words[:1] == [name]:
            module = importlib.import_module(f".{name}", __package__)
            module.add_arguments(command)
            command.set_defaults(run=module.run)
    return _guarded(parser, words)


def _guarded(parser: argparse.ArgumentParser, words: list[str]) -> int:
    try:
        args = parser.parse_args(words)
        return int(args.run(args))
    except InversynthError as error:
        print(f"inversynth: error: {' '.join(str(error).split())}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("inversynth: interrupted", file=sys.stderr)
        return 130
    except MemoryError:
        print("inversynth: error: not enough memory; ask for less at a time", file=sys.stderr)
        return 1
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


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


def match() -> int:
    """`inversynth-match`."""
    return _alias("match")


def live() -> int:
    """`inversynth-live`."""
    return _alias("live")
