"""What the pointer has drawn in a slice view, as a prompt."""

import numpy as np


def promptOf(tool, places, view, radiusMm, meant):
    """The prompt of a gesture.

    Args:
        tool: "point", "box" or "lasso".
        places: Where the pointer was, (x, y) in pixels.
        view: The qMRMLSliceWidget.
        radiusMm: How deep boxes and lassos reach to both sides of the slice.
        meant: Name of the segment, and whether what is drawn belongs to it.

    Returns:
        The prompt, in the scene's RAS; None where the gesture is not one yet.
    """
    from DeepSegmentLib.data import Lasso, Point, Scribble

    places = list(dict.fromkeys(places))
    points = np.array([placesOf(view)(np.array(place, dtype=float)) for place in places])
    if tool == "box":
        return _box(places, view, radiusMm, meant)
    if tool == "lasso":
        return Lasso(*meant, points, radiusMm) if _isFlat(places) else None
    return Point(*meant, points[0]) if len(places) == 1 else Scribble(*meant, points)


def _box(places, view, radiusMm, meant):
    """The smallest box along the patient's axes around the rectangle, to both sides of the slice."""
    from DeepSegmentLib.data import BoxPrompt

    corners = rectangle(places)
    if (np.ptp(corners, axis=0) < 1).any():
        return None
    points = np.array([placesOf(view)(corner) for corner in corners])
    depth = radiusMm * normalOf(view)
    ends = np.concatenate([points - depth, points + depth])
    return BoxPrompt(*meant, np.stack([ends.min(axis=0), ends.max(axis=0)]))


def rectangle(places):
    """The corners (4, 2) of the rectangle between the first and the last place."""
    (ax, ay), (bx, by) = places[0], places[-1]
    return np.array([(ax, ay), (bx, ay), (bx, by), (ax, by)], dtype=float)


def _isFlat(places):
    """Whether an outline encloses anything."""
    return len(places) > 2 and np.ptp(np.array(places), axis=0).min() > 0


def placesOf(view):
    """The function from places (x, y) in a slice view, in pixels, to RAS mm."""
    from DeepSegmentLib.hosts.mrml.geometry import to_array

    matrix = to_array(view.mrmlSliceNode().GetXYToRAS())
    return lambda place: matrix[:3, :2] @ place + matrix[:3, 3]


def normalOf(view):
    """The direction across a slice, in RAS."""
    from DeepSegmentLib.hosts.mrml.geometry import to_array

    return to_array(view.mrmlSliceNode().GetSliceToRAS())[:3, 2]


def linearized(function, center):
    """The affine function that agrees with a function of places (x, y) around one of them."""
    middle = function(center)
    axes = np.stack([function(center + step) - middle for step in np.eye(2)], axis=1)
    return lambda place: middle + axes @ (place - center)
