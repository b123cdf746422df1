"""Compare MONAI's own networks and pipelines with ours, on the same random weights.

Run from the repository's root, where monai is installed (`requirements/peers.txt`); takes two minutes::

    python Testing/benchmarks/models/monai_parity.py

The table goes to Testing/benchmarks/results/monai_parity.json and docs/monai-parity.md.
"""

from __future__ import annotations

import json
import sys
import tempfile
import warnings
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.ndimage import gaussian_filter

from DeepSegmentLib.data import Geometry, Volume
from DeepSegmentLib.files.models.folder import load_model
from DeepSegmentLib.files.models.importers.door import Words, importer_of
from DeepSegmentLib.files.models.importers.monai.convert import weights_for
from DeepSegmentLib.networks import runtime
from DeepSegmentLib.segmentation.predict import predict

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # examples that tests use, too
from foreign_models.monai_networks import AFTER, BEFORE, IMAGE, Pair, configuration, pairs, write_bundle

HERE = Path(__file__).resolve().parent
RESULTS = HERE.parent / "results" / "monai_parity.json"
PAGE = HERE.parents[2] / "docs" / "monai-parity.md"
SEED = 7


def compare_network(pair: Pair) -> dict[str, Any]:
    """One network: how far the logits are apart, and whether the largest is the same."""
    theirs = pair.theirs(SEED)
    ours = runtime.module_from_weights(pair.spec, weights_for(pair.spec, theirs.state_dict())).eval()
    patch = torch.randn(pair.shape, generator=torch.Generator().manual_seed(SEED))
    with torch.inference_mode():
        expected, logits = theirs(patch), ours(patch)
    return {
        "network": pair.name,
        "weights": sum(weight.numel() for weight in ours.parameters()),
        "largest_logit": float(expected.abs().max()),
        "largest_difference": float((logits - expected).abs().max()),
        "equal_labels": float((logits.argmax(1) == expected.argmax(1)).float().mean()),
    }


def example_volume() -> tuple[Any, Any]:
    """Blurred noise (i, j, k) with air at two sides, and an oblique, anisotropic affine."""
    voxels = gaussian_filter(np.random.default_rng(SEED).standard_normal((70, 76, 44)), 2.0) * 2500
    voxels[:7], voxels[:, -9:] = -1000, -1000
    cosine, sine = np.cos(0.15), np.sin(0.15)
    affine = np.eye(4)
    affine[:3, :3] = np.array([[-cosine, sine, 0], [-sine, -cosine, 0], [0, 0, 1]]) @ np.diag([1.0, 1.2, 2.6])
    return voxels.astype(np.float32), affine


def pipelines() -> dict[str, dict[str, Any]]:
    """Configurations like those of the model zoo."""
    crop = {"_target_": "CropForegroundd", **IMAGE, "source_key": "image", "margin": 2, "allow_smaller": True}
    mr = [*BEFORE[:4], {"_target_": "NormalizeIntensityd", **IMAGE, "nonzero": True, "channel_wise": True}]
    windows = {"_target_": "SlidingWindowInferer", "roi_size": [32, 32, 32], "overlap": 0.625, "mode": "gaussian"}
    late = [AFTER[0], AFTER[2], AFTER[1] | {"nearest_interp": True}]
    return {
        "UNet, CT, probabilities brought back": configuration(),
        "UNet, MR, Gaussian windows": configuration(
            preprocessing={"_target_": "Compose", "transforms": mr}, inferer=windows
        ),
        "UNet, CT, labels brought back": configuration(postprocessing={"_target_": "Compose", "transforms": late}),
        "UNet, crop to the foreground of the file's grid": configuration(
            preprocessing={"_target_": "Compose", "transforms": [*BEFORE[:3], BEFORE[4], crop]}
        ),
        "UNet, crop to the foreground of the network's grid": configuration(
            preprocessing={"_target_": "Compose", "transforms": [*BEFORE[:5], crop]}
        ),
        "SwinUNETR, CT": configuration(
            network_def={"_target_": "SwinUNETR", "in_channels": 1, "out_channels": 3, "feature_size": 12,
                         "downsample": "mergingv2"},
            inferer=windows | {"roi_size": [64, 64, 32]},
        ),
    }  # fmt: skip


