"""Stand-ins of the CTK widgets that modules use: small, but they work."""

from PySide6 import QtCore, QtGui, QtWidgets

Property, Signal, Slot = QtCore.Property, QtCore.Signal, QtCore.Slot
_HEADER = 22


class ctkCollapsibleButton(QtWidgets.QWidget):
    """A titled section that folds away."""

    contentsCollapsed = Signal(bool)
    clicked = Signal(bool)
    toggled = Signal(bool)

    def __init__(self, *arguments):
        texts = [value for value in arguments if isinstance(value, str)]
        parents = [value for value in arguments if isinstance(value, QtWidgets.QWidget)]
        super().__init__(*parents)
        self._text, self._collapsed = "".join(texts), False
        self.setContentsMargins(4, _HEADER + 4, 4, 4)

    def _get_text(self):
        return self._text

    def _set_text(self, text):
        self._text = text
        self.update()

    def _get_collapsed(self):
        return self._collapsed

    def _set_collapsed(self, collapsed):
        if collapsed == self._collapsed:
            return
        self._collapsed = collapsed
        self._show_children()
        self.contentsCollapsed.emit(collapsed)

    text = Property(str, _get_text, _set_text)
    collapsed = Property(bool, _get_collapsed, _set_collapsed)

    def _show_children(self):
        for child in self.children():
            if isinstance(child, QtWidgets.QWidget):
                # What the module hid stays hidden when the section opens.
                if self._collapsed:
                    child.setProperty("_shown", not child.isHidden())
                    child.setVisible(False)
                elif child.property("_shown") is not False:
                    child.setVisible(True)
        self.updateGeometry()

    def childEvent(self, event):
        super().childEvent(event)
        if self._collapsed and event.added() and isinstance(event.child(), QtWidgets.QWidget):
            event.child().setVisible(False)

    def showEvent(self, event):
        super().showEvent(event)
        if self._collapsed:
            for child in self.children():
                if isinstance(child, QtWidgets.QWidget):
                    child.setVisible(False)

    def sizeHint(self):
        return QtCore.QSize(200, _HEADER + 4) if self._collapsed else super().sizeHint()

    def minimumSizeHint(self):
        return QtCore.QSize(50, _HEADER + 4) if self._collapsed else super().minimumSizeHint()

    def click(self):
        self._set_collapsed(not self._collapsed)
        self.clicked.emit(not self._collapsed)

    def mousePressEvent(self, event):
        if event.position().y() < _HEADER:
            self.click()

    def paintEvent(self, _event):
        painter = QtGui.QPainter(self)
        palette = self.palette()
        painter.fillRect(0, 0, self.width(), _HEADER, palette.color(QtGui.QPalette.ColorRole.Button))
        painter.setPen(palette.color(QtGui.QPalette.ColorRole.ButtonText))
        painter.drawText(8, 16, ("\u25b8 " if self._collapsed else "\u25be ") + self._text)
        painter.end()


class ctkSearchBox(QtWidgets.QLineEdit):
    """A line edit with a lens."""

    def _get_icon(self):
        return True

    def _set_icon(self, _show):
        pass

    showSearchIcon = Property(bool, _get_icon, _set_icon)


class ctkComboBox(QtWidgets.QComboBox):
    """A combo box."""


