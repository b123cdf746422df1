"""A walk through the panel in pictures, for README and tutorial, in the test host with real views.

python Testing/host/tour.py .cache/colin27/ch2.nii.gz Resources/Screenshots
"""

import shutil
import sys
import tempfile
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
from DeepSegmentLib.service.models import openvino_package
from host.application import dark_palette, start
from host.widgets.mouse import Mouse, place_of
from host.widgets.pythonqt import unwrap

SECTIONS = (
    "inputSection", "outputSection", "resultsSection", "correctSection", "exportSection", "batchSection",
    "advancedSection",
)  # fmt: skip
VOLUME, STRUCTURE = "Colin27", "Thalamus"


class Tour:
    """One visit: loads the module and takes pictures on the way.

    Args:
        file: The head MR.
        folder: Where the pictures go.
    """

    def __init__(self, file, folder):
        self.file, self.folder = file, folder
        self.host = start()
        self.widget, self.module = self.host.load_module(REPOSITORY / "DeepSegment" / "DeepSegment.py")
        self.panel, self.ui = self.widget.panel, self.widget.panel.ui

    def picture(self, name, *, views=True, widget=None):
        self.host.screenshot(self.folder / f"{name}.png", widget or self.module, views=views)

    def open(self, *names):
        """Open these sections and close the others."""
        for name in SECTIONS:
            getattr(self.ui, name).collapsed = name not in names
        self.host.process_events(0.1)

    def wait(self):
        self.host.wait_until(lambda: not self.panel.jobs.busy and not self.panel.several.batch.running, 300)
        self.host.process_events(0.3)

    def click(self, button):
        self.host.click(button)
        self.wait()

    def segment(self):
        """The volume that was added is chosen; ready, running, the result, a place to review."""
        node = self.host.application.logics["Volumes"].AddArchetypeVolume(str(self.file), VOLUME, 0)
        self.host.process_events(0.1)
        self.host.show_volume(node)
        self.picture("panel-ready")
        self.host.click(self.ui.segmentButton)
        self.host.wait_until(lambda: self.ui.progressBar.value > 300 or not self.panel.jobs.busy)
        self.picture("panel-running")
        self.wait()
        self.ui.show3DButton.checked = True
        self.host.process_events(3.0)
        self.picture("panel")
        self.ui.show3DButton.checked = False
        self.ui.uncertaintyOverlayCheckBox.checked = True
        self.host.click(self.ui.reviewButton)
        self.picture("panel-review")
        self.ui.uncertaintyOverlayCheckBox.checked = False

    def offer_openvino(self):
        """What stands below the button where OpenVINO is not installed."""
        told, openvino_package.installed_version = openvino_package.installed_version, lambda: ""
        self.open("inputSection")
        self.panel.openvino.ranBy({"device": "cpu", "engine": "torch-channels-last float32"})
        self.picture("panel-openvino", views=False)
        self.host.click(self.ui.openvinoNotNowButton)
        openvino_package.installed_version = told

    def segment_again(self):
        """What the model made is updated; what was changed since is asked for."""
        segmentation = self.panel.parameters.segmentation
        bite(segmentation, find_by_name(segmentation, STRUCTURE), self.panel.parameters.volume)
        self.open("inputSection", "outputSection", "resultsSection")
        self.host.click(self.ui.segmentButton)
        self.host.process_events(0.2)
        question = self.panel.output.question
        self.picture("panel-update", views=False, widget=question.box)
        self.click(question.updateButton)
        self.picture("panel-updated")

    def correct(self):
        """A bite is taken out of a structure and put back: by a box, by a lasso, by a click of the effect."""
        self.open("correctSection")
        segmentation, volume = self.ui.correctSelector.currentNode(), self.panel.parameters.volume
        segment = find_by_name(segmentation, STRUCTURE)
        self.ui.correctSelector.setCurrentSegmentID(segment)
        for tool, place in (("box", self.place_box), ("lasso", self.place_lasso)):
            view, (x, y) = self.look_at(bite(segmentation, segment, volume))
            self.ui.correctToolComboBox.setCurrentIndex(self.ui.correctToolComboBox.findData(tool))
            self.host.click(self.ui.correctAddButton)
            place(Mouse(self.host, view), x, y)
            self.host.process_events(0.3)
            self.host.click(self.ui.correctAddButton)
        ras = bite(segmentation, segment, volume)
        self.look_at(ras)
        self.picture("correct-panel")
        self.correct_in_the_effect(segmentation, segment, volume, ras)

    def place_box(self, mouse, x, y):
        mouse.click(x - 45, y - 45)
        mouse.move(x + 45, y + 45)
        self.picture("correct-box")
        mouse.click(x + 45, y + 45)

    def place_lasso(self, mouse, x, y):
        for dx, dy in ((-45, -35), (0, -55), (45, -35), (45, 35), (0, 55)):
            mouse.click(x + dx, y + dy)
        mouse.move(x - 45, y + 35)
        self.picture("correct-lasso")
        mouse.double_click(x - 45, y + 35)

    def correct_in_the_effect(self, segmentation, segment, volume, ras):
        self.host.complete_startup()
        editor = self.host.open_segment_editor(segmentation, volume)
        editor.setCurrentSegmentID(segment)
        editor.setActiveEffectByName("DeepSegment Fix")
        editor.resize(480, 620)
        editor.show()
        view, place = self.look_at(ras)
        mouse = Mouse(self.host, view)
        mouse.move(*place)
        self.host.process_events(0.3)
        self.picture("correct-preview", widget=editor)
        mouse.click(*place)
        self.host.process_events(0.2)
        self.picture("correct-after", widget=editor)
        editor.setActiveEffectByName("")
        editor.hide()

    def look_at(self, ras):
        """Show a place near by in all slice views; the axial view, and where the place is in it."""
        views = self.host.open_views()
        for name in ("Red", "Green", "Yellow"):
            views[name].node.JumpSliceByCentering(*ras)
            views[name].node.SetFieldOfView(90, 110, 1)
        return views["Red"], place_of(views["Red"].node, ras)

    def save_and_load(self):
        """The scene as a bundle, closed and loaded: segments, millilitres and settings are back."""
        scene = self.host.application.scene
        with tempfile.TemporaryDirectory() as folder:
            scene.SaveSceneToSlicerDataBundleDirectory(folder, None)
            scene.Clear(0)
            self.host.process_events(0.2)
            scene.SetURL(str(next(Path(folder).glob("*.mrml"))))
            scene.Connect()
            self.host.process_events(0.5)
        self.host.show_volume(self.panel.parameters.volume)
        self.open("inputSection", "resultsSection")
        self.picture("panel-loaded")

    def measure(self):
        self.click(self.ui.measureButton)
        self.picture("panel-measured")

    def export(self):
        """Three formats to one folder, and one of them twice, which asks."""
        self.open("exportSection")
        with tempfile.TemporaryDirectory() as folder:
            self.ui.exportFolderButton.directory = folder
            for kind in ("seg-nrrd", "nifti", "csv", "csv"):
                self.ui.exportFormatComboBox.setCurrentIndex(self.ui.exportFormatComboBox.findData(kind))
                self.click(self.ui.exportButton)
            self.picture("panel-export", views=False)
            self.click(self.ui.exportReplaceButton)

    def batch(self):
        """A folder with a file that is no volume; a double click opens the result of the other."""
        self.open("batchSection")
        with tempfile.TemporaryDirectory() as folder:
            shutil.copy(self.file, Path(folder) / "head 1.nii.gz")
            (Path(folder) / "broken.nii.gz").write_bytes(b"no volume")
            self.ui.batchFolderButton.directory = folder
            self.click(self.ui.batchFolderRunButton)
            names = [self.ui.batchTable.item(row, 0).text() for row in range(self.ui.batchTable.rowCount)]
            unwrap(self.ui.batchTable).cellDoubleClicked.emit(names.index("head 1.nii.gz"), 0)
            self.host.process_events(0.5)
            self.picture("panel-batch")

    def everything(self):
        """All sections on light and dark."""
        self.open(*SECTIONS)
        before = self.host.qt.palette()
        self.picture("panel-more", views=False)
        self.host.qt.setPalette(dark_palette())
        self.picture("panel-dark", views=False)
        self.host.qt.setPalette(before)

    def walk(self):
        self.segment()
        self.offer_openvino()
        self.correct()
        self.segment_again()
        self.save_and_load()
        self.measure()
        self.export()
        self.batch()
        self.everything()
        self.widget.cleanup()


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
    Tour(Path(sys.argv[1]), Path(sys.argv[2])).walk()
