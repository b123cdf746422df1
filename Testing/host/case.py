"""A small case to correct: two touching organs on an oblique grid; the label of the first has a bite and a leak."""

import hashlib

import numpy as np

from DeepSegmentLib.data import Geometry, Segment
from DeepSegmentLib.hosts.mrml.segmentations.nodes import add_segments, new_segmentation
from DeepSegmentLib.hosts.mrml.segmentations.segments import Origin, mask_of, segment_ids

SHAPE = (40, 44, 48)
TURN = np.array([[0.96, -0.28, 0, -20], [0.28, 0.96, 0, -30], [0, 0, 1, -40], [0, 0, 0, 1.0]])
GRID = Geometry(SHAPE, TURN @ np.diag([2.0, 1.5, 1.5, 1]) @ np.eye(4)[[2, 1, 0, 3]])
BITE, OUTSIDE, LEAK = (20, 14, 16), (20, 6, 16), (20, 31, 16)


def ball(center, radius):
    return sum((axis - n) ** 2 for axis, n in zip(np.indices(SHAPE), center, strict=True)) <= radius**2


def case():
    """Voxels and labels (k, j, i)."""
    organ, neighbor = ball((20, 20, 16), 11), ball((20, 20, 34), 7)
    voxels = 100 * organ + 170 * neighbor + np.random.default_rng(0).normal(0, 6, SHAPE)
    labels = ((organ & ~ball(BITE, 5)) | ball(LEAK, 4)).astype(np.uint8)
    labels[neighbor & (labels == 0)] = 2
    return voxels.astype(np.float32), labels


def add_case(scene):
    """The volume and its segmentation as nodes of the scene; the segments "organ" and "neighbor" share one layer."""
    import slicer

    volume = slicer.util.addVolumeFromArray(case()[0], ijkToRAS=GRID.affine[:, [2, 1, 0, 3]])
    node = new_segmentation(scene, volume, "segmentation")
    add_segments(node, case()[1], GRID, [Segment("organ", 1), Segment("neighbor", 2, (200, 60, 60))], Origin())
    return volume, node


def open_effect(host, nodes):
    """The Segment Editor on the nodes of `add_case`, with the effect active on the organ."""
    volume, segmentation = nodes
    host.complete_startup()
    editor = host.open_segment_editor(segmentation, volume)
    editor.setCurrentSegmentID("organ")
    editor.setActiveEffectByName("DeepSegment Fix")
    return editor


def masks(node):
    """The voxels of each segment on the case's grid."""
    return {name: mask_of(node, name, GRID) for name in segment_ids(node)}


def same(before, after):
    """Whether two answers of `masks` are the same."""
    return before.keys() == after.keys() and all(np.array_equal(before[name], after[name]) for name in before)


def digest(labels):
    """A short text that stands for the labels of the case: of its node, or of an array (k, j, i)."""
    if hasattr(labels, "GetSegmentation"):
        found = masks(labels)
        labels = found["organ"] + 2 * found["neighbor"]
    return hashlib.sha256(np.ascontiguousarray(labels, dtype=np.uint8)).hexdigest()[:16]
