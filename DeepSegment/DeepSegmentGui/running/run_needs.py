"""What a run will need and what there is, before it begins."""

from slicer.i18n import tr as _

from DeepSegmentGui.panel_words import panelWords
from DeepSegmentGui.running.segment_run import settingsOf


def runNeeds(parameters, entry, subset=None, *, loaded=False):
    """Memory and time of a run with these settings, or why it would be refused.

    Args:
        parameters: The settings; a volume is chosen.
        entry: `ModelEntry` of the model.
        subset: Names of the segments to make; None for all.
        loaded: Whether the worker has the model in memory, as after a run with it.
    """
    from DeepSegmentLib.errors import DeepSegmentError
    from DeepSegmentLib.files.models import read_spec
    from DeepSegmentLib.hosts.mrml.geometry import world_geometry
    from DeepSegmentLib.imaging.memory import available_memory_bytes
    from DeepSegmentLib.service.preflight import fitted

    try:
        settings = settingsOf(parameters, parameters.roi, subset)
        _spec, needs = fitted(read_spec(entry.path), world_geometry(parameters.volume), settings, parameters.device)
    except DeepSegmentError as error:
        return panelWords(str(error))
    return needsText(needs, available_memory_bytes(), loaded=loaded)


def needsText(needs, freeBytes, *, loaded=False):
    """What a run will need, from an `Estimate`, and what is free; nothing is said of the time of a first run."""
    text = _("Needs about {memory:.1f} GB").format(memory=needs.memory_bytes / 1e9)
    if needs.seconds is not None:
        seconds = needs.seconds - (needs.start_seconds if loaded else 0.0)
        text = _("{text}, about {seconds:.0f} s").format(text=text, seconds=max(1, seconds))
    return text if freeBytes is None else _("{text}; {free:.0f} GB are free.").format(text=text, free=freeBytes / 1e9)
