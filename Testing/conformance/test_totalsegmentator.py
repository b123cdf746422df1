"""TotalSegmentator's weights: a model of several parts."""

from typing import ClassVar

from foreign_models.totalsegmentator import task_named, write_weights

from conformance.suite import ModelSuite, cut, lost

CHECKPOINT = "checkpoint_final.pth"


class TestTwoParts(ModelSuite):
    kind = "TotalSegmentator model"
    damages: ClassVar = {
        "a checkpoint cut": cut(CHECKPOINT, r"checkpoint_final\.pth.*get the checkpoint again"),
        "no checkpoint": lost(CHECKPOINT, r"checkpoint_final\.pth|fold"),
        "plans cut": cut("plans.json", r"plans\.json"),
        "no plans": lost("plans.json", r"plans\.json"),
    }

    @staticmethod
    def make(folder):
        task = task_named("totalseg-total_mr")
        return [write_weights(folder, task, number) for number in task.datasets]
