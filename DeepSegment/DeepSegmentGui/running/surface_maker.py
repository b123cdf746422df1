"""Surfaces for 3D views, one segment a turn of the event loop."""

import qt


class SurfaceMaker:
    """Makes the surfaces that a segmentation lacks, the quickest first, while the window lives.

    Args:
        scene: The MRML scene.
    """

    def __init__(self, scene):
        self._scene, self._nodeID = scene, ""
        self._timer = qt.QTimer()
        self._timer.setInterval(0)
        self._timer.connect("timeout()", self._next)

    @property
    def running(self):
        """Whether there is a surface to make."""
        return self._timer.isActive()

    def start(self, node):
        """Make the surfaces of this node."""
        self._nodeID = node.GetID()
        self._timer.start()

    def stop(self):
        """Make no more."""
        self._timer.stop()

    def _next(self):
        from DeepSegmentLib.hosts.mrml.segmentations.surfaces import make_surface, without_surface

        node = self._scene.GetNodeByID(self._nodeID)
        missing = () if node is None else without_surface(node)
        if missing:
            make_surface(node, missing[0])
        else:
            self.stop()
