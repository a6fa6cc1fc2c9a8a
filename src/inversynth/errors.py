"""The errors of this package: one line each, saying what, what was given, what is allowed, what to do."""

from __future__ import annotations

import unicodedata

NOT_OF_A_LINE = ("Cc", "Cs", "Zl", "Zp")
"""The Unicode categories of controls, halves of letters, and ends of lines and paragraphs."""


class InversynthError(Exception):
    """Something failed while running; the command line prints it as one line and exits with 1."""

    exit_code = 1


class UsageError(InversynthError, ValueError):
    """An option, a file or a value is wrong; the command line exits with 2."""

    exit_code = 2


class MismatchError(UsageError):
    """Two artefacts do not belong together: other parameter space, sample rate, length or settings."""


class DamageError(UsageError):
    """A file isn't what this program wrote there."""


def check_text(text: object, what: str, least: int = 0) -> None:
    """Raises `UsageError`, naming `what` it is, unless a text is one, of one line and of `least` letters or more."""
    if not isinstance(text, str):
        raise UsageError(f"{what} is {text!r}, which is no text; give a str")
    if len(text.strip()) < least:
        raise UsageError(f"{what} is empty; give it one")
    if any(unicodedata.category(letter) in NOT_OF_A_LINE for letter in text):
        raise UsageError(f"{what} is {text!r}; leave out what ends a line, moves the cursor or is no letter")


def one_line(error: BaseException) -> str:
    """The message of an error of another package, in one line."""
    return " ".join(str(error).split()) or type(error).__name__
