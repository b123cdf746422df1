"""The command `deepsegment models`: its actions, a few in each module beside."""

from .actions import add_models_options, models

__all__ = ["add_models_options", "models"]
