"""A progress bar that asks the device nothing, and is quiet where there is no terminal."""

from __future__ import annotations

import sys
import time
from typing import Self

__all__ = ["Progress"]

_INTERVAL = 0.1


class Progress:
    """Bar with step, loss, throughput and remaining time, on standard error.

    Parameters
    ----------
    start, stop
        First step, and the step to end at.
    batch_size
        Items of a step, for the throughput.
    enabled
        Whether to show it; None shows it on a terminal.
    """

    def __init__(self, start: int, stop: int, *, batch_size: int, enabled: bool | None = None) -> None:
        self.enabled = sys.stderr.isatty() if enabled is None else enabled
        self._start, self._stop, self._batch_size = start, stop, batch_size
        self._next = 0.0
        self._text = ""

    def __enter__(self) -> Self:
        """Show the bar."""
        self._began = time.perf_counter()
        if self.enabled:
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
            from rich.progress import Progress as Bar

            columns = (
                TextColumn("training"),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("{task.fields[text]}"),
                TimeRemainingColumn(),
            )
            console = Console(stderr=True, force_terminal=True)
            self._bar = Bar(*columns, console=console, auto_refresh=False, transient=True)
            self._task = self._bar.add_task("", total=self._stop, completed=self._start, text="")
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Remove the bar."""
        if self.enabled:
            self._bar.stop()

    def step(self, step: int) -> None:
        """Note that `step` steps are done; redraws at most ten times a second."""
        if self.enabled and (now := time.perf_counter()) >= self._next:
            self._next = now + _INTERVAL
            rate = (step - self._start) * self._batch_size / max(1e-9, now - self._began)
            self._bar.update(self._task, completed=step, text=f"{rate:.0f} items/s {self._text}", refresh=True)

    def note(self, text: str) -> None:
        """Set the text beside the bar."""
        self._text = text