def compare_pipeline(name: str, document: dict[str, Any], work: Path) -> dict[str, Any]:
    """One bundle: labels on the grid of the file, by MONAI and by us."""
    from monai.bundle import ConfigParser
    from monai.data import MetaTensor

    steps = [step for step in document["postprocessing"]["transforms"] if step["_target_"] != "SaveImaged"]
    load = document["preprocessing"]["transforms"][2:]
    parser = ConfigParser(
        document
        | {"postprocessing": {"_target_": "Compose", "transforms": steps}}
        | {"preprocessing": {"_target_": "Compose", "transforms": load}}
    )
    torch.manual_seed(SEED)
    network = parser.get_parsed_content("network_def").eval()
    for weight in network.parameters():
        if weight.ndim > 1:
            torch.nn.init.normal_(weight, std=1.5 / np.sqrt(weight[0].numel()))
    voxels, affine = example_volume()
    finish = parser.get_parsed_content("postprocessing")
    case = parser.get_parsed_content("preprocessing")({"image": MetaTensor(voxels[None], affine=affine)})
    with torch.no_grad():
        case["pred"] = parser.get_parsed_content("inferer")(case["image"][None], network)[0]
    expected = np.asarray(finish(case)["pred"])
    source = write_bundle(work / "bundle", document, state={"model": network.state_dict()})
    spec = importer_of([source]).convert([source], work / "model", Words())
    volume = Volume(voxels.transpose(2, 1, 0)[None], Geometry((44, 76, 70), affine[:, [2, 1, 0, 3]]), "example")
    found = predict(volume, spec, load_model(work / "model", "cpu").networks).label_map.layers
    labels = np.asarray(found).transpose(0, 3, 2, 1)
    return {"pipeline": name, "voxels": int(expected.size), "equal_labels": float((labels == expected).mean())}


def page(results: dict[str, Any]) -> str:
    """The tables as Markdown."""
    networks = "".join(
        f"| {row['network']} | {row['weights']:,} | {row['largest_logit']:.2g} | {row['largest_difference']:.1e} | "
        f"{100 * row['equal_labels']:.4g} % |\n"
        for row in results["networks"]
    )
    bundles = "".join(
        f"| {row['pipeline']} | {row['voxels']:,} | {100 * row['equal_labels']:.6g} % |\n"
        for row in results["pipelines"]
    )
    return (
        "# Agreement with MONAI\n\n"
        f"MONAI {results['monai']} and DeepSegment on the same random weights, torch {results['torch']} on the CPU, in "
        "float32. Made by `python Testing/benchmarks/models/monai_parity.py`.\n\n"
        "## Networks\n\nLogits of one random patch.\n\n"
        "| network | weights | largest logit | largest difference | same label |\n|---|---|---|---|---|\n"
        f"{networks}\n"
        "## Bundles\n\nWhole pipelines, run by MONAI's own configuration parser, transforms and sliding window, and "
        "by\nDeepSegment from the folder that the bundle was converted to; labels on the grid of an oblique,\n"
        "anisotropic volume.\n\n"
        f"| pipeline | voxels | same label |\n|---|---|---|\n{bundles}\n"
        "Where labels are brought back by the nearest voxel, both sides are as near for every tenth slice of this\n"
        "volume (2.6 mm from 2 mm), and MONAI takes the other one.\n\nA crop after `Spacingd` finds its box on the\n"
        "network's grid in MONAI and on the volume's grid here, so that windows lie up to a voxel apart. A network of\n"
        "random weights is very sensitive to that; [what else differs](monai-zoo.md).\n"
    )


def main() -> None:
    """Compare everything and write both files."""
    warnings.simplefilter("ignore")
    rows = [compare_network(pair) for pair in pairs()]
    bundles = []
    for name, document in pipelines().items():
        with tempfile.TemporaryDirectory() as work:
            bundles.append(compare_pipeline(name, document, Path(work)))
    results = {"monai": version("monai"), "torch": torch.__version__, "networks": rows, "pipelines": bundles}
    RESULTS.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    PAGE.write_text(page(results), encoding="utf-8")
    print(page(results))


if __name__ == "__main__":
    main()
