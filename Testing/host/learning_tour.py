"""A walk through the sections Project and Train in pictures: from drawn cases to a model in use. In the test host.

python Testing/host/learning_tour.py FOLDER Resources/Screenshots

FOLDER holds `images` and `labels`, files of the same names: the hippocampus of the Medical Segmentation Decathlon.
"""

import os
import sys
import tempfile
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(REPOSITORY), str(REPOSITORY / "Testing")]

from DeepSegmentLib.data import Segment
from DeepSegmentLib.files.segmentations.labelmaps import read_labelmap
from DeepSegmentLib.hosts.mrml.segmentations.nodes import add_segments, new_segmentation
from DeepSegmentLib.hosts.mrml.segmentations.segments import Origin
from host.application import dark_palette, start

SEGMENTS = (Segment("Anterior hippocampus", 1, (216, 101, 79)), Segment("Posterior hippocampus", 2, (128, 174, 128)))
CASES, MINUTES = 8, 1.5
SECTIONS = (
    "inputSection", "outputSection", "resultsSection", "correctSection", "exportSection", "batchSection",
    "advancedSection",
)  # fmt: skip


class LearningTour:
    """One visit of somebody who has a few cases.

    Args:
        source: Folder with images and labels.
        scratch: Folder for the project and the models.
        folder: Where the pictures go.
    """

    def __init__(self, source, scratch, folder):
        self.source, self.scratch, self.folder = source, scratch, folder
        os.environ["DEEPSEGMENT_MODELS"] = str(scratch / "models")
        self.host = start()
        self.widget, self.module = self.host.load_module(REPOSITORY / "DeepSegment" / "DeepSegment.py")
        self.panel, self.ui = self.widget.panel, self.widget.panel.ui
        for name in SECTIONS:
            getattr(self.ui, name).collapsed = True
        self.ui.projectSection.collapsed = self.ui.trainSection.collapsed = False
        self.ui.projectFolderButton.directory = str(scratch / "hippocampus")

    def picture(self, name, *, views=False, widget=None):
        self.host.screenshot(self.folder / f"{name}.png", widget or self.module, views=views)

    def wait(self, seconds=300):
        self.host.wait_until(lambda: not self.panel.jobs.busy and not self.panel.training.jobs.busy, seconds)
        self.host.process_events(0.3)

    def click(self, button):
        self.host.click(button)
        self.wait()

    def collect(self):
        """Cases as they are once somebody has drawn them."""
        box = self.ui.projectStatusComboBox
        for n, image in enumerate(sorted((self.source / "images").glob("*.nii.gz"))[:CASES]):
            node = self.host.application.logics["Volumes"].AddArchetypeVolume(str(image), f"scan {n + 1}", 0)
            labels = read_labelmap(self.source / "labels" / image.name)
            segmentation = new_segmentation(self.host.application.scene, node, f"scan {n + 1} segmentation")
            add_segments(segmentation, labels.layers[0], labels.geometry, SEGMENTS, Origin())
            self.panel.showSegmentation(node, segmentation)
            box.setCurrentIndex(box.findData("approved" if n < CASES - 1 else "draft"))
            self.ui.projectPatientEdit.text = f"patient {n + 1}"
            self.click(self.ui.collectButton)
        self.host.show_volume(node)
        self.picture("panel-project", views=True)

    def train(self):
        self.ui.projectSection.collapsed = True
        self.ui.trainingComboBox.setCurrentIndex(self.ui.trainingComboBox.count - 1)
        self.ui.trainingParentComboBox.setCurrentIndex(0)
        self.ui.trainingNameEdit.text = "hippocampus"
        self.ui.trainingMinutesSpinBox.value = MINUTES
        self.picture("panel-train-new")
        self.host.click(self.ui.trainButton)
        self.host.wait_until(lambda: self.ui.samplesLabel.isVisible() and self.ui.trainingProgressBar.value > 500, 400)
        self.host.process_events(0.5)
        self.picture("panel-training", views=True)
        self.click(self.ui.trainButton)
        self.picture("panel-paused")
        self.click(self.ui.trainButton)
        self.picture("panel-trained")

    def promote(self):
        """Not compared, then compared, then in use."""
        self.click(self.ui.promoteButton)
        question = self.panel.training.compare.question
        self.picture("panel-not-proven", widget=question.box)
        question.box.reject()
        self.click(self.ui.compareButton)
        self.picture("panel-compared")
        self.click(self.ui.promoteButton)
        self.picture("panel-promoted")

    def walk(self):
        self.collect()
        self.train()
        self.promote()
        self.ui.projectSection.collapsed = False
        self.host.qt.setPalette(dark_palette())
        self.picture("panel-learning-dark")
        self.widget.cleanup()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch:
        LearningTour(Path(sys.argv[1]), Path(scratch), Path(sys.argv[2])).walk()
