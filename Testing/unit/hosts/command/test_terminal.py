"""What is shown on a terminal, and what in a log file."""

import io
import os

from DeepSegmentLib.data import Progress
from DeepSegmentLib.hosts.command.terminal import ProgressBar, progress_line, table


class _Terminal(io.StringIO):
    def isatty(self):
        return True


def test_a_terminal_gets_one_line_that_is_rewritten():
    stream = _Terminal()
    bar = ProgressBar(stream)
    for event in (Progress("read", 0.0), Progress("predict", 0.5, 9.0), Progress("done", 1.0, 0.0)):
        bar(event)
    bar.close()
    text = stream.getvalue()
    assert text.count("\n") == 1
    lines = [line.rstrip() for line in text.strip().split("\r") if line]
    assert [line.split("] ")[1].split(",")[0] for line in lines] == ["  0% read", " 50% predict", "100% done"]
    assert len({len(line) for line in text.rstrip("\n").split("\r")[2:]}) == 1  # nothing of a longer line stays


def test_many_events_are_drawn_few_times():
    stream = _Terminal()
    bar = ProgressBar(stream)
    for n in range(1000):
        bar(Progress("predict", n / 1000))
    assert stream.getvalue().count("\r") < 100


def test_a_log_file_gets_one_line_a_stage():
    stream = io.StringIO()
    bar = ProgressBar(stream)
    for fraction in (0.1, 0.2, 0.3):
        bar(Progress("predict", fraction))
    bar(Progress("done", 1.0))
    bar.close()
    assert stream.getvalue() == "predict ...\ndone ...\n"


def test_unknown_times_are_left_out():
    assert progress_line(Progress("read", 0.0)) == "[............................]   0% read"


def test_a_table_without_rows_is_its_header():
    assert table(("a", "b"), []) == "a  b"


def test_a_narrow_terminal_gets_no_line_that_it_would_break(monkeypatch):
    stream = _Terminal()
    stream.fileno = lambda: 1
    monkeypatch.setattr(os, "get_terminal_size", lambda _: os.terminal_size((20, 5)))
    bar = ProgressBar(stream)
    bar(Progress("a long name of a case: predict", 0.5, 9.0))
    assert len(stream.getvalue().strip()) < 20
