"""The journals of the segmentations that are being corrected: one folder each, in the user's data folder."""

from contextlib import contextmanager

from slicer.i18n import tr as _


class Journals:
    """Opens journals, keeps them up to date, closes them.

    Args:
        scene: The MRML scene.
        changed: Called without arguments after each change of a journaled segmentation, whoever made it.
        edited: Called with the journal's segmentation and volume when other tools have edited it.
    """

    def __init__(self, scene, changed, edited):
        self._scene, self._notify, self._edited = scene, changed, edited
        self._journals = {}
        self._observations = {}
        self.trouble = ""

    def open(self, segmentation, volume):
        """Have an up-to-date journal of a segmentation.

        Returns:
            Corrections of earlier that can be taken back, and those that can be done again, as `Step`s. Empty where
            the journal was open or is new.
        """
        journal = self._journals.get(segmentation.GetID())
        if journal is not None and journal.fits(volume):
            self._try(lambda: journal.catch_up() and self._edited(segmentation, volume))
            return (), ()
        self.drop(segmentation, replaced=True)
        self._try(lambda: self._begin(segmentation, volume, journal))
        journal = self._journals.get(segmentation.GetID())
        return ((), ()) if journal is None else (journal.corrections, journal.taken_back)

    def _begin(self, segmentation, volume, former):
        """Have a journal of a segmentation; `former` is the one before others have rearranged its segments, or None."""
        from DeepSegmentLib.hosts.mrml.correction.node_journal import NodeJournal, held_by

        held = held_by(segmentation)
        folder = None if held is None else journalsFolder() / held[0]
        journal = None
        if folder is not None and folder.is_dir() and not self._isOpen(folder):
            journal = NodeJournal.go_on(folder, segmentation, volume)
        worked = former is not None and former.has_entries
        self._keep(journal or NodeJournal.begin(newFolder(), segmentation, volume, goes_on=worked))
        if former is not None:
            self._edited(segmentation, volume)

    def _isOpen(self, folder):
        return any(journal.journal.folder == folder for journal in self._journals.values())

    def _keep(self, journal):
        node = journal.node
        segmentation = node.GetSegmentation()
        events = (
            segmentation.SourceRepresentationModified,
            segmentation.SegmentModified,  # all that the editor's undo tells
            segmentation.SegmentAdded,
            segmentation.SegmentRemoved,
        )
        self._journals[node.GetID()] = journal
        self._observations[node.GetID()] = [
            (segmentation, segmentation.AddObserver(event, lambda *_event: self._notify())) for event in events
        ]

    def drop(self, segmentation, replaced=False):
        """Close the journal of a segmentation; another one replaces it, or nobody needs it."""
        from DeepSegmentLib.hosts.mrml.correction.unfinished_journals import put_aside

        for caller, tag in self._observations.pop(segmentation.GetID(), ()):
            caller.RemoveObserver(tag)
        journal = self._journals.pop(segmentation.GetID(), None)
        if journal is not None:
            journal.close()
            if replaced:
                put_aside(journal.journal.folder)

    def close(self):
        """Close all journals."""
        for journal in list(self._journals.values()):
            self.drop(journal.node)

    # What happens

    def correction(self, segmentation, edit, step):
        """Journal a correction; what to tell the user where that is not possible."""
        return self._record(segmentation, lambda journal: journal.record(edit, step))

    def traced(self, segmentation, traces):
        """Journal the `Trace`s of what was taken back and given again; what to tell the user as `correction` does."""
        journal = self._journals.get(segmentation.GetID())
        if journal is not None and not journal.fits(journal.volume):  # an image has grown for an answer
            self.open(segmentation, journal.volume)
            return self.trouble

        def record(journal):
            for trace in traces:
                if trace.new:
                    journal.record(trace.edit, trace.step)
                else:
                    journal.record_retrace(trace.edit, trace.step, backward=trace.backward)

        return self._record(segmentation, record)

    def _record(self, segmentation, action):
        journal = self._journals.get(segmentation.GetID())
        if journal is None:
            return self.trouble
        return self._try(lambda: action(journal))

    @contextmanager
    def unchanged(self, segmentation):
        """What happens inside touches the voxels and leaves them as they were."""
        journal = self._journals.get(segmentation.GetID())
        current = journal is not None and journal.is_current
        yield
        if current:
            journal.look_away()

    def catchUp(self):
        """Journal what other tools did."""
        for nodeID, journal in list(self._journals.items()):
            node = self._scene.GetNodeByID(nodeID)
            if node is None:
                self.drop(journal.node)
            else:
                self.open(node, journal.volume)

    def _try(self, action):
        """Do something with a journal; what to tell the user where it fails, else an empty text."""
        from DeepSegmentLib.errors import DeepSegmentError

        self.trouble = ""
        try:
            action()
        except DeepSegmentError as error:
            self.trouble = _("It is not in the journal: {error}").format(error=error)
        return self.trouble

    def nodes(self):
        """What is journaled: pairs of a segmentation and its volume."""
        return [(journal.node, journal.volume) for journal in self._journals.values()]

    # Earlier corrections

    def unfinished(self, segmentation, volume):
        """The `UnfinishedJournal` to offer, or None."""
        from DeepSegmentLib.hosts.mrml.correction.unfinished_journals import unfinished

        if volume is None or (segmentation is not None and segmentation.GetID() in self._journals):
            return None
        return unfinished(journalsFolder(), segmentation, volume, self._scene)

    def resume(self, unfinished, segmentation, volume):
        """Bring a segmentation to where an unfinished journal ended; its corrections, as `open` gives them.

        Raises:
            DeepSegmentError: It cannot be done.
        """
        from DeepSegmentLib.hosts.mrml.correction.node_journal import NodeJournal

        self.drop(segmentation)
        journal = NodeJournal.resume(unfinished.folder, segmentation, volume)
        if journal is None:
            return self.open(segmentation, volume)
        self._keep(journal)
        return journal.corrections, journal.taken_back


def journalsFolder():
    """Where the journals are."""
    from DeepSegmentLib.files.models.places import user_folder

    return user_folder() / "Journals"


def newFolder():
    """A folder for a new journal."""
    from datetime import datetime
    from uuid import uuid4

    return journalsFolder() / f"{datetime.now():%Y%m%d-%H%M%S}-{uuid4().hex[:8]}"
