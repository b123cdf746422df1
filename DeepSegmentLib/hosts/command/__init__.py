"""The command `deepsegment`: a module for each sub-command, and what they show in a terminal."""
