"""Surfaces for 3D views, one segment a turn of the event loop."""

import qt


class SurfaceMaker:
    """Makes the surfaces that a segmentation lacks, one after the other, while the window lives.

    Args:
        scene: The MRML scene.
    """

    def __init__(self, scene):
        self._scene, self._nodeID, self._missing = scene, "", []
        self._timer = qt.QTimer()
        self._timer.setInterval(0)
        self._timer.connect("timeout()", self._next)

    @property
    def running(self):
        """Whether there is a surface to make."""
        return self._timer.isActive()

    def start(self, node):
        """Make the surfaces that this node lacks now; a segment without voxels gets none."""
        from DeepSegmentLib.hosts.mrml.segmentations.surfaces import without_surface

        self._nodeID, self._missing = node.GetID(), list(without_surface(node))
        self._timer.start()

    def stop(self):
        """Make no more."""
        self._timer.stop()

    def _next(self):
        from DeepSegmentLib.hosts.mrml.segmentations.surfaces import make_surface

        node = self._scene.GetNodeByID(self._nodeID)
        if node is None or not self._missing:
            self.stop()
        elif node.GetSegmentation().GetSegment(self._missing[0]) is not None:
            make_surface(node, self._missing.pop(0))
        else:
            self._missing.pop(0)
