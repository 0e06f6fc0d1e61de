"""Fixtures for the tests of reading."""

from __future__ import annotations

from collections.abc import Iterator

import h5py
import nibabel as nib
import numpy as np
import pytest

from .faults.scan import VALUES, make
from .reading import Reading


@pytest.fixture(scope="session")
def reading(tmp_path_factory) -> Iterator[Reading]:
    """Reads a file or folder in a child process with a bound on memory."""
    folder = tmp_path_factory.mktemp("warm")
    make(VALUES[:3]).save(folder / "dicom")
    nib.Nifti1Image(VALUES[:3], np.eye(4)).to_filename(folder / "image.nii.gz")
    with h5py.File(folder / "image.h5", "w") as file:
        file["image"] = VALUES[:3]
    reader = Reading([folder / "dicom", folder / "image.nii.gz", folder / "image.h5"])
    yield reader
    reader.close()
