"""Pictures of the panel for README and tutorial, made in the test host with real views.

python Testing/host/tour.py .cache/colin27/ch2.nii.gz Resources/Screenshots
"""

import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(REPOSITORY), str(REPOSITORY / "Testing")]

import numpy as np
from scipy import ndimage

from DeepSegmentLib.data import Box
from DeepSegmentLib.hosts.mrml.correction.blocks import read_labels, write_labels
from DeepSegmentLib.hosts.mrml.geometry import local_geometry
from DeepSegmentLib.hosts.mrml.segmentations.layers import image_of
from DeepSegmentLib.hosts.mrml.segmentations.segments import find_by_name, mask_of
from host.application import start
from host.widgets.mouse import Mouse, place_of


def main():
    volume, folder = Path(sys.argv[1]), Path(sys.argv[2])
    host = start()
    widget, panel = host.load_module(REPOSITORY / "DeepSegment" / "DeepSegment.py")
    ui = widget.panel.ui
    node = host.application.logics["Volumes"].AddArchetypeVolume(str(volume), "Colin27", 0)
    ui.volumeSelector.setCurrentNode(node)
    host.show_volume(node)
    host.screenshot(folder / "panel-ready.png", panel)

    host.click(ui.segmentButton)
    host.wait_until(lambda: ui.progressBar.value > 300 or not widget.panel.jobs.busy)
    host.screenshot(folder / "panel-running.png", panel)
    host.wait_until(lambda: not widget.panel.jobs.busy)
    host.process_events(0.2)
    ui.show3DButton.checked = True
    host.process_events(0.2)
    host.screenshot(folder / "panel.png", panel)

    ui.show3DButton.checked = False
    ui.uncertaintyOverlayCheckBox.checked = True
    host.click(ui.reviewButton)
    host.screenshot(folder / "panel-review.png", panel)

    ui.uncertaintyOverlayCheckBox.checked = False
    show_corrections(host, widget, panel, node, folder)
    ui.inputSection.collapsed = ui.resultsSection.collapsed = ui.correctSection.collapsed = True
    for section in (ui.outputSection, ui.exportSection, ui.batchSection, ui.advancedSection):
        section.collapsed = False
    host.screenshot(folder / "panel-more.png", panel, views=False)
    widget.cleanup()


def show_corrections(host, widget, panel, volume, folder):
    """A bite is taken out of a structure and put back by one click: the panel, then the effect."""
    ui = widget.panel.ui
    segmentation = ui.correctSelector.currentNode()
    segment = find_by_name(segmentation, "Thalamus")
    ras = bite(segmentation, segment, volume)
    for view in list(host.open_views().values())[:3]:
        view.node.JumpSliceByCentering(*ras)
        view.node.SetFieldOfView(90, 110, 1)
    ui.inputSection.collapsed = ui.resultsSection.collapsed = True
    ui.correctSection.collapsed = False
    ui.correctSelector.setCurrentSegmentID(segment)
    host.click(ui.correctAddButton)
    host.screenshot(folder / "correct-panel.png", panel)
    host.click(ui.correctAddButton)

    host.complete_startup()
    editor = host.open_segment_editor(segmentation, volume)
    editor.setCurrentSegmentID(segment)
    editor.setActiveEffectByName("DeepSegment Fix")
    editor.resize(480, 520)
    editor.show()
    for view in list(host.open_views().values())[:3]:
        view.node.JumpSliceByCentering(*ras)
        view.node.SetFieldOfView(90, 110, 1)
    view = host.open_views()["Red"]
    mouse = Mouse(host, view)
    mouse.move(*place_of(view.node, ras))
    host.process_events(0.3)
    host.screenshot(folder / "correct-preview.png", editor)
    mouse.click(*place_of(view.node, ras))
    host.process_events(0.2)
    host.screenshot(folder / "correct-after.png", editor)
    editor.setActiveEffectByName("")


def bite(segmentation, segment, volume):
    """Take a ball out of the thickest part of a segment; its middle in RAS mm."""
    grid = local_geometry(volume)
    mask = mask_of(segmentation, segment, grid)
    middle = np.unravel_index(ndimage.distance_transform_edt(mask).argmax(), mask.shape)
    image, radius = image_of(segmentation, segment), 6
    box = Box(tuple(n - radius for n in middle), tuple(n + radius + 1 for n in middle))
    ball = np.linalg.norm(np.indices(box.shape) - radius, axis=0) <= radius
    labels = read_labels(image, box)
    write_labels(image, box, np.where(ball & mask[box.to_slices()], 0, labels).astype(labels.dtype), box)
    image.Modified()
    return grid.index_to_ras(middle)


if __name__ == "__main__":
    main()
