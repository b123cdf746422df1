#!/bin/sh
# Export real cases as an nnU-Net dataset, and let nnU-Net itself verify, plan and preprocess it.
#
#     Testing/benchmarks/check_nnunet_export.sh DATA NNUNET [WORK]
#
# DATA: folder with ct and mr (see CONTRIBUTING.md). NNUNET: an environment of its own with PyPI's nnunetv2 (pip install
# torch==2.13.0 nnunetv2). WORK: where datasets go, made anew; a temporary folder by default. `deepsegment` must be on the
# path, or DEEPSEGMENT be the command. One case is added, one brings new labels, one (of another modality) finds the dataset as
# others make it, one is replaced.
set -eu
data=$1
nnunet=$2/bin
work=${3:-$(mktemp -d)}
deepsegment=${DEEPSEGMENT:-deepsegment}
rm -rf "$work/raw" "$work/preprocessed"
mkdir -p "$work/raw" "$work/preprocessed" "$work/results"
dataset=$work/raw/Dataset501_Export
add() { $deepsegment export "$@" --to nnunet --output "$dataset"; }
add "$data/ct/example_ct_sm.nii.gz" "$data/ct/example_seg.nii.gz" --channel-name intensity
add "$data/ct/example_ct.nii.gz" "$data/ct/example_seg_fast_force_split.nii.gz" --new-labels
# As others make datasets: the cases are what lies in imagesTr.
python3 - "$dataset/dataset.json" <<'END'
import json, sys
document = json.load(open(sys.argv[1]))
del document["dataset"]
json.dump(document, open(sys.argv[1], "w"))
END
add "$data/mr/example_mr_sm.nii.gz" "$data/mr/example_seg_mr.nii.gz" --new-labels
add "$data/ct/example_ct_sm.nii.gz" "$data/ct/example_seg.nii.gz" --replace
export nnUNet_raw="$work/raw" nnUNet_preprocessed="$work/preprocessed" nnUNet_results="$work/results"
"$nnunet/nnUNetv2_plan_and_preprocess" -d 501 --verify_dataset_integrity -c 3d_fullres -np 1 -npfp 1
ls "$work/preprocessed/Dataset501_Export"/*
