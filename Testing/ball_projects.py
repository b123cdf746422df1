"""Noisy volumes with two balls, a project of them, and a recipe that learns them in seconds."""

from dataclasses import replace

import numpy as np

from DeepSegmentLib.data import Geometry, LabelMap, Segment, Volume
from DeepSegmentLib.files.projects import create_project
from DeepSegmentLib.networks.model_spec import Channel
from DeepSegmentLib.service.projects.project import Collecting, collect_case
from DeepSegmentLib.service.training.case_recipe import write_case_recipe
from DeepSegmentLib.service.training.train import plan_training
from DeepSegmentLib.service.training.watch import Watch

BALLS = (Segment("Bright ball", 1), Segment("Dark ball", 2))


def ball_case(seed, shape=(16, 18, 20)):
    """Two balls side by side, one bright and one dark, on a noisy ground."""
    rng = np.random.default_rng(seed)
    place = np.indices(shape).astype(float)
    middles = rng.uniform((6, 7, 4), (9, 10, 5)), rng.uniform((6, 7, 14), (9, 10, 16))
    labels = np.zeros(shape, np.uint8)
    for value, middle in zip((2, 1), middles, strict=True):
        labels[((place - middle[:, None, None, None]) ** 2).sum(0) < 12] = value
    voxels = rng.normal(0, 0.3, shape) + np.choose(labels, [0, 2, -2])
    geometry = Geometry.from_spacing(shape, (1, 1, 1))
    return Volume(voxels[None].astype(np.float32), geometry), LabelMap(labels[None], geometry, BALLS)


def ball_project(folder):
    """A project of six approved cases of three patients."""
    create_project(folder, "balls", (Channel("T1w", "MR"),))
    for seed in range(6):
        volume, labels = ball_case(seed)
        collect_case(folder, volume, labels, Collecting(status="approved", patient=f"patient {seed // 2}"))
    return folder


def small_recipe(request, **training):
    """Plan a training and write its recipe with a small network, as a person would change it."""
    recipe = plan_training(request, Watch())
    part = recipe.model.parts[0]
    (stage,) = part.stages
    if recipe.parent is None:
        network = replace(stage.network, features=(4, 8), kernel_sizes=stage.network.kernel_sizes[:2],
                          strides=stage.network.strides[:2], encoder_blocks=(1, 1), decoder_blocks=(1,))  # fmt: skip
        stage = replace(stage, patch_shape=(16, 16, 16), network=network)
    model = replace(recipe.model, parts=(replace(part, stages=(stage,)),))
    training = replace(recipe.training, **{"batch_size": 2, "learning_rate": 0.01, **training})
    changed = replace(recipe, model=model, training=training)
    write_case_recipe(changed, request.folder / "recipe.json")
    return changed
