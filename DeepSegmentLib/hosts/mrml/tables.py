"""Rows of numbers and words as table nodes."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_UNIT = re.compile(r"\[(.+)\]$")


def write_table(scene: Any, name: str, rows: Sequence[Mapping[str, Any]], table_node: Any = None) -> Any:
    """Write rows into a table node.

    Args:
        scene: Where a new node goes.
        name: Of a new node.
        rows: The same keys in each; a key that ends in "[unit]", such as "volume [ml]", gives the column its unit.
            Whole numbers, other numbers and texts get columns of their type.
        table_node: vtkMRMLTableNode to write anew; None for a new one.

    Returns:
        The vtkMRMLTableNode.
    """
    node = table_node or scene.AddNewNodeByClass("vtkMRMLTableNode", scene.GenerateUniqueName(name))
    changing = node.StartModify()
    node.RemoveAllColumns()
    node.SetUseColumnTitleAsColumnHeader(False)
    for key in rows[0] if rows else ():
        _add_column(node, key, [row[key] for row in rows])
    node.EndModify(changing)
    return node


def tab_separated(table_node: Any) -> str:
    """The table as text: a line of headers and one for each row, tabs between the cells."""
    table = table_node.GetTable()
    columns = range(table.GetNumberOfColumns())
    lines = [[table.GetColumnName(n) for n in columns]]
    lines += [[_cell(table.GetValue(row, n)) for n in columns] for row in range(table.GetNumberOfRows())]
    return "\n".join("\t".join(line) for line in lines)


def _cell(value: Any) -> str:
    """A value without what would end its cell."""
    return re.sub(r"[\t\r\n]", " ", str(value.ToString()))


def _add_column(node: Any, key: str, values: list[Any]) -> None:
    column = _array(values)
    column.SetName(key)
    for value in values:
        column.InsertNextValue(value if not isinstance(value, list | tuple) else " ".join(map(str, value)))
    node.AddColumn(column)
    unit = _UNIT.search(key)
    if unit:
        node.SetColumnUnitLabel(key, unit[1])


def _array(values: list[Any]) -> Any:
    """An empty VTK array that holds values of this kind."""
    import vtk

    if all(isinstance(value, int) and not isinstance(value, bool) for value in values):
        return vtk.vtkLongLongArray()
    if all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
        return vtk.vtkDoubleArray()
    return vtk.vtkStringArray()
