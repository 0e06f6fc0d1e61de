"""Synthetic files of one multi-frame object, by a change of their header; no patient's data."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pydicom.data import get_testdata_file

from recon_datasets.dicom_series import DicomError, DicomReader, write_slices

__all__ = ["ORIENTATIONS", "VALUES", "bundled", "code", "lps", "plate", "read", "whole"]

RNG = np.random.default_rng(3)
VALUES = RNG.integers(0, 3000, (6, 5, 7)).astype(np.int16)
STORAGE = "1.2.840.10008.5.1.4.1.1."
OBLIQUE = np.linalg.qr(RNG.normal(size=(3, 3)))[0]
ORIENTATIONS = {
    "axial": (1, 0, 0, 0, 1, 0),
    "prone": (-1, 0, 0, 0, 1, 0),
    "coronal": (1, 0, 0, 0, 0, -1),
    "oblique": (*OBLIQUE[0], *OBLIQUE[1]),
}


def bundled(name):
    """A file that pydicom brings."""
    return Path(get_testdata_file(name, download=False))


def read(path, **options):
    return DicomReader(**options).read(path)


def code(path, **options):
    """The code of a refusal."""
    with pytest.raises(DicomError) as error:
        read(path, **options)
    assert "Nobody" not in str(error.value)
    return error.value.code.removeprefix("RECON-DICOM-")


def whole(folder, end, change, values=VALUES, name="series", **options):
    """One multi-frame file of a storage class, by a change of its header."""

    def enlarge(dataset, number):
        dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = STORAGE + end
        dataset.PixelRepresentation = 0
        if len(values) > 1:
            dataset.NumberOfFrames = len(values)
        dataset.PixelData = values.tobytes()
        change(dataset)

    return write_slices(folder, values[:1], name=name, intercept=0, change=enlarge, **options)[0]


def lps(affine, index):
    """A voxel's place in DICOM's axes."""
    return (np.asarray(affine) @ [*index, 1])[:3] * [-1, -1, 1]


def plate(**changes):
    """What makes a radiograph of a slice."""

    def change(dataset):
        for name in ("ImageOrientationPatient", "ImagePositionPatient", "PixelSpacing", "SliceThickness"):
            delattr(dataset, name)
        dataset.Modality = "DX"
        for name, value in changes.items():
            setattr(dataset, name, value)

    return change
