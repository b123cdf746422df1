"""What is shown on a terminal, and what in a log file."""

import io
import os
import subprocess
import sys
import threading
import time

import pytest

from DeepSegmentLib.data import Progress
from DeepSegmentLib.hosts.command.terminal import ProgressBar, progress_text, table

HOSTILE = "liver\x1b[31m\r[red]{bar}%s\u202e\n" * 9


class _Terminal(io.StringIO):
    def isatty(self):
        return True


def _lines(text):
    """What stood in the line, one after the other."""
    return [line.rstrip() for line in text.split("\r") if line.strip()]


def test_a_terminal_gets_one_line_that_is_rewritten_and_wiped():
    stream = _Terminal()
    bar = ProgressBar(stream)
    for event in (Progress("read", 0.0), Progress("predict", 0.5, 9.0), Progress("done", 1.0, 0.0)):
        bar(event)
    bar.close()
    text = stream.getvalue()
    assert "\n" not in text
    assert text.endswith("\r")
    found = dict.fromkeys(tuple(line.split(" |")[0].split(",")[0].split()) for line in _lines(text))
    assert list(found) == [("0%", "read"), ("50%", "predict"), ("100%", "done")]


def test_many_events_are_drawn_few_times():
    stream, begun = _Terminal(), time.monotonic()
    bar = ProgressBar(stream)
    for n in range(1000):
        bar(Progress("predict", n / 1000))
    assert stream.getvalue().count("\r") < 5 + 11 * (time.monotonic() - begun)


def test_a_log_file_gets_one_line_a_stage():
    stream = io.StringIO()
    bar = ProgressBar(stream)
    for fraction in (0.1, 0.2, 0.3):
        bar(Progress("predict", fraction))
    bar(Progress("done", 1.0))
    bar.close()
    assert stream.getvalue() == "predict ...\ndone ...\n"


def test_unknown_times_are_left_out():
    assert progress_text(Progress("read", 0.0)).rstrip() == "read"


def test_a_table_without_rows_is_its_header():
    assert table(("a", "b"), []) == "a  b"


@pytest.mark.parametrize("stream", [None, io.StringIO(), _Terminal()])
def test_a_stream_that_is_gone_stops_no_work(stream):
    bar = ProgressBar(stream)
    bar(Progress("read", 0.1))
    if stream is not None:
        stream.close()
    for event in (Progress("predict", 0.5), Progress("done", 1.0)):
        bar(event)
    bar.clear()
    bar.close()


_SHOW = """
import sys, time
from DeepSegmentLib.data import Progress
from DeepSegmentLib.hosts.command.terminal import ProgressBar
bar = ProgressBar(sys.stderr)
for n in range(4):
    bar(Progress({stage!r} + str(n), n / 3, 100 - n, 1 << 30))
bar.clear()
print("a line of its own", file=sys.stderr)
bar(Progress("last", 1.0))
bar.close()
"""


@pytest.mark.skipif(os.name != "posix", reason="pseudo-terminals are those of POSIX")
@pytest.mark.parametrize("columns", [1, 20, 80, 0])
@pytest.mark.parametrize("stage", ["predict", "x" * 300, "脳" * 50, HOSTILE])
def test_real_terminals_of_all_widths_are_kept_to(columns, stage):
    shown = _in_terminal(_SHOW.format(stage=stage), columns)
    assert "\x1b" not in shown  # so it suits terminals that know no escape codes
    assert "\u202e" not in shown
    before, after = shown.split("a line of its own\r\n")
    assert "\n" not in before + after
    if columns > 1:
        assert max(map(_width, _lines(before))) < columns
    if columns >= 20:
        assert _lines(before)[0].lstrip().startswith("0% " + stage[:2])


def _width(line):
    return sum(2 if letter == "脳" else 1 for letter in line)


def _in_terminal(code, columns):
    """What a program writes to a terminal of this width; 0 where it does not say how wide it is."""
    import fcntl
    import pty
    import struct
    import termios

    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    environment = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")}
    process = subprocess.Popen(
        [sys.executable, "-c", code], stderr=theirs, env=environment | {"TERM": "dumb", "PYTHONIOENCODING": "utf-8"}
    )
    os.close(theirs)
    told, watch = b"", threading.Timer(20, process.kill)
    watch.start()
    try:
        while block := os.read(ours, 65536):
            told += block
    except OSError:  # the other end is closed
        pass
    os.close(ours)
    watch.cancel()
    assert process.wait(timeout=20) == 0
    return told.decode()