class ctkCheckableComboBox(QtWidgets.QComboBox):
    """A combo box whose items can be ticked."""

    checkedIndexesChanged = Signal()

    def __init__(self, parent=None):
        super().__init__(parent)
        self.model().itemChanged.connect(lambda _item: self.checkedIndexesChanged.emit())

    def addItems(self, texts):
        for text in texts:
            item = QtGui.QStandardItem(text)
            item.setFlags(QtCore.Qt.ItemFlag.ItemIsEnabled | QtCore.Qt.ItemFlag.ItemIsUserCheckable)
            item.setData(QtCore.Qt.CheckState.Unchecked, QtCore.Qt.ItemDataRole.CheckStateRole)
            self.model().appendRow(item)

    def addItem(self, text, _data=None):
        self.addItems([text])

    def checkableModel(self):
        return self.model()

    def checkState(self, index):
        return self.model().itemFromIndex(index).checkState()

    def setCheckState(self, index, state):
        self.model().itemFromIndex(index).setCheckState(QtCore.Qt.CheckState(state))

    def checkedIndexes(self):
        rows = range(self.model().rowCount())
        checked = QtCore.Qt.CheckState.Checked
        return [self.model().index(row, 0) for row in rows if self.model().item(row).checkState() == checked]

    def paintEvent(self, _event):
        """What is ticked, and not the current item."""
        option = QtWidgets.QStyleOptionComboBox()
        self.initStyleOption(option)
        checked = ", ".join(self.itemText(index.row()) for index in self.checkedIndexes())
        option.currentText = "None" if self.noneChecked() else "All" if self.allChecked() else checked
        painter = QtWidgets.QStylePainter(self)
        painter.drawComplexControl(QtWidgets.QStyle.ComplexControl.CC_ComboBox, option)
        painter.drawControl(QtWidgets.QStyle.ControlElement.CE_ComboBoxLabel, option)
        painter.end()

    def allChecked(self):
        return len(self.checkedIndexes()) == self.count()

    def noneChecked(self):
        return not self.checkedIndexes()


class ctkDirectoryButton(QtWidgets.QPushButton):
    """A button that shows a folder."""

    directoryChanged = Signal(str)
    directorySelected = Signal(str)

    def __init__(self, *arguments):
        parents = [value for value in arguments if isinstance(value, QtWidgets.QWidget)]
        super().__init__(*parents)
        self._directory, self._elide = ".", QtCore.Qt.TextElideMode.ElideNone
        self.setText(self._directory)

    def _get(self):
        return self._directory

    def _set(self, directory):
        if directory != self._directory:
            self._directory = directory
            self.setText(directory)
            self.directoryChanged.emit(directory)

    def _set_elide(self, mode):
        self._elide = mode

    directory = Property(str, _get, _set)
    elideMode = Property(QtCore.Qt.TextElideMode, lambda self: self._elide, _set_elide)

    def paintEvent(self, _event):
        option = QtWidgets.QStyleOptionButton()
        self.initStyleOption(option)
        option.text = self.fontMetrics().elidedText(self._directory, self._elide, self.width() - 16)
        painter = QtWidgets.QStylePainter(self)
        painter.drawControl(QtWidgets.QStyle.ControlElement.CE_PushButton, option)
        painter.end()


def _spin_property(name, kind):
    setter = "set" + name[0].upper() + name[1:]
    return Property(
        kind, lambda self: getattr(self._box, name)(), lambda self, value: getattr(self._box, setter)(value)
    )


class ctkSliderWidget(QtWidgets.QWidget):
    """A slider with a spin box."""

    valueChanged = Signal(float)
    valueIsChanging = Signal(float)
    value = _spin_property("value", float)
    minimum = _spin_property("minimum", float)
    maximum = _spin_property("maximum", float)
    singleStep = _spin_property("singleStep", float)
    decimals = _spin_property("decimals", int)
    suffix = _spin_property("suffix", str)
    prefix = _spin_property("prefix", str)

    def __init__(self, parent=None):
        super().__init__(parent)
        self._slider = QtWidgets.QSlider(QtCore.Qt.Orientation.Horizontal, self)
        self._box = QtWidgets.QDoubleSpinBox(self)
        layout = QtWidgets.QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._slider, 1)
        layout.addWidget(self._box)
        self._slider.setRange(0, 1000)
        self._box.valueChanged.connect(self._typed)
        self._slider.sliderMoved.connect(self._moved)

    def _typed(self, value):
        span = self._box.maximum() - self._box.minimum() or 1
        self._slider.setValue(round(1000 * (value - self._box.minimum()) / span))
        self.valueChanged.emit(value)

    def _moved(self, position):
        span = self._box.maximum() - self._box.minimum()
        self._box.setValue(self._box.minimum() + span * position / 1000)

    def setValue(self, value):
        self._box.setValue(value)
