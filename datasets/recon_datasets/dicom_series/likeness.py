"""What a derived image takes over from the series that it was computed of: identity, acquisition, references."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue
from pydicom.tag import Tag
from pydicom.valuerep import validate_value

from recon.errors import CodedUsageError, FileFormatError
from recon_datasets.dicom_series.errors import DicomError
from recon_datasets.dicom_series.quiet import quiet

__all__ = ["Likeness", "code"]

_IDENTITY = (
    "SpecificCharacterSet", "PatientName", "PatientID", "IssuerOfPatientID", "PatientBirthDate", "PatientSex",
    "PatientAge", "PatientSize", "PatientWeight", "StudyInstanceUID", "StudyDate", "StudyTime", "StudyID",
    "StudyDescription", "AccessionNumber", "ReferringPhysicianName", "FrameOfReferenceUID",
    "PositionReferenceIndicator", "BodyPartExamined", "Laterality", "PatientPosition", "PatientIdentityRemoved",
    "DeidentificationMethod", "DeidentificationMethodCodeSequence", "LongitudinalTemporalInformationModified",
    "BurnedInAnnotation", "RecognizableVisualFeatures",
)  # fmt: skip
_ACQUISITION = ("AcquisitionDate", "AcquisitionTime", "AcquisitionNumber", "ContrastBolusAgent", "ContrastBolusRoute")
# Kernels, matrices and tilt belong to the source's reconstruction, not to this one.
_OF_CT = (
    "KVP", "DataCollectionDiameter", "DistanceSourceToDetector", "DistanceSourceToPatient", "TableHeight",
    "RotationDirection", "ExposureTime", "XRayTubeCurrent", "Exposure", "FilterType", "GeneratorPower", "FocalSpots",
    "RevolutionTime", "SingleCollimationWidth", "TotalCollimationWidth", "SpiralPitchFactor", "ExposureModulationType",
    "CTDIvol",
)  # fmt: skip
_OF_MR = (
    "ScanningSequence", "SequenceVariant", "ScanOptions", "MRAcquisitionType", "SequenceName", "AngioFlag",
    "RepetitionTime", "EchoTime", "InversionTime", "TriggerTime", "NumberOfAverages", "ImagingFrequency",
    "ImagedNucleus", "EchoNumbers", "MagneticFieldStrength", "EchoTrainLength", "PixelBandwidth", "FlipAngle", "SAR",
    "VariableFlipAngleFlag",
)  # fmt: skip
_EQUIPMENT = (
    "Manufacturer", "ManufacturerModelName", "SoftwareVersions", "DeviceSerialNumber", "StationName", "InstitutionName",
)  # fmt: skip
_USED = (
    "SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID", "SeriesNumber", "Modality", "ImagePositionPatient",
    "ImageOrientationPatient", "PixelSpacing", "SliceThickness", "Rows", "Columns", "NumberOfFrames", "BitsAllocated",
    "SamplesPerPixel", "TemporalPositionIdentifier", "LossyImageCompression", "LossyImageCompressionRatio",
    "LossyImageCompressionMethod",
)  # fmt: skip
_KEYWORDS = _IDENTITY + _ACQUISITION + _OF_CT + _OF_MR + _EQUIPMENT + _USED
"""The list of what is read at all: whatever else is in a file cannot get into another one."""

_LOSSY = {
    "1.2.840.10008.1.2.4.50": "ISO_10918_1",
    "1.2.840.10008.1.2.4.51": "ISO_10918_1",
    "1.2.840.10008.1.2.4.81": "ISO_14495_1",
    "1.2.840.10008.1.2.4.91": "ISO_15444_1",
}


@dataclass(frozen=True, slots=True, eq=False)
class Likeness:
    """The headers of one series, of which only what is on a list was read.

    Parameters
    ----------
    headers
        Sorted along the slices' normal.
    sizes
        Bytes of the files.
    """

    headers: tuple[Dataset, ...]
    sizes: tuple[int, ...]

    @classmethod
    def of(cls, path: Path) -> Likeness:
        """Read the headers of a file, or of all DICOM files in a folder.

        Raises
        ------
        DicomError
            If there is none, they are of several series, or one is damaged.
        """
        if not path.exists():
            raise FileFormatError(f"{path}, the series of `like`, does not exist")
        paths = [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file() and not p.is_symlink())
        found: list[tuple[Dataset, int]] = []
        for number, file in enumerate(paths, 1):
            with _guarded(f"file {number} of {path}" if path.is_dir() else str(path)):
                if _marked(file):
                    header = pydicom.dcmread(file, stop_before_pixels=True, specific_tags=[Tag(k) for k in _KEYWORDS])
                    if header.get("Modality") and header.get("SOPInstanceUID"):
                        header.decode()
                        found.append((header, file.stat().st_size))
        if not found:
            raise DicomError("RECON-DICOM-EMPTY", f"{path} holds no DICOM image; give the folder of the source series")
        count = len({str(header.get("SeriesInstanceUID")) for header, _ in found})
        if count > 1:
            raise DicomError(
                "RECON-DICOM-AMBIGUOUS", f"{path} holds {count} series; give the folder of the source alone"
            )
        with _guarded(str(path)):
            found.sort(key=lambda pair: _height(pair[0]))
        return cls(tuple(header for header, _ in found), tuple(size for _, size in found))

    @property
    def modality(self) -> str:
        """Modality of the series."""
        return str(self.headers[0].Modality)

    def common(self) -> dict[str, Any]:
        """Return the identity and the acquisition: what all slices agree on."""
        names = _IDENTITY + _ACQUISITION + {"CT": _OF_CT, "MR": _OF_MR}.get(self.modality, ())
        first, *others = self.headers
        return {
            name: first[name].value
            for name in names
            if name in first
            and _is_valid(first[name])
            and all(name in other and other[name].value == first[name].value for other in others)
        } | self._lossy()

    def equipment(self) -> Dataset:
        """Return the scanner, as an item of the contributing equipment."""
        item = Dataset()
        item.Manufacturer = "unknown"  # which must be there, with a value
        for name in _EQUIPMENT:
            if self.headers[0].get(name):
                item[name] = self.headers[0][name]
        item.PurposeOfReferenceCodeSequence = [code("109101", "Acquisition Equipment")]
        return item

    def series_number(self) -> int | None:
        """Return a number for the new series, out of the way of the scanner's."""
        number = self.headers[0].get("SeriesNumber")
        return None if number is None else int(number) + 1000

    def references(self, affine: np.ndarray, shape: tuple[int, ...]) -> list[list[list[Dataset]]]:
        """Return, for each volume and slice of a new image, items for the source slices that it cuts.

        Where the source tells positions in time, as many as there are volumes, each volume refers to its own.

        Parameters
        ----------
        affine
            Voxel index (x, y, z) to LPS mm.
        shape
            (t, z, y, x).

        Raises
        ------
        CodedUsageError
            If the new image lies beside the source: then it is none of it.
        """
        items = [self._item(header) for header in self.headers]
        if any(_plane(header) is None for header in self.headers):
            return [[items] * shape[1]] * shape[0]  # multi-frame objects: place is told by frame
        cuts = self._cuts(affine, shape[1:])
        return [
            [[item for item, hit in zip(items, cut & now, strict=True) if hit] for cut in cuts]
            for now in self._times(shape[0])
        ]

    def _times(self, volumes: int) -> list[np.ndarray]:
        """Return, for each volume, which headers are of its time; all of them if nothing tells."""
        stated = [header.get("TemporalPositionIdentifier") for header in self.headers]
        positions = sorted({int(position) for position in stated if position is not None})
        if None in stated or len(positions) != volumes:
            return [np.ones(len(stated), dtype=bool)] * volumes
        return [np.array(stated, dtype=np.int64) == position for position in positions]

    def _cuts(self, affine: np.ndarray, shape: tuple[int, ...]) -> list[np.ndarray]:
        """Return, for each slice of a volume (z, y, x), which source slices it cuts."""
        planes = np.array([_plane(header) for header in self.headers])
        normal = np.cross(planes[0, 3:6], planes[0, 6:9])
        heights = planes[:, :3] @ normal
        half = self._thickness(heights) / 2
        edges = np.array([[i, j, k, 1.0] for k in (-0.5, 0.5) for j in (0, shape[1] - 1) for i in (0, shape[2] - 1)])
        found, inside = [], False
        for number in range(shape[0]):
            corners = (edges + np.array([0, 0, number, 0])) @ affine[:3].T
            levels = corners @ normal
            cut = (heights > levels.min() - half * 0.998) & (heights < levels.max() + half * 0.998)
            found.append(cut)
            inside = inside or (bool(cut.any()) and self._covers(corners))
        if not inside:
            raise CodedUsageError(
                "RECON-DICOM-WRITE-SOURCE",
                "the image does not lie where the series of `like` does: name the series it comes from",
            )
        return found

    def _covers(self, corners: np.ndarray) -> bool:
        """Whether corners reach into the rectangle of the first slice, seen along its normal."""
        first = self.headers[0]
        plane = _plane(first)
        assert plane is not None  # noqa: S101 - for the type checker
        rows_apart, columns_apart = (float(v) for v in first.get("PixelSpacing") or (1, 1))
        for axis, size in ((plane[3:6], columns_apart * first.Columns), (plane[6:9], rows_apart * first.Rows)):
            along = (corners - plane[:3]) @ axis
            if along.max() < -size * 1e-3 or along.min() > size:
                return False
        return True

    def _thickness(self, heights: np.ndarray) -> float:
        steps = np.diff(np.unique(heights.round(3)))
        return float(np.median(steps)) if len(steps) else float(self.headers[0].get("SliceThickness") or 1)

    @staticmethod
    def _item(header: Dataset) -> Dataset:
        item = Dataset()
        item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = header.SOPClassUID, header.SOPInstanceUID
        item.PurposeOfReferenceCodeSequence = [code("121322", "Source image for image processing operation")]
        return item

    def _lossy(self) -> dict[str, Any]:
        """Return the history of lossy compression, which never ends; nothing where it is not known."""
        for header, size in zip(self.headers, self.sizes, strict=True):
            method = _LOSSY.get(str(header.file_meta.get("TransferSyntaxUID", "")))
            if header.get("LossyImageCompression") != "01" and method is None:
                continue
            pixels = int(header.get("Rows") or 0) * int(header.get("Columns") or 0)
            pixels *= int(header.get("NumberOfFrames") or 1) * int(header.get("SamplesPerPixel") or 1)
            ratio = round(pixels * int(header.get("BitsAllocated") or 16) / 8 / max(size, 1), 2)
            return {
                "LossyImageCompression": "01",
                "LossyImageCompressionRatio": header.get("LossyImageCompressionRatio") or max(ratio, 1.0),
                "LossyImageCompressionMethod": header.get("LossyImageCompressionMethod") or method or "ISO_10918_1",
            }
        denied = all(header.get("LossyImageCompression") == "00" for header in self.headers)
        return {"LossyImageCompression": "00"} if denied else {}


