"""Transfer syntaxes."""

from __future__ import annotations

import numpy as np
from pydicom.encaps import encapsulate
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)

from .case import case
from .scan import VALUES, make

__all__ = ["encapsulated"]


def _syntax(uid):
    scan = make()
    for dataset in scan.slices:
        dataset.file_meta.TransferSyntaxUID = uid
    return scan


def _compressed(uid, **options):
    scan = make()
    for dataset in scan.slices:
        dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 12, 11, 0
        instance = dataset.SOPInstanceUID
        dataset.compress(uid, generate_instance_uid=False, **options)
        assert dataset.SOPInstanceUID == instance
    return scan


@case()
def implicit_vr():
    return _syntax(ImplicitVRLittleEndian)


@case()
def big_endian():
    scan = _syntax(ExplicitVRBigEndian)
    for dataset, pixels in zip(scan.slices, VALUES, strict=True):
        dataset.PixelData = pixels.astype(">i2").tobytes()
    return scan


@case()
def deflated():
    return _syntax(DeflatedExplicitVRLittleEndian)


@case()
def rle():
    return _compressed(RLELossless)


@case(needs="jpeg_ls")
def jpeg_ls():
    return _compressed(JPEGLSLossless)


@case(needs="imagecodecs")
def jpeg2000():
    from imagecodecs import jpeg2k_encode

    return encapsulated(JPEG2000Lossless, lambda p: jpeg2k_encode(p, 0, codecformat="J2K", bitspersample=12))


@case(needs="imagecodecs")
def jpeg_lossless():
    from imagecodecs import ljpeg_encode

    return encapsulated(JPEGLosslessSV1, lambda p: ljpeg_encode(p, bitspersample=12))


def encapsulated(uid, encode, values=VALUES):
    """A scan whose slices, of 12 bits, are compressed one by one."""
    scan = make(values)
    for dataset, pixels in zip(scan.slices, values, strict=True):
        dataset.file_meta.TransferSyntaxUID = uid
        dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 12, 11, 0
        dataset.PixelData = encapsulate([bytes(encode(pixels.astype(np.uint16)))])
        dataset["PixelData"].VR = "OB"
        dataset["PixelData"].is_undefined_length = True
    return scan
