"""Good files, their bytes flipped at random, and what an independent reader makes of the result."""

from __future__ import annotations

import gzip
import warnings
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import h5py
import nibabel as nib
import numpy as np
import pydicom
import pytest
from pydicom.uid import JPEGBaseline8Bit

from .faults.catalogue import CASES
from .faults.comparison import compare
from .faults.scan import VALUES, Truth, make
from .faults.syntaxes import encapsulated

__all__ = ["KINDS", "Kind", "disagreement", "mutants"]

FEW = VALUES[:4]


@dataclass(frozen=True)
class Kind:
    """A file, and where its bytes are flipped.

    Parameters
    ----------
    build
        Makes the file in a folder.
    begin, end
        Offsets of the first byte that is flipped, and of the one behind the last.
    packed
        Whether bytes are flipped before the file is gzipped.
    oracle
        Says what is wrong with an image that was read from the file; nothing if it is right.
    """

    build: Callable[[Path], Path]
    begin: Callable[[bytes], int] = lambda content: 0
    end: Callable[[bytes], int] = len
    packed: bool = False
    oracle: Callable[[Path, object], str] | None = None


def mutants(kind: Kind, folder: Path, count: int, seed: list[int]) -> Iterator[Path]:
    """Files with one to four bytes flipped, one in ten of them cut off as well. Each is overwritten by the next."""
    generator = np.random.default_rng(seed)
    path = kind.build(folder)
    content = path.read_bytes()
    content = gzip.decompress(content) if kind.packed else content
    begin, end = kind.begin(content), kind.end(content)
    for _ in range(count):
        mutant = bytearray(content)
        for at in generator.integers(begin, end, generator.integers(1, 5)):
            new = generator.integers(256) if generator.random() < 0.5 else mutant[at] ^ (1 << generator.integers(8))
            mutant[at] = new
        if generator.random() < 0.1:
            del mutant[generator.integers(1, len(mutant)) :]
        path.write_bytes(gzip.compress(mutant, 1) if kind.packed else mutant)
        yield path


def disagreement(kind: Kind, path: Path, image) -> str | None:
    """What is wrong with an image; None where the independent reader itself makes nothing of the file."""
    assert kind.oracle is not None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return kind.oracle(path, image)
        except AssertionError:
            raise
        except Exception:  # noqa: BLE001 - on damage, readers raise almost anything
            return None


# --- oracles ----------------------------------------------------------------------------------------------------------


def _by_pydicom(path: Path, image) -> str:
    """Each frame where its own header says, by PS3.3 C.7.6.2.1.1."""
    whole = pydicom.dcmread(path)
    if whole.HighBit != whole.BitsStored - 1:
        raise ValueError("pydicom takes the lowest bits wherever the highest lies")
    pixels = whole.pixel_array
    if pixels.ndim == 2:
        planes = [_plane(pixels, [whole])]
    else:
        shared = whole.SharedFunctionalGroupsSequence[0]
        frames = whole.PerFrameFunctionalGroupsSequence
        planes = [_plane(p, [*_items(f), *_items(shared), whole]) for p, f in zip(pixels, frames, strict=True)]
    if image.affine is None:
        return "no affine"
    planes.sort(key=lambda plane: float(plane.corners[0] @ image.affine[:3, 2]))
    image.data = image.data.reshape(-1, *image.data.shape[-2:])
    return compare(image, [planes], tolerance=0.05)


def _items(groups):
    return [element.value[0] for element in groups if element.VR == "SQ" and element.value]


def _plane(pixels, headers) -> Truth:
    def field(name):
        return np.array(next(header[name].value for header in headers if name in header), dtype=float)

    row, column = (v / np.linalg.norm(v) for v in field("ImageOrientationPatient").reshape(2, 3))
    down, across = field("PixelSpacing")
    corners = [
        field("ImagePositionPatient") + row * across * x + column * down * y
        for y in (0, pixels.shape[0] - 1)
        for x in (0, pixels.shape[1] - 1)
    ]
    known = any("RescaleSlope" in header for header in headers)
    slope, intercept = (field("RescaleSlope"), field("RescaleIntercept")) if known else (1, 0)
    return Truth(pixels.astype(np.float64) * slope + intercept, np.array(corners) * [-1, -1, 1])


def _tiles_by_pydicom(path: Path, image) -> str:
    whole = pydicom.dcmread(path)
    count, rows, columns = image.data.shape
    values = whole.pixel_array * float(whole.get("RescaleSlope", 1)) + float(whole.get("RescaleIntercept", 0))
    across = values.shape[1] // columns
    tiles = values.reshape(-1, rows, across, columns).swapaxes(1, 2).reshape(-1, rows, columns)[:count]
    return "" if np.allclose(image.data.numpy(), tiles, rtol=1e-6) else "tiles differ"


