"""How the sections stand: the panel keeps one width whatever it shows, and sections stay open or closed as left."""

import qt
import slicer

_ELASTIC = (
    "QComboBox", "ctkComboBox", "ctkCheckableComboBox", "ctkDirectoryButton", "qMRMLNodeComboBox",
    "qMRMLCheckableNodeComboBox", "qMRMLSegmentSelectorWidget",
)  # fmt: skip
_LEAST_WIDTH = 80  # pixels: enough to read the beginning of a name
_BUTTON_FRAME = 20  # pixels around the text
_KEY = "DeepSegment/sections/{name}"


def keepWidth(widget):
    """Let a widget take the width that it gets, and not widen the panel for what it shows.

    Selectors cut long names off; buttons keep the room that their first text needs.
    """
    kind = widget.className()
    if kind == "QPushButton":
        widget.setMinimumWidth(widget.fontMetrics().size(0, widget.text).width() + _BUTTON_FRAME)
    elif kind in _ELASTIC:
        widget.setMinimumWidth(_LEAST_WIDTH)
    else:
        return
    if kind == "ctkDirectoryButton":
        widget.elideMode = qt.Qt.ElideMiddle
    policy = qt.QSizePolicy(qt.QSizePolicy.Ignored, widget.sizePolicy.verticalPolicy())
    # Without a stretch a row of widgets goes by their hints, which are nothing now, and not by their least widths.
    policy.setHorizontalStretch(1 if kind == "QPushButton" else 3)
    widget.setSizePolicy(policy)


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
            widget.connect("contentsCollapsed(bool)", lambda _collapsed: _hideEmpty(ui))
            widget.connect("clicked()", lambda name=name, widget=widget: _remember(name, widget))


def _hideEmpty(ui):
    """A section that opens shows all that is in it, messages without a text too."""
    for name, label in vars(ui).items():
        if name.endswith("MessageLabel") and not label.text:
            label.setVisible(False)


def _remember(name, section):
    slicer.app.userSettings().setValue(_KEY.format(name=name), section.collapsed)
