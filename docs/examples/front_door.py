"""From a head MR to a training case: segment, look, correct, export.

With what people have at hand: a path, SimpleITK, nibabel, arrays. After `make demo` and `make environment`, which
brings nibabel, it runs as it is (`.venv/bin/python docs/examples/front_door.py`); another head MR and a folder for the
results may be given as arguments. Editors that know `# %%` show it as a notebook.
"""

# %%
import sys
import time
from pathlib import Path

import nibabel
import numpy as np
import SimpleITK as sitk

from DeepSegmentLib import (
    CorrectionSession,
    CorrectionSettings,
    Point,
    correct,
    evaluate,
    export,
    load_model,
    measure,
    read_volume,
    segment,
    write_prompts,
)

path = Path(sys.argv[1] if len(sys.argv) > 1 else ".cache/colin27/ch2.nii.gz")
results = Path(sys.argv[2] if len(sys.argv) > 2 else "demo/front_door")

# %% [markdown]
# ## A model that stays loaded, a volume by its path

# %%
model = load_model("brain-mr")
started = time.monotonic()
by_path = segment(path, model, progress=True)
print(f"{time.monotonic() - started:.1f} s", by_path, sep="\n")
by_path.save(results / "head.seg.nrrd", replace=True)

# %% [markdown]
# ## The same from memory: SimpleITK, nibabel, an array with its affine

# %%
by_sitk = segment(sitk.ReadImage(str(path)), model)
image = nibabel.Nifti1Image.from_filename(path)
by_nibabel = segment(image, model)
by_array = segment((image.get_fdata(dtype=np.float32), image.affine), model, subset=["Thalamus"])
print("same labels:", np.array_equal(by_sitk.labels, by_path.labels), np.array_equal(by_nibabel.labels, by_path.labels))
print("axes of the array:", np.array_equal(by_array.masks["Thalamus"].T, by_path.masks["Thalamus"]))

# %% [markdown]
# ## Going on with it: masks by name, images in the same place, numbers

# %%
thalamus = by_path.masks["Thalamus"]
centre = by_path.geometry.index_to_ras(np.argwhere(thalamus).mean(axis=0))
print("thalamus around", centre.round(1), "mm RAS")
print("as SimpleITK:", by_path.to_sitk().GetSize(), "as nibabel:", by_path.to_nibabel().shape)
print({each.segment: round(each.volume_ml, 1) for each in measure(by_path, path)})

# %% [markdown]
# ## A click, and a session with a look beforehand and undo

# %%
click = Point("Thalamus", True, (-20, -28, 2))
better = correct(path, by_path, click, radius_mm=8, overwrite=True)
session = CorrectionSession(read_volume(path), by_path.label_map)
settings = CorrectionSettings(radius_mm=8, overwrite=True)  # it may take voxels of neighbours
print(session.preview(click, settings))
session.apply(click, settings)
session.undo()
session.redo()
print(session, np.array_equal(session.labels.layers, better.label_map.layers))
write_prompts(session.prompts, results / "clicks.json", replace=True)

# %% [markdown]
# ## How much it changed, and a case to train with

# %%
print({each.name: round(each.scores.dice, 3) for each in evaluate(by_path, better)})
report = export(
    path, better, results / "nnUNet_raw/Dataset501_Brain", "nnunet", case="head", channel_names=["T1w"], replace=True
)
print(*report["outputs"], sep="\n")
