"""The tests that run inside Slicer run in the host, too: a slip in them would show only there."""

import importlib.util
import sys
import unittest
from pathlib import Path

import pytest

pytest.importorskip("slicer", reason="needs slicer-core")
pytest.importorskip("PySide6", reason="needs PySide6-Essentials", exc_type=ImportError)

MODULE = Path(__file__).resolve().parents[3] / "DeepSegment"


def load(path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_module_s_own_test(host, module):
    sys.modules["DeepSegment"].DeepSegmentTest().runTest()


@pytest.mark.parametrize("path", sorted((MODULE / "Testing" / "Python").glob("*Test.py")), ids=lambda path: path.stem)
def test_tests_for_ctest(host, module, path):
    host.complete_startup()
    suite = unittest.defaultTestLoader.loadTestsFromModule(load(path))
    assert suite.countTestCases() > 0
    result = unittest.TestResult()
    suite.run(result)
    assert [text for _case, text in result.failures + result.errors] == []
