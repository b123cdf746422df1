"""How the sections stand: the panel keeps one width whatever it shows, and sections stay open or closed as left."""

import qt
import slicer

_ELASTIC = (
    "QComboBox", "ctkComboBox", "ctkCheckableComboBox", "ctkDirectoryButton", "qMRMLNodeComboBox",
    "qMRMLCheckableNodeComboBox", "qMRMLSegmentSelectorWidget",
)  # fmt: skip
_LEAST_WIDTH = 80  # pixels: enough to read the beginning of a name
_KEY = "DeepSegment/sections/{name}"


def keepWidth(widget):
    """Let a widget take the width that it gets, and not widen the panel for what it shows.

    Selectors cut long names off; buttons keep the room that their first text needs.
    """
    kind = widget.className()
    if kind == "QPushButton":
        widget.setMinimumWidth(widget.minimumSizeHint.width())
    elif kind in _ELASTIC:
        widget.setMinimumWidth(_LEAST_WIDTH)
    else:
        return
    widget.setSizePolicy(qt.QSizePolicy.Ignored, widget.sizePolicy.verticalPolicy())


def arrange(ui):
    """Keep the width of all widgets of the panel; open and close its sections as the user left them.

    Args:
        ui: The widgets of the panel by name.
    """
    for name, widget in vars(ui).items():
        keepWidth(widget)
        if widget.className() == "ctkCollapsibleButton":
            stored = slicer.util.settingsValue(_KEY.format(name=name), widget.collapsed, converter=slicer.util.toBool)
            widget.collapsed = stored
            widget.connect("clicked()", lambda name=name, widget=widget: _remember(name, widget))


def _remember(name, section):
    slicer.app.userSettings().setValue(_KEY.format(name=name), section.collapsed)
