"""Silence for pydicom while headers and pixels are read, in any number of threads."""

from __future__ import annotations

import logging
import os
import threading
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

__all__ = ["quiet"]


class _Quiet:
    """How many threads want pydicom silent: the first one in silences it, the last one out lets it speak again.

    Level and filters belong to the whole process. If each thread restored what it had found, one would give another
    its voice back in the middle, and the last would leave all warnings of the process off for ever.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._restore = ExitStack()

    def unlock(self) -> None:
        """Take a new lock: in a forked process nobody is left to open the old one."""
        self._lock = threading.Lock()

    def enter(self) -> None:
        with self._lock:
            self._inside += 1
            if self._inside == 1:
                logger = logging.getLogger("pydicom")
                self._restore.callback(logger.setLevel, logger.level)
                logger.setLevel(logging.CRITICAL + 1)
                self._restore.enter_context(warnings.catch_warnings())
                warnings.simplefilter("ignore")

    def leave(self) -> None:
        with self._lock:
            self._inside -= 1
            if self._inside == 0:
                self._restore.close()


_QUIET = _Quiet()
if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_QUIET.unlock)


@contextmanager
def quiet() -> Iterator[None]:
    """Silence pydicom, whose warnings and log quote values and so may name the patient."""
    _QUIET.enter()
    try:
        yield
    finally:
        _QUIET.leave()
