"""Where slices lie."""

from __future__ import annotations

import numpy as np
import pydicom
from pydicom.uid import generate_uid

from .case import case
from .scan import SLICES, STEP, VALUES, make, put_raw


@case("GAP")
def slice_missing():
    scan = make()
    del scan.slices[5]
    return scan


@case("UNEVEN", "GAP")
def step_doubles():
    heights = [n * STEP if n < 6 else (6 + 2 * (n - 6)) * STEP for n in range(SLICES)]
    return make(heights=heights)


@case()
def gantry_tilt():
    return make(shear=(0.0, np.tan(np.radians(15)), 0.0))


@case()
def slice_twice():
    scan = make()
    copy = pydicom.Dataset(scan.slices[5])
    copy.file_meta = scan.slices[5].file_meta
    scan.slices.insert(8, copy)
    return scan


@case("DUPLICATE", "UNEVEN-TIME")
def place_twice():
    scan = make()
    other = make(VALUES[::-1]).slices[5]
    other.ImagePositionPatient = scan.slices[5].ImagePositionPatient
    other.SOPInstanceUID = other.file_meta.MediaStorageSOPInstanceUID = generate_uid(entropy_srcs=["other"])
    scan.slices.append(other)
    return scan


@case("GEOMETRY")
def spacing_missing():
    scan = make()
    for dataset in scan.slices:
        del dataset.PixelSpacing
    return scan


@case("GEOMETRY")
def orientation_missing():
    scan = make()
    for dataset in scan.slices:
        del dataset.ImageOrientationPatient
    return scan


@case("GEOMETRY")
def position_missing_once():
    scan = make()
    del scan.slices[4].ImagePositionPatient
    return scan


@case("GEOMETRY")
def decimal_comma():
    scan = make()
    for dataset in scan.slices:
        put_raw(dataset, "PixelSpacing", "0,8\\0,7")
    return scan


@case("GEOMETRY")
def position_nan():
    scan = make()
    put_raw(scan.slices[6], "ImagePositionPatient", "nan\\21.5\\55")
    return scan


@case("GEOMETRY")
def orientation_skew():
    scan = make()
    for dataset in scan.slices:
        dataset.ImageOrientationPatient = [1, 0, 0, 0.3, 0.954, 0]
    return scan


@case("TRUNCATED", "PIXELS", "DAMAGED")
def file_cut_off():
    scan = make()
    scan.cut[7] = 500
    return scan
