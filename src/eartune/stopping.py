"""Requests to stop: by Ctrl+C, by a notebook, by a page, from any thread."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from eartune.reporting import Reporter


class StopToken:
    """A request to stop, which work in progress looks at between two pieces of it.

    Any thread may set it, and nothing takes it back.
    """

    def __init__(self) -> None:
        self._event = threading.Event()

    def set(self) -> None:
        """Request the stop."""
        self._event.set()

    def is_set(self) -> bool:
        return self._event.is_set()


@contextmanager
def stopping_on_signals(token: StopToken, reporter: Reporter, *, then: str) -> Iterator[None]:
    """Let Ctrl+C and SIGTERM set the token inside the context; a second one raises KeyboardInterrupt.

    `then` is what the user is told that happens next. Outside the main thread, which alone receives signals, nothing
    changes.
    """

    def request(number: int, _: FrameType | None) -> None:
        if token.is_set():
            raise KeyboardInterrupt
        token.set()
        name = "Ctrl+C" if number == signal.SIGINT else "SIGTERM"
        reporter.line(f"{name}: {then} (once more to stop at once) ...")

    in_main = threading.current_thread() is threading.main_thread()
    before = {number: signal.signal(number, request) for number in (signal.SIGINT, signal.SIGTERM) if in_main}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
