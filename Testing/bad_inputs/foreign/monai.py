"""MONAI bundles and Auto3DSeg checkpoints that must be refused: name, maker, and what the message must say."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from foreign_models.bundles import INFERENCE, write_auto3dseg, write_bundle

from .pickles import CALLS, CANARY, attack, zip_format
from .sources import attacks, edited, files_of, odd_files, odd_json, with_files

_INFERENCE, _METADATA, _WEIGHTS = "configs/inference.json", "configs/metadata.json", "models/model.pt"


@cache
def bundle() -> dict[str, bytes]:
    """A sound bundle."""
    return files_of(write_bundle)


@cache
def auto3dseg() -> dict[str, bytes]:
    """A sound Auto3DSeg model."""
    return files_of(write_auto3dseg)


def _inference(place: str, value: Any) -> Callable[[Path], Path]:
    return lambda d: with_files(d, bundle(), {_INFERENCE: edited(bundle()[_INFERENCE], place, value)})


def _metadata(place: str, value: Any) -> Callable[[Path], Path]:
    return lambda d: with_files(d, bundle(), {_METADATA: edited(bundle()[_METADATA], place, value)})


def _touch(folder: Path) -> str:
    return f"__import__('pathlib').Path({str(folder / CANARY)!r}).touch()"


def _expression(place: str) -> Callable[[Path], Path]:
    """A `$` that would leave the canary, where a value is needed."""
    return lambda d: _inference(place, f"${_touch(d)}")(d)


def _yaml(text: Callable[[Path], str]) -> Callable[[Path], Path]:
    """A bundle whose configuration is YAML."""
    return lambda d: with_files(d, bundle(), {_INFERENCE: None, "configs/inference.yaml": text(d).encode()})


def _sound_yaml() -> str:
    return json.dumps(INFERENCE)  # JSON is YAML, too


BUNDLES = {
    **attacks(bundle, _WEIGHTS),
    **odd_files(bundle, _WEIGHTS),
    **odd_files(bundle, _INFERENCE),
    **odd_files(bundle, _METADATA),
    **odd_json(bundle, _INFERENCE),
    **{name: entry for name, entry in odd_json(bundle, _METADATA).items() if "holds nothing" not in name},
    "a network that is subprocess.run": (_inference("network_def/_target_", "subprocess.run"), r"subprocess\.run"),
    "a transform that is os.system": (
        _inference("preprocessing/transforms/1", {"_target_": "os.system", "command": "true"}),
        r"os\.system",
    ),
    "a last step that is builtins.eval": (
        _inference("postprocessing/transforms/0", {"_target_": "builtins.eval", "source": "1"}),
        r"builtins\.eval",
    ),
    "a handler that is subprocess.Popen": (
        _inference("handlers/0", {"_target_": "subprocess.Popen", "args": ["true"]}),
        r"subprocess\.Popen",
    ),
    "a transform that takes a program": (
        _inference("preprocessing/transforms/1", {"_target_": "Lambdad", "keys": "image", "func": "$print"}),
        "Lambdad",
    ),
    "a network of another's module": (_inference("network_def/_target_", "scripts.evil.UNet"), r"scripts\.evil"),
    "an expression as channels": (_expression("network_def/in_channels"), "expression .*__import__.* never done"),
    "an expression as patch": (_expression("inferer/roi_size"), "expression .*__import__.* never done"),
    "an expression as spacing": (
        _expression("preprocessing/transforms/3/pixdim"),
        "expression .*__import__.* never done",
    ),
    "a reference to itself": (_inference("network_def/out_channels", "@network_def#out_channels"), "circle|too deep"),
    "a reference to nothing": (_inference("network_def/out_channels", "@nowhere#at_all"), "refers to nothing"),
    "an expression of 9^9^9": (_inference("network_def/out_channels", "$9**9**9**9"), "expression|out_channels"),
    "weights elsewhere": (
        _inference("checkpointloader/load_path", "/etc/passwd"),
        "passwd|outside|out of the folder|load_path",
    ),
    "weights above": (
        _inference("checkpointloader/load_path", "$@bundle_root + '/../../model.pt'"),
        r"\.\.|outside|out of the folder",
    ),
    "an inferer of nothing": (_inference("inferer", ""), r"inference\.json.*_target_ is needed, got ''"),
    "channels of nothing": (_inference("network_def/channels", ""), r"inference\.json.*channels"),
    "an axis code of 10^6 letters": (
        _inference("preprocessing/transforms/2/axcodes", "a" * 10**6),
        "(?s)^.{,2000}$",
    ),
    "10^9 channels": (_inference("network_def/channels", [10**9] * 3), "channels|features|inference"),
    "a patch of 10^9": (_inference("inferer/roi_size", [10**9] * 3), "patch"),
    "a spacing of 0": (_inference("preprocessing/transforms/3/pixdim", [0.0, 1.0, 1.0]), "pixdim"),
    "a Python tag in YAML": (
        _yaml(lambda d: f"network_def: !!python/object/apply:os.system ['touch {d / CANARY}']\n"),
        r"YAML tag 'python/object/apply:os\.system'",
    ),
    "a Python name in YAML": (_yaml(lambda _: "a: !!python/name:os.system\n"), "YAML tag 'python/name:os.system'"),
    "a tag of its own in YAML": (_yaml(lambda _: "a: !evil x\n"), "YAML tag '!evil'"),
    "a number as an argument in YAML": (
        _yaml(lambda _: _sound_yaml().replace('"spatial_dims"', "5")),
        r"inference\.yaml: UNet with 5",
    ),
    "a billion laughs in YAML": (
        _yaml(lambda _: "a: &a [x]\n" + "".join(f"{chr(98 + n)}: &{chr(98 + n)} [*{chr(97 + n)}, *{chr(97 + n)}]\n"
                                                 for n in range(20))),
        "YAML anchor or alias",
    ),
    "YAML that is deep": (_yaml(lambda _: "[" * 5000), r"inference\.yaml"),
    "a class of a million names": (
        _metadata("network_data_format/outputs/pred/channel_def", {str(n): str(n) for n in range(60_000)}),
        "metadata|channel_def|channels|segments",
    ),
}  # fmt: skip


def _damaged() -> bytes:
    """A zip file whose data.pkl cannot be unpacked."""
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", b"normalize_mode" * 99)
    start = 30 + len("archive/data.pkl")
    return written.getvalue()[:start] + b"\xff" * 9 + written.getvalue()[start + 9 :]


def _config(**changes: Any) -> Callable[[Path], Path]:
    """An Auto3DSeg model with another configuration."""
    return lambda d: write_auto3dseg(d, **changes)


AUTO3DSEG = {
    **{
        f"model.pt with {call}": (
            lambda d, c=call: with_files(d, auto3dseg(), {"model.pt": zip_format(attack(c, d, key="normalize_mode"))}),
            f"model.pt wants to call.*{message}",
        )
        for call, (_, message) in CALLS.items()
    },
    **{name: entry for name, entry in odd_files(auto3dseg, "labels.csv").items() if "pipe" not in name},
    "a network that is subprocess.run": (
        _config(network={"_target_": "subprocess.run", "args": "true"}),
        r"subprocess\.run",
    ),
    "an expression as patch": (_config(roi_size="$__import__('os').system('true')"), "expression .*__import__"),
    "a patch of 10^9": (_config(roi_size=[10**9] * 3), "patch"),
    "model.pt that is packed and damaged": (
        lambda d: with_files(d, auto3dseg(), {"model.pt": _damaged()}),
        "is no model of a known kind",
    ),
    "a patch of words": (_config(roi_size="abc"), "roi_size|model.pt"),
    "a patch of nothing": (_config(roi_size=None), "roi_size|model.pt"),
    "bounds of nothing": (_config(intensity_bounds=None), "intensity_bounds|model.pt"),
    "a spacing of words": (_config(resample_resolution=["a", "b", "c"]), "resample_resolution|model.pt"),
    "a value of 5,000 digits": (
        lambda d: with_files(d, auto3dseg(), {"labels.csv": b"LabelValue,Name\n" + b"1" * 5000 + b",x\n"}),
        "labels.csv",
    ),
}
