"""Progress on a terminal, in a log, or nowhere."""

import io

import pytest
from rich.console import Console

from eartune import reporting
from eartune.reporting import Reporter, Silent, Terminal, clock


def terminal(*, is_terminal: bool) -> tuple[Terminal, io.StringIO]:
    written = io.StringIO()
    return Terminal(Console(file=written, force_terminal=is_terminal, width=120)), written


def test_a_log_gets_plain_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reporting, "PLAIN_LINE_EVERY_S", 0.0)
    shown, written = terminal(is_terminal=False)
    with shown.task("decoding", 3) as task:
        task.advance(2, note="loss 0.5")
        task.advance(1)
    lines = written.getvalue().splitlines()
    assert lines[0].startswith("decoding 2/3, 0:00")
    assert lines[0].endswith("loss 0.5")
    assert lines[-1].startswith("decoding 3/3")
    assert "\x1b" not in written.getvalue()


def test_a_log_is_not_flooded() -> None:
    shown, written = terminal(is_terminal=False)
    with shown.task("decoding", 1000) as task:
        for _ in range(1000):
            task.advance()
    assert len(written.getvalue().splitlines()) == 1


def test_a_terminal_gets_a_bar() -> None:
    shown, written = terminal(is_terminal=True)
    with shown.task("decoding", 2) as task:
        task.advance(2, note="WER 5.0 %")
    assert "2/2" in written.getvalue()
    assert "WER 5.0 %" in written.getvalue()


def test_paths_and_brackets_are_shown_as_they_are() -> None:
    shown, written = terminal(is_terminal=False)
    shown.line("a [bold]path[/bold] " + "x" * 200)
    assert written.getvalue() == "a [bold]path[/bold] " + "x" * 200 + "\n"


def do_work(report: Reporter) -> int:
    """Tell all that there is to tell of some work; return how much was done."""
    done = 0
    report.line("begins")
    with report.task("decoding", 2) as task:
        task.jump(1)
        task.resize(3)
        for note in ("loss 0.5", None):
            task.advance(1, note=note)
            done += 1
    return done


def test_work_is_done_silently_and_told_by_a_terminal(capfd: pytest.CaptureFixture[str]) -> None:
    assert do_work(Silent()) == 2
    assert capfd.readouterr() == ("", "")
    assert do_work(Terminal()) == 2
    out, err = capfd.readouterr()
    assert out == "", "results on standard output can be piped"
    assert err.startswith("begins\n")
    assert "decoding 3/3" in err


@pytest.mark.parametrize(("seconds", "text"), [(0, "0:00"), (7.4, "0:07"), (65, "1:05"), (3723, "1:02:03")])
def test_durations_as_people_read_them(seconds: float, text: str) -> None:
    assert clock(seconds) == text
