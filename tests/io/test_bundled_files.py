"""The files that pydicom brings for its own tests, odd and broken ones among them: right by pydicom, or refused."""

import warnings
from pathlib import Path

import numpy as np
import pydicom
import pytest

import recon
from recon.errors import CodedFileError

FOLDER = Path(pydicom.__file__).parent / "data" / "test_files"  # its function that looks them up downloads
FILES = sorted(path.relative_to(FOLDER).as_posix() for path in FOLDER.rglob("*") if path.is_file())
READ = {
    "693_J2KI.dcm",
    "CT_small.dcm",
    "J2K_pixelrep_mismatch.dcm",
    "MR_small.dcm",
    "MR_small_RLE.dcm",
    "MR_small_bigendian.dcm",
    "MR_small_expb.dcm",
    "MR_small_implicit.dcm",
    "MR_small_jp2klossless.dcm",
    "MR_small_jpeg_ls_lossless.dcm",
    "examples_overlay.dcm",
}
"""Images that must not be refused."""
SERIES = tuple(f"dicomdirtests/{study}" for study in ("77654033/CT", "98892001", "98892003"))
"""Folders of such images."""


def values(header):
    """Rows and columns of each frame, by pydicom's decoders."""
    pixels = header.pixel_array.astype(np.float64)
    if "DoseGridScaling" in header:
        return pixels * float(header.DoseGridScaling)
    return pixels * float(header.get("RescaleSlope", 1)) + float(header.get("RescaleIntercept", 0))


def corners(header, depth):
    """First and last pixel in RAS+ mm of the first and the last frame, by PS3.3 C.7.6.2.1.1 and C.8.8.3.2."""
    row, column = (v / np.linalg.norm(v) for v in np.array(header.ImageOrientationPatient, dtype=float).reshape(2, 3))
    offsets = np.array(header.get("GridFrameOffsetVector", [0]), dtype=float)
    first = np.array(header.ImagePositionPatient, dtype=float) + np.outer(
        offsets[[0, depth - 1]], np.cross(row, column)
    )
    down, across = map(float, header.PixelSpacing)
    last = first + row * across * (header.Columns - 1) + column * down * (header.Rows - 1)
    return np.concatenate([first, last]) * [-1, -1, 1]


@pytest.mark.parametrize("name", FILES)
def test_right_or_refused(name):
    path = FOLDER / name
    try:
        image = recon.read(path)
    except CodedFileError:
        assert name not in READ
        assert not name.startswith(SERIES)
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        header = pydicom.dcmread(path)
        expected = values(header)
    assert image.data.shape == expected.shape
    assert np.allclose(image.data.numpy(), expected, rtol=1e-6, atol=0)
    if "ImagePositionPatient" not in header:
        assert image.affine is None
        return
    depth = 1 if expected.ndim == 2 else len(expected)
    x, y, z = header.Columns - 1, header.Rows - 1, depth - 1
    index = np.array([[0, 0, 0, 1], [0, 0, z, 1], [x, y, 0, 1], [x, y, z, 1]])
    assert np.abs((index @ image.affine.T)[:, :3] - corners(header, depth)).max() < 2e-3


def test_the_files_are_there():
    assert len(FILES) > 150
    assert set(FILES) >= READ
