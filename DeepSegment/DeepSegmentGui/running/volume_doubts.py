"""What speaks against giving the chosen volumes to the chosen model, told before the click."""

import qt

_MOST_KEPT = 8


class VolumeDoubts:
    """Looks at a sample of the voxels, once for each choice, in a turn of its own.

    Args:
        onKnown: Called without arguments when something was found.
    """

    def __init__(self, onKnown):
        self._onKnown = onKnown
        self._found, self._waiting = {}, None

    def of(self, nodes, spec):
        """Sentences that are known by now; `onKnown` follows where there will be others.

        Args:
            nodes: Volume nodes, one a channel.
            spec: `ModelSpec`.
        """
        if any(node is None or node.GetImageData() is None for node in nodes):
            return ()
        key = (spec.name, spec.weights_sha256, *((node.GetID(), _time(node)) for node in nodes))
        if key not in self._found and self._waiting is None:
            self._waiting = key, list(nodes), spec
            qt.QTimer.singleShot(0, self._look)
        return self._found.get(key, ())

    def forget(self):
        """Drop references to nodes, as when the scene closes."""
        self._found, self._waiting = {}, None

    def _look(self):
        from DeepSegmentLib.errors import DeepSegmentError
        from DeepSegmentLib.hosts.mrml.volumes import volume_from_nodes
        from DeepSegmentLib.segmentation.doubts.doubt import doubts_before

        if self._waiting is None:
            return
        (key, nodes, spec), self._waiting = self._waiting, None
        if len(self._found) >= _MOST_KEPT:
            self._found.clear()
        try:
            self._found[key] = doubts_before(volume_from_nodes(nodes), spec)
        except DeepSegmentError as error:
            self._found[key] = (str(error),)
        self._onKnown()


def _time(node):
    """Changes when voxels or grid do."""
    return max(node.GetImageData().GetMTime(), node.GetMTime())
