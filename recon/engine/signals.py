"""Ctrl-C and SIGTERM: asked for at any moment, obeyed between two steps."""

from __future__ import annotations

import logging
import signal
import threading
from types import FrameType
from typing import Any, Self

__all__ = ["StopSignals"]

_log = logging.getLogger(__name__)


class StopSignals:
    """Notes SIGINT and SIGTERM for the time of a ``with`` block. A second Ctrl-C interrupts at once."""

    def __init__(self) -> None:
        self.received = 0
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        """Take over the two signals, where Python allows it: in the main thread."""
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *_: object) -> None:
        """Give the signals back."""
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def leave(self, number: int, text: str) -> None:
        """Leave as the signal asks: KeyboardInterrupt (exit code 130) or SystemExit with 143."""
        if number == signal.SIGINT:
            raise KeyboardInterrupt(text)
        _log.warning(text)
        raise SystemExit(128 + number)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.received == signal.SIGINT == number:
            signal.default_int_handler(number, frame)
        self.received = number
