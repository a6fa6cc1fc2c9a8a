"""The errors of this package: one line each, saying what, what was given, what is allowed, what to do."""

from __future__ import annotations


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


def one_line(error: BaseException) -> str:
    """The message of an error of another package, in one line."""
    return " ".join(str(error).split()) or type(error).__name__
