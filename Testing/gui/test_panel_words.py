"""No message that can reach the panel speaks of the command line, and numbers agree with their nouns."""

import ast
import re

import pytest

pytest.importorskip("slicer", reason="needs slicer-core")
pytest.importorskip("PySide6", reason="needs PySide6-Essentials", exc_type=ImportError)

from conftest import REPOSITORY

from DeepSegmentLib.plurals import counted

LIBRARY = REPOSITORY / "DeepSegmentLib"
OTHER_SHELLS = (
    "hosts/command/", "hosts/library/", "hosts/worker/server.py", "service/training/train_synthetic.py",
    "service/models/pack_models.py"
)  # fmt: skip
COMMAND_LINE = re.compile(
    r"(?<![\w-])--[a-z]|`|(?<![._])pip install|gdcmconv|ask to|as the volume|\bcommand\b|\bterminal\b|DEEPSEGMENT_"
)


def texts_of(path):
    """The texts of a module that may be shown: no docstrings; an X stands for what is filled in."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    skipped = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            skipped |= {id(part) for part in node.values}
            yield "".join(part.value if isinstance(part, ast.Constant) else "X" for part in node.values)
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in skipped:
            yield node.value


def texts():
    for path in sorted(LIBRARY.rglob("*.py")):
        if not path.relative_to(LIBRARY).as_posix().startswith(OTHER_SHELLS):
            yield from (text for text in texts_of(path) if " " in text)


@pytest.fixture
def words(module):
    from DeepSegmentGui import panel_words

    return panel_words


def test_no_message_of_the_library_speaks_of_the_command_line_in_the_panel(words):
    assert [told for text in texts() if COMMAND_LINE.search(told := words.panelWords(text))] == []


def test_each_entry_of_the_table_is_there_for_a_message(words):
    known = list(texts())
    assert [phrase for phrase, _panel in words._WORDS if not any(phrase in text for text in known)] == []


def test_messages_of_the_panel_itself_speak_of_no_command_line():
    own = [text for path in (REPOSITORY / "DeepSegment" / "DeepSegmentGui").rglob("*.py") for text in texts_of(path)]
    own = [text for text in own if " " in text and "panel_words" not in text]
    table = set(texts_of(REPOSITORY / "DeepSegment" / "DeepSegmentGui" / "panel_words.py"))
    options = re.compile(r"--no-index|deepsegment diagnose")
    assert [text for text in own if text not in table and COMMAND_LINE.search(text) and not options.search(text)] == []


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("a.csv exists; ask to replace it (--replace), or choose another name",
         "a.csv exists; replace it, or choose another name"),
        ("writing DICOM SEG needs highdicom; install it: pip install 'deepsegment[dicom]'",
         'writing DICOM SEG needs highdicom; type slicer.util.pip_install("highdicom") into the Python console'),
        ("5 voxels; segment a region of at most 3 x 3 x 3 mm (right-left, back-front, feet-head: --roi) and more",
         "5 voxels; choose a region of at most 3 x 3 x 3 mm (right-left, back-front, feet-head) and more"),
        ("JPEG needs a decoder; pip install pylibjpeg pylibjpeg-openjpeg",
         'JPEG needs a decoder; type slicer.util.pip_install("pylibjpeg pylibjpeg-openjpeg") into the Python console'),
        ("it does not end with .csv, as --format asks", "it does not end with .csv, as format asks"),
        ("a range 3--5 and a-b stay", "a range 3--5 and a-b stay"),
    ],
)  # fmt: skip
def test_remedies_are_worded_for_the_panel(words, said, shown):
    assert words.panelWords(said) == shown


def test_the_panel_shows_its_words_under_the_button(module):
    panel = module[0].panel
    panel.say("a.csv exists; ask to replace it (--replace), or choose another name", panel.ui.exportMessageLabel)
    assert "--" not in panel.ui.exportMessageLabel.text


def test_numbers_agree_with_their_nouns():
    assert [counted(n, "segment") for n in (0, 1, 2)] == ["0 segments", "1 segment", "2 segments"]
    assert counted(1, "series", "series") == counted(2, "series", "series").replace("2", "1")


def test_what_killed_the_worker_is_not_guessed():
    from DeepSegmentLib.hosts.worker.client import _cause

    text = _cause(-9, [])
    assert "was killed" in text
    assert "mostly because" not in text
