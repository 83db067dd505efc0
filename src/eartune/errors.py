"""Errors a user can act on: what was found, where, and what to do."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from difflib import get_close_matches

MAX_FINDINGS_SHOWN = 20
# of a value in a message
MAX_CHARACTERS = 60


class EartuneError(Exception):
    """A failure that is not the fault of the user's input; the command line exits with 1."""

    exit_code = 1


class InputError(EartuneError, ValueError):
    """The user's input is wrong: a file, a value, a name; the command line exits with 2."""

    exit_code = 2


class Interrupted(EartuneError):  # noqa: N818  a state, not an error of anybody
    """The user or the system asked to stop, and the work is saved; the command line exits with 130."""

    exit_code = 130


def raise_findings(findings: Sequence[str], *, summary: str = "", advice: str = "") -> None:
    """Raise one InputError that reports all findings together; do nothing if there are none.

    `summary` comes before the findings and `advice` after them, each on a line of its own.
    """
    if not findings:
        return
    lines = [summary] if summary else []
    lines += findings[:MAX_FINDINGS_SHOWN]
    if len(findings) > MAX_FINDINGS_SHOWN:
        lines.append(f"... and {len(findings) - MAX_FINDINGS_SHOWN} more of this kind")
    if advice:
        lines.append(advice)
    raise InputError("\n".join(lines))


def first_line(error: BaseException) -> str:
    """Return the first line of an exception's message, or its type if the message is empty."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


@contextmanager
def explained(where: object, problem: str, *, advice: str) -> Iterator[None]:
    """Turn whatever a library raises over a user's file into an InputError of one line, which begins with `where`.

    Over a damaged file, or values that nobody foresaw, libraries raise anything.
    """
    try:
        yield
    except (EartuneError, KeyboardInterrupt, SystemExit, GeneratorExit):
        raise
    except BaseException as error:  # a panic of the library tokenizers is not an Exception
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise InputError(f"{where}: {problem} ({reason}); {advice}") from None


def nearest(name: str, known: Sequence[str], *, count: int = 3) -> str:
    """Return ' Did you mean a, b?' with the known names closest to `name`, or '' if none is close."""
    close = get_close_matches(name, known, n=count, cutoff=0.55)
    return f" Did you mean {', '.join(close)}?" if close else ""


def shown(value: object) -> str:
    """Return a value formatted for a message, shortened if it is long."""
    text = ascii(value) if isinstance(value, str) else repr(value)
    return text if len(text) <= MAX_CHARACTERS else text[: MAX_CHARACTERS - 3] + "..."
