"""Text in tables that people open in a spreadsheet."""

from __future__ import annotations

# With these a cell begins that a spreadsheet computes, also in their wide forms. OWASP, "CSV Injection".
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")


def text_cell(text: str) -> str:
    """A text that no spreadsheet takes for a formula: with an apostrophe before it where it would.

    Example:
        >>> text_cell("=1+1"), text_cell("Thalamus")
        ("'=1+1", 'Thalamus')
    """
    return f"'{text}" if text.startswith(_FORMULA) else text
