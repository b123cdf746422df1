"""What a change of a segment owes to others, paid when nobody waits: the editor's undo, surfaces, the journal."""

import qt

from DeepSegmentGui.correction.target import segmentEditorOf

_SHOWN_MS = 50
"""After this time a view has drawn a change; what nobody waits for is done then."""

_QUIET_MS = 1000
"""After this time without a change the user is thinking, and surfaces and journal may take a moment."""


class DeferredWork:
    """Pays what changes owe.

    Args:
        scene: The MRML scene.
        journals: Its `Journals`.
    """

    def __init__(self, scene, journals):
        self._scene, self._journals = scene, journals
        self._owed, self._stale = None, set()
        self._shownTimer, self._quietTimer = _timer(_SHOWN_MS, self.settle), _timer(_QUIET_MS, self._quiet)

    def edited(self, segmentation, edit, saveState=None):
        """One edit was made; `saveState` saves a state of a Segment Editor, None: of the one that edits the node."""
        editor = segmentEditorOf(segmentation)
        saveState = saveState or (editor and editor.saveStateForUndo)
        if saveState:
            self._owed = (segmentation, edit, saveState)
            self._shownTimer.start()
        self.stale(segmentation, edit.segment_id)

    def stale(self, segmentation, segmentID):
        """A segment has changed: its surface does not fit."""
        self._stale.add((segmentation.GetID(), segmentID))
        self.wait()

    def wait(self):
        """Something changed; there is more to do when it is quiet."""
        self._quietTimer.start()

    def settle(self):
        """Do what the last change still owes to the Segment Editor's undo."""
        from DeepSegmentLib.hosts.mrml.correction.edits import save_state_before

        owed, self._owed = self._owed, None
        self._shownTimer.stop()
        if owed is not None and self._scene.IsNodePresent(owed[0]):
            with self._journals.unchanged(owed[0]):
                save_state_before(*owed)

    def _quiet(self):
        self.settle()
        self._renewSurfaces()
        self._journals.catchUp()

    def _renewSurfaces(self):
        from DeepSegmentLib.hosts.mrml.correction.edits import renew_surface

        stale, self._stale = self._stale, set()
        for nodeID, segmentID in stale:
            node = self._scene.GetNodeByID(nodeID)
            if node is not None:
                renew_surface(node, segmentID)

    def forget(self):
        """Owe nothing."""
        self._owed = None
        self._stale.clear()
        for timer in (self._shownTimer, self._quietTimer):
            timer.stop()


def _timer(milliseconds, function):
    timer = qt.QTimer()
    timer.setSingleShot(True)
    timer.setInterval(milliseconds)
    timer.connect("timeout()", function)
    return timer
