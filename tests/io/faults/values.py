"""How values are stored: slopes, tables, bits."""

from __future__ import annotations

import numpy as np
from pydicom.dataset import Dataset

from .case import case
from .scan import PET, VALUES, make, put_raw


@case()
def slope_fractional():
    scan = make()
    for dataset, plane in zip(scan.slices, scan.planes[0], strict=True):
        dataset.RescaleSlope, dataset.RescaleIntercept = 0.3125, -17.5
        plane.values = (plane.values + 1024) * 0.3125 - 17.5
    return scan


@case()
def slope_of_each_slice():
    scan = make(storage=PET)
    for number, (dataset, plane) in enumerate(zip(scan.slices, scan.planes[0], strict=True)):
        dataset.Units, dataset.RescaleIntercept = "BQML", 0
        dataset.RescaleSlope = 0.5 + number / 8
        plane.values = (plane.values + 1024) * (0.5 + number / 8)
    return scan


@case()
def rescale_absent():
    scan = make()
    for dataset, plane in zip(scan.slices, scan.planes[0], strict=True):
        del dataset.RescaleSlope, dataset.RescaleIntercept
        plane.values += 1024
    return scan


@case()
def monochrome1():
    scan = make()
    for dataset in scan.slices:
        dataset.PhotometricInterpretation = "MONOCHROME1"
    return scan


@case()
def overlay_in_unused_bits():
    scan = make()
    dirt = np.random.default_rng(5).integers(0, 16, VALUES.shape).astype(np.uint16) << 12
    for dataset, pixels, bits in zip(scan.slices, VALUES, dirt, strict=True):
        dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 12, 11, 0
        dataset.PixelData = (pixels.astype("<u2") | bits).astype("<u2").tobytes()
    return scan


@case()
def twelve_bits_signed():
    scan = make()
    for dataset, pixels, plane in zip(scan.slices, VALUES, scan.planes[0], strict=True):
        dataset.BitsStored, dataset.HighBit = 12, 11
        dataset.PixelData = ((pixels.astype("<i2") - 2048).view("<u2") & 0x0FFF).tobytes()
        plane.values -= 2048
    return scan


@case("RESCALE")
def slope_no_number():
    scan = make()
    put_raw(scan.slices[3], "RescaleSlope", "1,5")
    return scan


@case("RESCALE", "KIND")
def modality_table_cut_off():
    scan = make()
    for dataset in scan.slices:
        del dataset.RescaleSlope, dataset.RescaleIntercept
        table = Dataset()
        table.LUTDescriptor, table.ModalityLUTType = [4096, 0, 16], "HU"
        table["LUTDescriptor"].VR = "US"
        table.add_new("LUTData", "OW", np.arange(10, dtype="<u2").tobytes())
        dataset.ModalityLUTSequence = [table]
    return scan


@case()
def modality_table():
    scan = make()
    values = (np.arange(4096, dtype=np.int64) ** 2 % 60_000).astype("<u2")
    for dataset, pixels, plane in zip(scan.slices, VALUES, scan.planes[0], strict=True):
        del dataset.RescaleSlope, dataset.RescaleIntercept
        dataset.PixelRepresentation = 0
        table = Dataset()
        table.LUTDescriptor, table.ModalityLUTType = [4096, 0, 16], "US"
        table["LUTDescriptor"].VR = "US"
        table.add_new("LUTData", "OW", values.tobytes())
        dataset.ModalityLUTSequence = [table]
        plane.values = values[pixels].astype(np.float64)
    return scan
