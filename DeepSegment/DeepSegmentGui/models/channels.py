"""One selector for each further channel of the model, filled by name and modality."""

import re

import slicer
from slicer.i18n import tr as _

from DeepSegmentGui.panel_layout import keepWidth
from DeepSegmentGui.parameters import channelReference


class ChannelSelectors:
    """The selectors below the volume selector; none for a model of one channel."""

    def __init__(self, frame, onChanged):
        self._frame, self._onChanged = frame, onChanged
        self._selectors = []
        self._parameters = None

    def show(self, spec, parameters, scene):
        """Make the selectors of a model and fill those that the scene leaves open."""
        self._parameters = parameters
        wanted = [] if spec is None else [channelLabel(channel) for channel in spec.channels[1:]]
        if [label for label, _selector in self._selectors] != wanted:
            self._rebuild(wanted, scene)
        self._frame.setVisible(bool(wanted))
        for n, (_label, selector) in enumerate(self._selectors, start=1):
            selector.blockSignals(True)
            selector.setCurrentNode(parameters.parameterNode.GetNodeReference(channelReference(n)))
            selector.blockSignals(False)

    def selectors(self):
        """The selectors, one for each further channel."""
        return [selector for _label, selector in self._selectors]

    def nodes(self):
        """The chosen volume nodes in the model's order; None where none is chosen."""
        return [selector.currentNode() for _label, selector in self._selectors]

    def _rebuild(self, labels, scene):
        layout = self._frame.layout()
        while layout.count():
            widget = layout.takeAt(0).widget()
            widget.hide()
            widget.deleteLater()
        self._selectors = []
        for n, label in enumerate(labels, start=1):
            selector = _selector(scene)
            selector.connect("currentNodeChanged(vtkMRMLNode*)", lambda node, n=n: self._changed(n, node))
            layout.addRow(label, selector)
            self._selectors.append((label, selector))

    def _changed(self, n, node):
        if self._parameters is not None:
            self._parameters.parameterNode.SetNodeReferenceID(channelReference(n), node.GetID() if node else None)
            self._onChanged()


def channelLabel(channel):
    """What stands before the selector of a channel."""
    return _("{channel}:").format(channel=channel.name)


def _selector(scene):
    selector = slicer.qMRMLNodeComboBox()
    selector.nodeTypes = ["vtkMRMLScalarVolumeNode"]
    selector.hideChildNodeTypes = ["vtkMRMLLabelMapVolumeNode"]
    selector.addEnabled = selector.removeEnabled = False
    selector.noneEnabled = True
    selector.noneDisplay = _("Choose a volume")
    keepWidth(selector)
    selector.setMRMLScene(scene)
    return selector


def assignChannels(channels, names):
    """Which volume is meant for which channel, by the words in their names.

    Args:
        channels: Names of the model's channels, such as "T1w", "T1w contrast", "FLAIR".
        names: Names of the volumes to choose from.

    Returns:
        For each channel the index of a volume, or None; no volume twice. The channel with the clearest match chooses
        first.
    """
    scores = [(_likeness(channel, name), c, v) for c, channel in enumerate(channels) for v, name in enumerate(names)]
    chosen, taken = [None] * len(channels), set()
    for score, c, v in sorted(scores, key=lambda entry: (-entry[0], entry[1], entry[2])):
        if score > 0 and chosen[c] is None and v not in taken:
            chosen[c] = v
            taken.add(v)
    return chosen


_SYNONYMS = {
    "t1w": "t1", "t2w": "t2", "t1ce": "t1 contrast", "t1c": "t1 contrast", "t1gd": "t1 contrast", "gd": "contrast",
    "gad": "contrast", "post": "contrast", "fl": "flair", "pdw": "pd", "adc": "adc", "dwi": "dwi",
}  # fmt: skip


def _likeness(channel, name):
    """Shared words over all words, synonyms of sequence names unified; 0 to 1."""
    first, second = _words(channel), _words(name)
    return len(first & second) / len(first | second) if first & second else 0.0


def _words(text):
    words = re.findall(r"[a-z]+[0-9]*[a-z]*|[0-9]+", text.casefold())
    return {part for word in words for part in _SYNONYMS.get(word, word).split()}
