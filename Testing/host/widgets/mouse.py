"""A mouse over an off-screen view: real interactor events, in the order in which the desktop sends them."""

import vtk


class Mouse:
    """Moves over one view.

    Args:
        host: The running host; its event loop is served after every event, and errors of observers come out there.
        view: A view of `host.open_views()`.
    """

    def __init__(self, host, view):
        self._host, self._view = host, view
        self._position, self._modifiers = (0, 0), {"control": 0, "shift": 0}

    def hold(self, *, control=False, shift=False):
        """Hold modifier keys from now on."""
        self._modifiers = {"control": int(control), "shift": int(shift)}

    def move(self, x, y):
        """Move to a place in pixels, the origin at the lower left."""
        self._position = round(x), round(y)
        self._send("MouseMoveEvent")

    def press(self, button="Left"):
        self._send(f"{button}ButtonPressEvent")

    def release(self, button="Left"):
        self._send(f"{button}ButtonReleaseEvent")

    def click(self, x, y, button="Left"):
        self.move(x, y)
        self.press(button)
        self.release(button)

    def drag(self, places, button="Left"):
        """Press at the first place, move over the others, release at the last."""
        first, *others = places
        self.move(*first)
        self.press(button)
        for place in others:
            self.move(*place)
        self.release(button)

    def double_click(self, x, y, button="Left"):
        self.click(x, y, button)
        self._send(f"{button}ButtonDoubleClickEvent")
        self.release(button)

    def wheel(self, steps):
        """Turn the wheel: forward where `steps` is positive."""
        for _step in range(abs(steps)):
            self._send("MouseWheelForwardEvent" if steps > 0 else "MouseWheelBackwardEvent")

    def key(self, symbol):
        """Press and release a key, named as VTK names it ("Escape", "a")."""
        self._send("KeyPressEvent", symbol)
        self._send("KeyReleaseEvent", symbol)

    def enter(self):
        self._send("EnterEvent")

    def leave(self):
        self._send("LeaveEvent")

    def _send(self, event, symbol=""):
        interactor, (x, y) = self._view.interactor, self._position
        code = symbol if len(symbol) == 1 else "\0"
        interactor.SetEventInformation(x, y, self._modifiers["control"], self._modifiers["shift"], code, 0, symbol)
        interactor.InvokeEvent(event)
        self._host.process_events()


def place_of(slice_node, ras):
    """Where a point in RAS millimetres is in a slice view, in pixels; the slice is not moved to it."""
    to_xy = vtk.vtkMatrix4x4()
    vtk.vtkMatrix4x4.Invert(slice_node.GetXYToRAS(), to_xy)
    return to_xy.MultiplyPoint((*ras, 1.0))[:2]
