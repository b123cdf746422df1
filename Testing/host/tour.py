"""Pictures of the panel for README and tutorial, made in the test host with real views.

python Testing/host/tour.py .cache/colin27/ch2.nii.gz Resources/Screenshots
"""

import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(REPOSITORY), str(REPOSITORY / "Testing")]

from host.application import start


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
    host.wait_until(lambda: ui.progressBar.value > 300 or not widget.panel.worker.busy)
    host.screenshot(folder / "panel-running.png", panel)
    host.wait_until(lambda: not widget.panel.worker.busy)
    host.process_events(0.2)
    ui.show3DButton.checked = True
    host.process_events(0.2)
    host.screenshot(folder / "panel.png", panel)

    ui.show3DButton.checked = False
    ui.uncertaintyOverlayCheckBox.checked = True
    host.click(ui.reviewButton)
    host.screenshot(folder / "panel-review.png", panel)

    ui.uncertaintyOverlayCheckBox.checked = False
    ui.inputSection.collapsed = ui.resultsSection.collapsed = True
    for section in (ui.outputSection, ui.exportSection, ui.batchSection, ui.advancedSection):
        section.collapsed = False
    host.screenshot(folder / "panel-more.png", panel, views=False)
    widget.cleanup()


if __name__ == "__main__":
    main()
