"""Progress in a notebook: a cell's stream does not say so, but a line of it can be rewritten."""

import io
import sys

from DeepSegmentLib import Progress
from DeepSegmentLib.hosts.library.progress import shown


def test_a_notebooks_line_is_rewritten(monkeypatch):
    kind = type("OutStream", (io.StringIO,), {"__module__": "ipykernel.iostream", "encoding": "UTF-8"})
    monkeypatch.setattr(sys, "stderr", kind())
    with shown(True) as tell:
        for fraction in (0.0, 0.25, 1.0):
            tell(Progress("predict", fraction))
        assert "\r" in sys.stderr.getvalue()
        assert "100%" in sys.stderr.getvalue()


def test_a_stream_that_is_closed_stops_no_work(monkeypatch):
    monkeypatch.setattr(sys, "stderr", None)
    with shown(True) as tell:
        tell(Progress("predict", 0.5))
