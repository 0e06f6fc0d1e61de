"""Synthetic DICOM series, each with one property that readers get wrong, and the truth about each. No patient's data.

A scan is made right, with its truth; a case then changes one thing. The truth is told plane by plane, by the equation
of PS3.3 C.7.6.2.1.1, without the geometry of any library.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pydicom
from pydicom.datadict import dictionary_VR
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.tag import Tag
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
    generate_uid,
)

__all__ = ["CASES", "Case", "Scan", "Truth", "compare", "make", "put_raw"]

AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
SAGITTAL = (0.0, 1.0, 0.0, 0.0, 0.0, -1.0)
OBLIQUE = tuple(np.linalg.qr(np.random.default_rng(1).normal(size=(3, 3)))[0][:2].ravel())
ROWS_APART, COLUMNS_APART, STEP = 0.8, 0.7, 2.5
ORIGIN = (-13.25, 21.5, 40.0)
SLICES, ROWS, COLUMNS = 24, 20, 28
VALUES = np.random.default_rng(0).integers(0, 4096, (SLICES, ROWS, COLUMNS)).astype(np.int16)
CT, MR, PET, ENHANCED_CT = (f"1.2.840.10008.5.1.4.1.1.{end}" for end in ("2", "4", "128", "2.1"))


@dataclass
class Truth:
    """A plane: its values, and the centres of its four corner pixels in RAS+ mm, by rows: (0, 0), (0, last), ..."""

    values: np.ndarray
    corners: np.ndarray


@dataclass
class Scan:
    """Data sets on their way to files, and what they show; `planes` is (t, z) where there are several volumes."""

    slices: list[Dataset]
    planes: list[list[Truth]]
    names: list[str] = field(default_factory=list)
    cut: dict[int, int] = field(default_factory=dict)
    """Bytes to cut off the end of files, by their number."""
    extra: list[list[Truth]] = field(default_factory=list)
    """Planes of further images in the folder, which must never be mixed with the others."""

    def save(self, folder: Path) -> list[Path]:
        folder.mkdir(parents=True, exist_ok=True)
        names = self.names or [f"IM{number:04d}.dcm" for number in range(len(self.slices))]
        paths = [folder / name for name in names]
        for number, (dataset, path) in enumerate(zip(self.slices, paths, strict=True)):
            dataset.save_as(path, enforce_file_format=True)
            if number in self.cut:
                content = path.read_bytes()
                path.write_bytes(content[: len(content) - self.cut[number]])
        return paths


@dataclass(frozen=True)
class Case:
    """One fault.

    Parameters
    ----------
    build
        Makes the scan.
    codes
        Refusals that are right. Without any, the image must be right.
    tolerance
        Of the place of corners in mm.
    needs
        Module that writes the transfer syntax.
    instance_matters
        Whether instance numbers order the volumes in time.
    """

    build: Callable[[], Scan]
    codes: tuple[str, ...] = ()
    tolerance: float = 2e-3
    needs: str = ""
    instance_matters: bool = False


CASES: dict[str, Case] = {}


def make(
    values: np.ndarray = VALUES,
    *,
    orientation: Sequence[float] = AXIAL,
    heights: Sequence[float] | None = None,
    shear: Sequence[float] = (0.0, 0.0, 0.0),
    storage: str = CT,
    series: str = "series",
    first: int = 0,
) -> Scan:
    """A scan without fault: slices at `heights` along row x column, each moved by `shear` times its height."""
    row, column = np.array(orientation[:3]), np.array(orientation[3:])
    normal = np.cross(row, column)
    slices, truth = [], []
    for number, pixels in enumerate(values):
        height = number * STEP if heights is None else heights[number]
        position = np.array(ORIGIN) + height * (normal + np.array(shear))
        corners = [
            position + row * COLUMNS_APART * x + column * ROWS_APART * y
            for y in (0, pixels.shape[0] - 1)
            for x in (0, pixels.shape[1] - 1)
        ]
        truth.append(Truth(pixels.astype(np.float64) - 1024, np.array(corners) * [-1, -1, 1]))
        slices.append(_dataset(pixels, orientation, position, storage, series, first + number))
    return Scan(slices, [truth])


def _dataset(pixels, orientation, position, storage, series, number):
    dataset = Dataset()
    dataset.SOPClassUID = storage
    dataset.SOPInstanceUID = generate_uid(entropy_srcs=[series, str(number)])
    dataset.StudyInstanceUID = generate_uid(entropy_srcs=["study"])
    dataset.SeriesInstanceUID = generate_uid(entropy_srcs=[series])
    dataset.FrameOfReferenceUID = generate_uid(entropy_srcs=["frame"])
    dataset.Modality = {MR: "MR", PET: "PT"}.get(storage, "CT")
    dataset.PatientName, dataset.PatientID = "Nobody^Synthetic", "SYNTHETIC"
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"] if storage != MR else ["ORIGINAL", "PRIMARY", "M"]
    dataset.SeriesNumber, dataset.InstanceNumber = 1, number + 1
    dataset.ImageOrientationPatient = [round(float(v), 12) for v in orientation]
    dataset.ImagePositionPatient = [round(float(v), 6) for v in position]
    dataset.PixelSpacing = [ROWS_APART, COLUMNS_APART]
    dataset.SliceThickness = STEP
    dataset.Rows, dataset.Columns = pixels.shape
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 16, 16, 15, 1
    dataset.RescaleSlope, dataset.RescaleIntercept = 1, -1024
    dataset.PixelData = np.ascontiguousarray(pixels, dtype="<i2").tobytes()
    dataset["PixelData"].VR = "OW"
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = storage, dataset.SOPInstanceUID
    dataset.file_meta = meta
    return dataset


def put_raw(dataset: Dataset, keyword: str, text: str) -> None:
    """Set an element to text that pydicom itself would refuse to write."""
    tag = Tag(keyword)
    value = text.encode("latin-1") + b" " * (len(text) % 2)
    dataset[tag] = RawDataElement(tag, dictionary_VR(tag), len(value), value, 0, False, True)


def compare(image, planes: list[list[Truth]], tolerance: float = 2e-3) -> str:
    """What is wrong with an image; nothing if each plane has its values and its corners where they belong.

    Planes may run along z in either direction, as long as the affine goes with them.
    """
    data = image.data.numpy()
    data = data if data.ndim == 4 else data[None]
    expected = (len(planes), len(planes[0]), *planes[0][0].values.shape)
    if data.shape != expected:
        return f"shape {data.shape}, not {expected}"
    if image.affine is None:
        return "no affine"
    truth = np.array([[plane.values for plane in volume] for volume in planes])
    off, planes = min(
        ((float(np.abs(data - truth[:, ::way]).max()), [volume[::way] for volume in planes]) for way in (1, -1)),
        key=lambda pair: pair[0],
    )
    if not off <= 1e-6 * max(1.0, float(np.abs(truth).max())):
        return f"values off by {off:g}"
    rows, columns = expected[2:]
    for volume in planes:
        for z, plane in enumerate(volume):
            index = np.array([[x, y, z, 1] for y in (0, rows - 1) for x in (0, columns - 1)], dtype=float)
            distance = float(np.linalg.norm((index @ image.affine.T)[:, :3] - plane.corners, axis=1).max())
            if not distance <= tolerance:
                return f"plane {z} is {distance:.4g} mm away from its place"
    return ""


def case(*codes: str, tolerance: float = 2e-3, needs: str = "", instance_matters: bool = False):
    def register(build: Callable[[], Scan]) -> Callable[[], Scan]:
        full = tuple(f"RECON-DICOM-{code}" for code in codes)
        CASES[build.__name__] = Case(build, full, tolerance, needs, instance_matters)
        return build

    return register


# --- nothing wrong, or nothing that matters ---------------------------------------------------------------------------


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


# --- how values are stored --------------------------------------------------------------------------------------------


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


# --- transfer syntaxes ------------------------------------------------------------------------------------------------


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

    return _encapsulated(JPEG2000Lossless, lambda p: jpeg2k_encode(p, 0, codecformat="J2K", bitspersample=12))


@case(needs="imagecodecs")
def jpeg_lossless():
    from imagecodecs import ljpeg_encode

    return _encapsulated(JPEGLosslessSV1, lambda p: ljpeg_encode(p, bitspersample=12))


def _encapsulated(uid, encode):
    scan = _syntax(uid)
    for dataset, pixels in zip(scan.slices, VALUES, strict=True):
        dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 12, 11, 0
        dataset.PixelData = encapsulate([bytes(encode(pixels.astype(np.uint16)))])
        dataset["PixelData"].VR = "OB"
        dataset["PixelData"].is_undefined_length = True
    return scan


# --- where slices lie -------------------------------------------------------------------------------------------------


@case("GAP")
def slice_missing():
    scan = make()
    del scan.slices[11]
    return scan


@case("UNEVEN", "GAP")
def step_doubles():
    heights = [n * STEP if n < 16 else (16 + 2 * (n - 16)) * STEP for n in range(SLICES)]
    return make(heights=heights)


@case()
def gantry_tilt():
    return make(shear=(0.0, np.tan(np.radians(15)), 0.0))


@case()
def slice_twice():
    scan = make()
    copy = pydicom.Dataset(scan.slices[5])
    copy.file_meta = scan.slices[5].file_meta
    scan.slices.insert(9, copy)
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
    put_raw(scan.slices[12], "ImagePositionPatient", "nan\\21.5\\70")
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


# --- what belongs together --------------------------------------------------------------------------------------------


@case("AMBIGUOUS")
def two_series():
    scan = make()
    other = make(VALUES[:, ::-1], series="other", first=100)
    for dataset in other.slices:
        dataset.SeriesNumber = 2
    scan.slices += other.slices
    scan.extra = other.planes
    return scan


@case()
def localizer_inside():
    scan = make()
    localizer = make(VALUES[:1, ::-1], orientation=(1, 0, 0, 0, 0, -1), first=200).slices[0]
    localizer.ImageType = ["ORIGINAL", "PRIMARY", "LOCALIZER"]
    scan.slices.insert(0, localizer)
    return scan


@case("GRID", "AMBIGUOUS")
def two_matrix_sizes():
    scan = make(VALUES[:12])
    rest = make(VALUES[12:, :10, :14], heights=[n * STEP for n in range(12, 24)], first=12)
    scan.slices += rest.slices
    return scan


@case("MIXED", "AMBIGUOUS")
def two_echoes():
    scan, other = make(storage=MR), make(VALUES[:, ::-1], storage=MR, first=100)
    for dataset in scan.slices:
        dataset.EchoTime, dataset.EchoNumbers = 4.92, 1
    for dataset in other.slices:
        dataset.EchoTime, dataset.EchoNumbers = 7.38, 2
    scan.slices += other.slices
    scan.extra = other.planes
    return scan


@case("MIXED", "AMBIGUOUS")
def magnitude_and_phase():
    scan, other = make(storage=MR), make(VALUES[:, ::-1], storage=MR, first=100)
    for dataset in other.slices:
        dataset.ImageType = ["ORIGINAL", "PRIMARY", "P"]
    scan.slices += other.slices
    scan.extra = other.planes
    return scan


def _volumes(count, mark):
    scan = Scan([], [])
    for t in range(count):
        volume = make(np.roll(VALUES, t, axis=1), storage=MR, first=t * SLICES)
        for dataset in volume.slices:
            mark(dataset, t)
        scan.slices += volume.slices
        scan.planes += volume.planes
    return scan


@case()
def volumes_by_temporal_position():
    def mark(dataset, t):
        dataset.TemporalPositionIdentifier = t + 1

    return _volumes(3, mark)


@case(instance_matters=True)  # as measured, since tables of gradients go by that
def volumes_by_b_value():
    def mark(dataset, t):
        dataset.DiffusionBValue = [0.0, 500.0, 1000.0][t]

    return _volumes(3, mark)


@case(instance_matters=True)
def volumes_by_instance_number():
    return _volumes(3, lambda dataset, t: None)


@case("UNEVEN-TIME", "GAP", "DUPLICATE")
def last_volume_cut_short():
    def mark(dataset, t):
        dataset.TemporalPositionIdentifier = t + 1

    scan = _volumes(3, mark)
    del scan.slices[-9:]
    return scan


# --- many slices in a file --------------------------------------------------------------------------------------------


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