def code(value: str, meaning: str) -> Dataset:
    """Return an item of a code sequence, of DICOM's own scheme."""
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, "DCM", meaning
    return item


@contextmanager
def _guarded(label: str) -> Iterator[None]:
    with quiet():
        try:
            yield
        except FileFormatError:
            raise
        except Exception:  # noqa: BLE001 - on damage, pydicom raises almost anything, quoting the file's bytes
            raise DicomError("RECON-DICOM-DAMAGED", f"{label} is damaged or cut off; copy it again") from None


def _is_valid(element: DataElement) -> bool:
    """Whether an age, date, code word or number is one by the standard; scanners write others, which need not go on."""
    if element.VR not in ("AS", "DA", "TM", "CS", "DS", "IS"):
        return True
    values = element.value if isinstance(element.value, MultiValue) else [element.value]
    try:
        for value in values:
            validate_value(element.VR, str(value or ""), pydicom.config.RAISE)
    except ValueError:
        return False
    return True


def _marked(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(132)[128:] == b"DICM"


def _plane(header: Dataset) -> list[float] | None:
    """Return position, row and column direction; None where the header does not tell."""
    position, direction = header.get("ImagePositionPatient"), header.get("ImageOrientationPatient")
    if position is None or direction is None or len(position) != 3 or len(direction) != 6:
        return None
    return [float(v) for v in (*position, *direction)]


def _height(header: Dataset) -> float:
    plane = _plane(header)
    return 0.0 if plane is None else float(np.cross(plane[3:6], plane[6:9]) @ plane[:3])
