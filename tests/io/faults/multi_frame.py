"""Many slices in one file: enhanced multi-frame images and Siemens mosaics."""

from __future__ import annotations

import struct

import numpy as np
from pydicom.dataset import Dataset

from .case import case
from .scan import (
    AXIAL,
    COLUMNS,
    COLUMNS_APART,
    ENHANCED_CT,
    MR,
    ORIGIN,
    ROWS,
    ROWS_APART,
    SLICES,
    STEP,
    VALUES,
    Scan,
    make,
)


@case()
def enhanced_multi_frame():
    """Frames in disorder, each with an intercept of its own; orientation and spacing shared."""
    scan = make()
    order = np.random.default_rng(6).permutation(SLICES)
    whole = scan.slices[0]
    whole.SOPClassUID = whole.file_meta.MediaStorageSOPClassUID = ENHANCED_CT
    shared = Dataset()
    shared.PlaneOrientationSequence = [_item(ImageOrientationPatient=list(AXIAL))]
    shared.PixelMeasuresSequence = [_item(PixelSpacing=[ROWS_APART, COLUMNS_APART], SliceThickness=STEP)]
    shared.CTImageFrameTypeSequence = [_item(FrameType=["ORIGINAL", "PRIMARY", "VOLUME", "NONE"])]
    frames = []
    for number in order:
        frame = Dataset()
        frame.PlanePositionSequence = [_item(ImagePositionPatient=list(scan.slices[number].ImagePositionPatient))]
        frame.PixelValueTransformationSequence = [
            _item(RescaleSlope=2, RescaleIntercept=-1000 - int(number), RescaleType="HU")
        ]
        frames.append(frame)
        plane = scan.planes[0][number]
        plane.values = (plane.values + 1024) * 2 - 1000 - int(number)
    for name in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "RescaleSlope", "RescaleIntercept"):
        delattr(whole, name)
    whole.ImageType = ["ORIGINAL", "PRIMARY", "VOLUME", "NONE"]
    whole.SharedFunctionalGroupsSequence, whole.PerFrameFunctionalGroupsSequence = [shared], frames
    whole.NumberOfFrames = SLICES
    whole.PixelData = VALUES[order].astype("<i2").tobytes()
    return Scan([whole], scan.planes)


def _item(**elements):
    item = Dataset()
    for name, value in elements.items():
        setattr(item, name, value)
    return item


def _csa(elements: dict[str, list[str]]) -> bytes:
    """Siemens' private header, in the layout of its second version."""
    out = b"SV10\4\3\2\1" + struct.pack("<II", len(elements), 77)
    for name, values in elements.items():
        out += struct.pack("<64si4siii", name.encode(), len(values), b"FD", 4, max(6, len(values)), 77)
        for value in [*values, *[""] * (6 - len(values))]:
            text = value.encode() + b"\0" if value else b""
            out += struct.pack("<4i", len(text), len(text), 77, len(text)) + text + b"\0" * (-len(text) % 4)
    return out


def _mosaic(direction):
    """Nine slices as tiles of a 3 x 3 mosaic, along or against row x column."""
    scan = make(VALUES[:9], heights=[direction * n * STEP for n in range(9)], storage=MR)
    whole = scan.slices[0]
    whole.Manufacturer = "SIEMENS"
    whole.ImageType = ["ORIGINAL", "PRIMARY", "M", "ND", "MOSAIC"]
    whole.Rows, whole.Columns = 3 * ROWS, 3 * COLUMNS
    # The position of a mosaic is that of an image of its size around the same centre.
    centre = np.array([COLUMNS_APART * COLUMNS, ROWS_APART * ROWS, 0.0])
    whole.ImagePositionPatient = [round(float(v), 6) for v in np.array(ORIGIN) - centre]
    tiles = VALUES[:9].reshape(3, 3, ROWS, COLUMNS).transpose(0, 2, 1, 3).reshape(3 * ROWS, 3 * COLUMNS)
    whole.PixelData = np.ascontiguousarray(tiles, dtype="<i2").tobytes()
    whole.SpacingBetweenSlices = STEP
    normal = ["0.00000000", "0.00000000", f"{direction:.8f}"]
    block = whole.private_block(0x0029, "SIEMENS CSA HEADER", create=True)
    block.add_new(0x10, "OB", _csa({"NumberOfImagesInMosaic": ["9"], "SliceNormalVector": normal}))
    return scan


@case()
def mosaic():
    scan = _mosaic(1)
    return Scan(scan.slices[:1], scan.planes)


@case()
def mosaic_reversed():
    """Tiles from head to feet, against row x column."""
    scan = _mosaic(-1)
    return Scan(scan.slices[:1], scan.planes)
