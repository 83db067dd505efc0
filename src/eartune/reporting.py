"""Progress reports of long work: lines and progress bars, on a terminal, in a log, or nowhere.

Everything goes to the standard error stream, so that results on standard output can be piped.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

PLAIN_LINE_EVERY_S = 10.0


class Task(Protocol):
    """A piece of work with a known length."""

    def advance(self, count: int = 1, note: str | None = None) -> None:
        """Count progress; `note` is shown beside the bar until the next one."""

    def jump(self, done: int) -> None:
        """Set the amount done, for work that starts in the middle."""

    def resize(self, total: int) -> None:
        """Set the total, if it becomes known late."""


class Reporter(Protocol):
    """Output of lines and progress."""

    def line(self, text: str) -> None:
        """Show one line."""

    def task(self, description: str, total: int) -> contextlib.AbstractContextManager[Task]:
        """Show progress inside the context."""


class Silent:
    """Shows nothing: the default of the Python functions."""

    def line(self, text: str) -> None:
        pass

    @contextlib.contextmanager
    def task(self, description: str, total: int) -> Iterator[Task]:  # noqa: ARG002
        yield _SilentTask()


class _SilentTask:
    def advance(self, count: int = 1, note: str | None = None) -> None:
        pass

    def jump(self, done: int) -> None:
        pass

    def resize(self, total: int) -> None:
        pass


class Terminal:
    """Progress bars on a terminal; plain lines every ten seconds elsewhere."""

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console(stderr=True, highlight=False)

    def line(self, text: str) -> None:
        # a log has no width: its viewer wraps lines
        self.console.print(text, markup=False, soft_wrap=True)

    @contextlib.contextmanager
    def task(self, description: str, total: int) -> Iterator[Task]:
        if not self.console.is_terminal:
            task = _PlainTask(self, description, total)
            yield task
            task.close()
            return
        columns = (
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}"),
        )
        with Progress(*columns, console=self.console) as progress:
            yield _BarTask(progress, description, total)


class _BarTask:
    def __init__(self, progress: Progress, description: str, total: int) -> None:
        self._progress = progress
        self._task = progress.add_task(description, total=total, note="")

    def advance(self, count: int = 1, note: str | None = None) -> None:
        self._progress.advance(self._task, count)
        if note is not None:
            self._progress.update(self._task, note=note)

    def jump(self, done: int) -> None:
        self._progress.update(self._task, completed=done)

    def resize(self, total: int) -> None:
        self._progress.update(self._task, total=total)


class _PlainTask:
    def __init__(self, terminal: Terminal, description: str, total: int) -> None:
        self._terminal = terminal
        self._description = description
        self._total = total
        self._done = self._first = 0
        self._note = ""
        self._began = self._reported_at = time.monotonic()
        self._reported_done = -1

    def advance(self, count: int = 1, note: str | None = None) -> None:
        self._done += count
        self._note = self._note if note is None else note
        if time.monotonic() - self._reported_at >= PLAIN_LINE_EVERY_S:
            self._report()

    def jump(self, done: int) -> None:
        if self._done == 0:
            self._first = done
        self.advance(done - self._done)

    def resize(self, total: int) -> None:
        self._total = total

    def close(self) -> None:
        if self._reported_done != self._done:
            self._report()

    def _report(self) -> None:
        now = time.monotonic()
        self._reported_at, self._reported_done = now, self._done
        elapsed_s = now - self._began
        rate = (self._done - self._first) / elapsed_s if elapsed_s > 0 else 0.0
        left = f", left {clock((self._total - self._done) / rate)}" if rate and self._done < self._total else ""
        note = f", {self._note}" if self._note else ""
        self._terminal.line(f"{self._description} {self._done}/{self._total}, {clock(elapsed_s)}{left}{note}")


def clock(seconds: float) -> str:
    """Write a duration as 0:07 or 1:02:03."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
