"""The section Output: where results go, what happens to segments that are there, and what is asked before."""

import qt
from slicer.i18n import tr as _

_POLICIES = (
    ("update", _("Update what the model made")),
    ("add", _("Keep, add new ones beside")),
    ("empty", _("Keep, fill empty voxels only")),
)

_MOST_NAMES = 6


class OutputSection:
    """The choice of the merge policy.

    Args:
        ui: The widgets of the panel by name.
        scene: The MRML scene.
        panel: Gives the settings.
    """

    def __init__(self, ui, scene, panel):
        self._ui, self._scene, self._panel = ui, scene, panel
        self.question = None
        for value, text in _POLICIES:
            ui.policyComboBox.addItem(text, value)
        ui.policyComboBox.connect("currentIndexChanged(int)", self._policyChosen)
        ui.outputSection.connect("contentsCollapsed(bool)", panel.refresh)
        ui.volumeSelector.connect("currentNodeChanged(vtkMRMLNode*)", self._volumeChosen)

    def refresh(self):
        """Bring the widgets in line with the settings."""
        parameters, box = self._panel.parameters, self._ui.policyComboBox
        if box.findData(parameters.policy) < 0:
            parameters.policy = _POLICIES[0][0]
        box.enabled = parameters.segmentation is not None
        box.setCurrentIndex(box.findData(parameters.policy))

    def ask(self, go):
        """Ask what an update may touch, if there is something to ask, and then go on.

        Args:
            go: Called with the policy to write by; not called when the user changes their mind.

        Raises:
            InvalidInputError: Nothing can be written into the segmentation.
        """
        from DeepSegmentLib.hosts.mrml.segmentations.second_result import doubtful
        from DeepSegmentLib.hosts.mrml.segmentations.writing import check_target

        parameters, choice = self._panel.parameters, self._panel.choice
        spec, subset = choice.line.spec, choice.subset
        node = parameters.segmentation
        if node is not None:
            check_target(self._scene, node, parameters.volume)  # now, and not when the result has nowhere to go
        if node is None or parameters.policy != "update":
            go(parameters.policy)
            return
        names = [segment.name for segment in spec.segments if subset is None or segment.name in subset]
        found = doubtful(node, parameters.volume, spec.name, names)
        if found:
            self.question = Question(self._panel.parent, questionText(node.GetName(), spec.name, found), go)
        else:
            go("update")

    def _policyChosen(self, index):
        if not self._panel.refreshing:
            self._panel.parameters.policy = self._ui.policyComboBox.itemData(index)

    def _volumeChosen(self, _volume):
        """Settled later: the settings take the volume from the same signal."""
        qt.QTimer.singleShot(0, self._followVolume)

    def _followVolume(self):
        """Another volume gets its own results: the segmentation of the last one is not for it."""
        from DeepSegmentLib.hosts.mrml.segmentations.nodes import volume_of

        parameters = self._panel.parameters
        if parameters is None or parameters.volume is None:
            return
        node = parameters.segmentation
        if node is not None and volume_of(node) not in (None, parameters.volume):
            parameters.segmentation = None
        self.chooseOwn()

    def chooseOwn(self):
        """Where no segmentation is chosen, take what was made of the volume before."""
        from DeepSegmentLib.hosts.mrml.segmentations.nodes import segmentation_of

        parameters = self._panel.parameters
        if parameters is not None and parameters.volume is not None and parameters.segmentation is None:
            parameters.segmentation = segmentation_of(parameters.volume)


class Question:
    """Update or keep both? The window stays alive while it is open.

    Args:
        parent: The widget that it belongs to.
        text: What is asked.
        go: Called with the policy to write by.
    """

    def __init__(self, parent, text, go):
        self._go = go
        self.box = qt.QMessageBox(parent)
        self.box.setWindowTitle(_("Segments are there already"))
        self.box.setText(text)
        self.updateButton = self.box.addButton(_("Update"), qt.QMessageBox.AcceptRole)
        self.keepButton = self.box.addButton(_("Keep both"), qt.QMessageBox.AcceptRole)
        self.box.addButton(qt.QMessageBox.Cancel)
        self.box.setDefaultButton(self.keepButton)
        self.box.connect("finished(int)", self._answered)
        self.box.open()

    def _answered(self, *_result):
        clicked = self.box.clickedButton()
        self.box.deleteLater()
        if clicked == self.updateButton:
            self._go("update")
        elif clicked == self.keepButton:
            self._go("new")


def questionText(segmentation, model, found):
    """The question in words.

    Args:
        segmentation: Name of the node.
        model: Name of the model.
        found: `Doubtful`.
    """
    lines = [
        (found.other_volume, _("{name} shows another volume: {names}.")),
        (listed(found.changed), _("Changed since {model} made them: {names}.")),
        (listed(found.foreign), _("Not made by {model}: {names}.")),
        (listed(found.protected), _("Locked or finished: {names}.")),
    ]
    said = [text.format(name=segmentation, model=model, names=names) for names, text in lines if names]
    said.append(
        _(
            "\nUpdate puts the new result in their place and keeps what is lost in a backup; locked and finished "
            "segments stay as they are. Keep both puts the new result into a segmentation of its own."
        )
    )
    return "\n".join(said)


def listed(names):
    """Some names and how many more there are; empty for none."""
    more = len(names) - _MOST_NAMES
    shown = ", ".join(names[:_MOST_NAMES])
    return _("{names} and {count} more").format(names=shown, count=more) if more > 0 else shown
