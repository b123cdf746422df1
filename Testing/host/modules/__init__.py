"""Look-alikes of Slicer's own modules: scripted modules, Segment Editor, subject hierarchy, Sample Data."""
