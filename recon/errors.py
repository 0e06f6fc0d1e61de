"""Errors of the toolkit: one line that says what is wrong and what to do about it."""

from __future__ import annotations

import errno
from collections.abc import Sequence

__all__ = [
    "CheckpointError",
    "CodedFileError",
    "CodedUsageError",
    "ComponentError",
    "ExperimentError",
    "FileFormatError",
    "MissingDependencyError",
    "NonFiniteError",
    "OutOfMemoryError",
    "ParameterError",
    "ReconError",
    "RunError",
    "UsageError",
    "is_out_of_memory",
]


class ReconError(Exception):
    """Base of every error that the toolkit raises on purpose.

    The command line prints its text as one line and leaves with `exit_code`: 2 for bad usage or input, 1 for a
    run that failed.
    """

    exit_code = 2


class _CodedError(ReconError):
    """An error whose text begins with a code."""

    def __init__(self, code: str, message: str) -> None:
        self.code = code
        self.message = message
        super().__init__(f"{code}: {message}")

    def __reduce__(self) -> tuple[type[_CodedError], tuple[str, str]]:
        """Pickle by the two arguments."""
        return type(self), (self.code, self.message)


class UsageError(ReconError):
    """A call or a command that cannot mean anything sensible."""


class CodedUsageError(_CodedError, UsageError):
    """What cannot be written without a loss or a lie, with a code that is stable, for scripts.

    Parameters
    ----------
    code
        What is wrong, such as ``RECON-DICOM-WRITE-AXES``.
    message
        The sentence that tells the fix.
    """


class ComponentError(ReconError):
    """A component that is unknown, broken, or of the wrong kind."""


class MissingDependencyError(ComponentError):
    """A component whose optional packages are not installed."""


class FileFormatError(ReconError):
    """A file that is missing, unreadable, or not laid out as its format asks."""


class CodedFileError(_CodedError, FileFormatError):
    """A file that cannot be read without risk of a wrong image, with a code that is stable, for scripts.

    The text never holds values of the file's text fields, which may name the patient.

    Parameters
    ----------
    code
        What is wrong, such as ``RECON-DICOM-GAP``.
    message
        The sentence that tells the fix.
    """


class CheckpointError(ReconError):
    """A checkpoint that is missing, damaged, or of another model."""


class ParameterError(ReconError):
    """Wrong parameters of a component or of an experiment.

    Parameters
    ----------
    subject
        What was being built, e.g. ``operator 'downsample'``.
    problems
        Pairs of (path to the field, what is wrong with it); the path lets an experiment file point at a line.
    """

    def __init__(self, subject: str, problems: Sequence[tuple[tuple[str | int, ...], str]]) -> None:
        self.subject = subject
        self.problems = tuple(problems)
        text = "; ".join(f"{'.'.join(map(str, path))}: {message}" if path else message for path, message in problems)
        super().__init__(f"{subject}: {text}" if subject else text)

    def __reduce__(self) -> tuple[type[ParameterError], tuple[str, tuple[tuple[tuple[str | int, ...], str], ...]]]:
        """Pickle by the two arguments, so that the error crosses process borders."""
        return type(self), (self.subject, self.problems)


class ExperimentError(ReconError):
    """An experiment file that cannot be run; the text names file, line and field of each problem."""


class RunError(ReconError):
    """A run that started well and failed on the way."""

    exit_code = 1


class NonFiniteError(RunError):
    """A loss that became NaN or infinite."""


class OutOfMemoryError(RunError):
    """The device has too little memory for the batch."""


_MEMORY_WORDS = ("out of memory", "can't allocate memory", "not enough memory")


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error is one of the ways in which Python, torch or the system report a lack of memory."""
    if isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno == errno.ENOMEM):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error) for words in _MEMORY_WORDS)
