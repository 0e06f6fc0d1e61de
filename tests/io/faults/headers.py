"""Headers with nothing wrong, or with nothing that matters."""

from __future__ import annotations

import numpy as np

from .case import case
from .scan import OBLIQUE, SAGITTAL, SLICES, VALUES, make, put_raw


@case()
def plain():
    return make()


@case()
def instance_numbers_reversed():
    scan = make()
    for number, dataset in enumerate(scan.slices):
        dataset.InstanceNumber = SLICES - number
    return scan


@case()
def instance_numbers_shuffled():
    scan = make()
    for number, dataset in zip(np.random.default_rng(2).permutation(SLICES), scan.slices, strict=True):
        dataset.InstanceNumber = int(number)
    return scan


@case()
def instance_numbers_equal():
    scan = make()
    for dataset in scan.slices:
        dataset.InstanceNumber = 7
    return scan


@case()
def instance_numbers_absent():
    scan = make()
    for dataset in scan.slices:
        del dataset.InstanceNumber
    return scan


@case()
def names_shuffled():
    scan = make()
    scan.names = [f"{number:03d}.dcm" for number in np.random.default_rng(3).permutation(SLICES)]
    return scan


@case()
def names_without_suffix():
    scan = make()
    scan.names = [f"I{number}" for number in range(SLICES)]
    return scan


@case()
def sagittal():
    return make(orientation=SAGITTAL)


@case()
def oblique():
    return make(orientation=OBLIQUE)


@case(tolerance=0.1)
def orientation_of_three_decimals():
    scan = make(orientation=OBLIQUE)
    for dataset in scan.slices:
        dataset.ImageOrientationPatient = [round(float(v), 3) for v in OBLIQUE]
    return scan


@case()
def orientation_of_long_numbers():
    scan = make(orientation=OBLIQUE)
    for dataset in scan.slices:
        put_raw(dataset, "ImageOrientationPatient", "\\".join(f"{v:.17f}" for v in OBLIQUE))
    return scan


@case()
def positions_jitter_by_a_micron():
    scan = make()
    for dataset, off in zip(scan.slices, np.random.default_rng(4).uniform(-1e-3, 1e-3, (SLICES, 3)), strict=True):
        dataset.ImagePositionPatient = [round(float(v), 6) for v in np.array(dataset.ImagePositionPatient) + off]
    return scan


@case()
def slice_thickness_wrong():
    scan = make()
    for dataset in scan.slices:
        dataset.SliceThickness = 9
    return scan


@case()
def two_slices():
    return make(VALUES[:2])
