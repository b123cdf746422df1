"""A walk through the list of models in pictures: find "liver", read, get, choose, segment. In the test host.

python Testing/host/model_tour.py Resources/Screenshots

The models come from a server on this machine, and no address of the web is asked: the list and its words are the real
ones, the weights are made by `phantom.py`.
"""

import os
import sys
import tempfile
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(REPOSITORY), str(REPOSITORY / "Testing")]

from local_web.offers import LocalCatalogue, slowly, zipped

from host.application import dark_palette, start
from host.phantom import MODEL, write_network, write_phantom

SECTIONS = ("outputSection", "resultsSection", "correctSection", "exportSection", "batchSection", "advancedSection")
LIMITED = "totalseg-brain_aneurysm"
ORGANS = ("spleen", "kidney", "gallbladder", "liver", "stomach", "lung lower", "heart", "aorta", "vertebra L1")


class ModelTour:
    """One visit of a user without models.

    Args:
        scratch: A folder for the user's models, the server's files and the phantom.
        folder: Where the pictures go.
    """

    def __init__(self, scratch, folder):
        self.folder, self.scratch = folder, scratch
        (scratch / "weights").mkdir()
        write_network(scratch / "weights")
        archive = zipped(scratch / "weights")
        self.offers = LocalCatalogue(scratch / "offers")
        self.offers.offer(MODEL, slowly(archive, 3.0), size=len(archive))
        os.environ |= {**self.offers.environment, "DEEPSEGMENT_MODELS": str(scratch / "models")}
        self.host = start()
        self.widget, self.module = self.host.load_module(REPOSITORY / "DeepSegment" / "DeepSegment.py")
        self.panel, self.ui = self.widget.panel, self.widget.panel.ui

    def picture(self, name, *, views=False, widget=None):
        self.host.screenshot(self.folder / f"models-{name}.png", widget or self.module, views=views)

    def choose(self, name):
        self.panel.models.choose(name)
        self.host.process_events(0.1)

    def search(self):
        """What there is for the liver."""
        path = self.scratch / "trunk.nrrd"
        write_phantom(path)
        node = self.host.application.logics["Volumes"].AddArchetypeVolume(str(path), "CT trunk", 0)
        node.CreateDefaultDisplayNodes()
        node.GetDisplayNode().SetAutoWindowLevel(False)
        node.GetDisplayNode().SetWindowLevel(450, 50)
        for name in SECTIONS:
            getattr(self.ui, name).collapsed = True
        self.host.process_events(0.2)
        self.host.show_volume(node)
        self.ui.modelSearchBox.text = "liver"
        self.choose(MODEL)
        self.picture("search")

    def ask(self):
        """A licence that is not for every use is asked before anything is downloaded."""
        self.ui.modelSearchBox.text = "aneurysm"
        self.choose(LIMITED)
        self.host.click(self.ui.getModelButton)
        self.host.process_events(0.2)
        box = self.panel.bringing.question.box
        self.picture("licence", widget=box)
        self.host.click(box.defaultButton())

    def get(self):
        """The download, and what is said at its end."""
        self.ui.modelSearchBox.text = "liver"
        self.choose(MODEL)
        self.host.click(self.ui.getModelButton)
        self.host.wait_until(lambda: self.ui.modelProgressBar.value > 300 or not self.panel.bringing.jobs.busy, 120)
        self.picture("download")
        self.host.wait_until(lambda: not self.panel.bringing.jobs.busy, 300)
        self.host.process_events(0.3)
        self.picture("here")

    def choose_segments(self):
        """The organs that the phantom has."""
        self.host.click(self.ui.subsetButton)
        self.host.click(self.ui.subsetNoneButton)
        for words in ORGANS:
            self.ui.subsetSearchBox.text = words
            self.host.click(self.ui.subsetAllButton)
        self.ui.subsetSearchBox.text = "cyst"
        self.host.click(self.ui.subsetNoneButton)
        self.ui.subsetSearchBox.text = "kidney"
        self.host.process_events(0.1)
        self.picture("subset")
        self.host.click(self.ui.subsetButton)

    def segment(self):
        """Named and coded segments."""
        self.host.click(self.ui.segmentButton)
        self.host.wait_until(lambda: not self.panel.jobs.busy, 300)
        self.host.process_events(0.5)
        self.ui.show3DButton.checked = True
        self.host.process_events(3.0)
        self.picture("segments", views=True)

    def dark(self):
        before = self.host.qt.palette()
        self.host.qt.setPalette(dark_palette())
        self.host.process_events(0.1)
        self.panel.refresh()
        self.module.resize(400, 900)
        self.host.process_events(0.2)
        self.picture("dark")
        self.host.qt.setPalette(before)

    def walk(self):
        self.search()
        self.ask()
        self.get()
        self.choose_segments()
        self.segment()
        self.dark()
        self.widget.cleanup()
        self.offers.close()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="deepsegment-tour-") as scratch:
        ModelTour(Path(scratch), Path(sys.argv[1])).walk()