def _by_nibabel(path: Path, image) -> str:
    oracle = nib.load(path)
    values = oracle.get_fdata() if np.isrealobj(oracle.dataobj) else np.asarray(oracle.dataobj)
    while values.ndim > 3 and values.shape[-1] == 1:
        values = values[..., 0]
    if image.data.numpy().T.shape != values.shape:
        return f"shape {image.data.shape}"
    if not np.allclose(image.data.numpy().T, values, rtol=1e-5, equal_nan=True):
        return "values differ"
    form, code = (oracle.get_sform, "sform_code") if oracle.header["sform_code"] else (oracle.get_qform, "qform_code")
    if not oracle.header[code]:
        return "" if image.affine is None else "an affine out of nothing"
    scale = {1: 1000.0, 3: 0.001}.get(int(oracle.header["xyzt_units"]) & 7, 1.0)
    affine = np.diag([scale, scale, scale, 1]) @ form()
    return "" if np.allclose(image.affine, affine, rtol=1e-5, atol=1e-4) else "affine differs"


def _by_h5py(path: Path, image) -> str:
    with h5py.File(path) as file:
        (name,) = file
        values, affine = file[name][()], file[name].attrs.get("affine")
    if not np.array_equal(image.data.numpy(), values):
        return "values differ"
    return "" if affine is None or np.array_equal(image.affine, affine) else "affine differs"


def _whole(path: Path, image) -> str:
    """Whatever was decoded fills the matrix and fits the bits that the header, which is whole, declares."""
    header = pydicom.dcmread(path, stop_before_pixels=True)
    low = float(header.RescaleIntercept)
    high = low + 2.0**header.BitsStored - 1
    if image.data.shape[-2:] != (header.Rows, header.Columns):
        return f"shape {image.data.shape}"
    return "" if low <= float(image.data.min()) and float(image.data.max()) <= high else "values beyond the bits"


# --- files ------------------------------------------------------------------------------------------------------------


def _pixels_begin(content: bytes) -> int:
    return content.index(b"\xe0\x7f\x10\0") + 12


def _first_of(name: str) -> Callable[[Path], Path]:
    def build(folder: Path) -> Path:
        case = CASES[name]
        if case.needs:
            pytest.importorskip(case.needs)
        scan = case.build()
        del scan.slices[1:]
        return scan.save(folder)[0]

    return build


def _jpeg(folder: Path) -> Path:
    codecs = pytest.importorskip("imagecodecs")
    scan = encapsulated(JPEGBaseline8Bit, lambda p: codecs.jpeg8_encode((p >> 4).astype(np.uint8)), FEW[:1])
    for dataset in scan.slices:
        dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 8, 8, 7
    return scan.save(folder)[0]


def _plain(folder: Path) -> Path:
    return make(VALUES[:1]).save(folder)[0]


def _archive(folder: Path) -> Path:
    path = folder / "scan.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for slice_path in make(VALUES[:3]).save(folder / "scan"):
            archive.write(slice_path, slice_path.name)
    return path


def _nifti(suffix: str) -> Callable[[Path], Path]:
    def build(folder: Path) -> Path:
        nib.Nifti1Image(FEW, np.diag([2, 2, 2, 1])).to_filename(folder / f"seed{suffix}")
        return folder / f"seed{suffix}"

    return build


def _hdf5(folder: Path) -> Path:
    with h5py.File(folder / "seed.h5", "w") as file:
        file.create_dataset("image", data=FEW, chunks=(1, 20, 28), compression="gzip", shuffle=True)
        file["image"].attrs["affine"] = np.eye(4)
    return folder / "seed.h5"


def _pixels_of(build: Callable[[Path], Path]) -> Kind:
    return Kind(build, begin=_pixels_begin, oracle=_whole)


KINDS = {
    "dicom": Kind(_plain, end=_pixels_begin, oracle=_by_pydicom),
    "implicit": Kind(_first_of("implicit_vr"), end=lambda c: c.index(b"\xe0\x7f\x10\0") + 8, oracle=_by_pydicom),
    "deflated": Kind(_first_of("deflated"), oracle=_by_pydicom),
    "rle": Kind(_first_of("rle"), end=_pixels_begin, oracle=_by_pydicom),
    "enhanced": Kind(_first_of("enhanced_multi_frame"), end=_pixels_begin, oracle=_by_pydicom),
    "mosaic": Kind(_first_of("mosaic"), end=_pixels_begin, oracle=_tiles_by_pydicom),
    "zip": Kind(_archive),
    "nifti": Kind(_nifti(".nii"), end=lambda _: 352, oracle=_by_nibabel),
    "nifti_gz": Kind(_nifti(".nii.gz"), end=lambda _: 352, oracle=_by_nibabel),
    "nifti_in_gz": Kind(_nifti(".nii.gz"), end=lambda _: 352, packed=True, oracle=_by_nibabel),
    "hdf5": Kind(_hdf5, oracle=_by_h5py),
    "rle_pixels": _pixels_of(_first_of("rle")),
    "jpeg_pixels": _pixels_of(_jpeg),
    "jpeg_lossless_pixels": _pixels_of(_first_of("jpeg_lossless")),
    "jpeg_ls_pixels": _pixels_of(_first_of("jpeg_ls")),
    "jpeg2000_pixels": _pixels_of(_first_of("jpeg2000")),
}
"""Headers of each format, and compressed pixels of each codec."""
