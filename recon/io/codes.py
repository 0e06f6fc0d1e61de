"""What the codes of errors and notes about files mean, and what to do. Free of torch; makes docs/error-codes.md."""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType

__all__ = ["CODES", "PATTERN", "explain"]

PATTERN = re.compile(r"\bRECON-[A-Z0-9]+(?:-[A-Z0-9]+)+\b")
"""How a code looks in a text."""

_DICOM = {
    "AMBIGUOUS": (
        "More than one series, or more than one image in a series, and none was chosen.",
        "List them with `recon ls` and choose with `--series N` and `--stack N` (`series=`, `stack=` of the reader).",
    ),
    "BOMB": (
        "A file or archive declares far more data than it holds, or grows far beyond its size when unpacked.",
        "Do not trust it; fetch it again from its source. If it is genuine, unpack it with another tool first.",
    ),
    "BURNED-IN": (
        "The pixels of an image are likely to show text, which may name the patient; it was not de-identified.",
        "Look at it; if it shows none, `recon deidentify --force` copies it.",
    ),
    "CHOICE": (
        "The series or the image that was chosen does not exist.",
        "`recon ls` numbers them; `--series N` and `--stack N` take these numbers.",
    ),
    "CODEC": (
        "The pixels are compressed in a way that no installed decoder reads.",
        "`pip install 'recon-toolkit[dicom]'`, or export the series uncompressed.",
    ),
    "DAMAGED": (
        "The structure of the file is broken, or the file is cut off.",
        "Copy or export the file again.",
    ),
    "DUPLICATE": (
        "Several slices lie in one place and nothing in their headers tells them apart; exact copies are dropped "
        "with a note of this code.",
        "Remove the slices that do not belong, or split the series.",
    ),
    "EMPTY": ("No DICOM file was found.", "Give the folder, file or zip archive that holds the series."),
    "GAP": (
        "Slices are missing inside the volume; the message lists where. As a note: they were interpolated.",
        "Find them, or accept interpolated ones with `--allow-gaps`.",
    ),
    "GEOMETRY": (
        "Position, orientation or pixel spacing is missing, is no number, or contradicts itself.",
        "Export the series again with its geometry. It is never guessed.",
    ),
    "GRID": (
        "Slices of one image have different numbers or sizes of pixels.",
        "Split the series, one folder for each grid.",
    ),
    "KIND": (
        "No scan: a picture in colours, a secondary capture, ultrasound, a report, a segmentation, raw data, or no "
        "pixels at all.",
        "Leave it out; `recon ls` says what each series is. Pictures are read with `kind` of the reader: `--reader "
        "'{use: dicom_series, kind: picture}'`.",
    ),
    "LENGTH": ("An element of the header is longer than the file.", "Copy or export the file again."),
    "LIMIT": (
        "The image is larger than the limit.",
        "Raise `limit_gb` of the reader if the series is trusted.",
    ),
    "MIXED": (
        "Slices of one image differ in what they show.",
        "Split the series into folders.",
    ),
    "MOSAIC": (
        "A Siemens mosaic whose layout is not told by its private header.",
        "Export it again with the private header, or as single slices.",
    ),
    "MULTIFRAME": (
        "A multi-frame image whose frames do not say where they lie, what they are, or when they were taken.",
        "Export it as single slices.",
    ),
    "NESTING": ("Sequences are nested too deeply.", "The file is damaged or hostile; fetch it again."),
    "NOT-DICOM": (
        "A file that was named is no DICOM file: the mark DICM is missing.",
        "Give a DICOM file. If it is one without its first part, as in old archives: `--reader '{use: dicom_series, "
        "assume: implicit-le}'`.",
    ),
    "ORIENTATION": (
        "Slices of one image have different orientations.",
        "Move localizers away, or choose one image with `--stack N`.",
    ),
    "PIXELS": (
        "The pixels do not have the size that the header declares.",
        "Export the file again.",
    ),
    "PROJECTION": (
        "A projection of a CT scan (DICOM-CT-PD), not an image.",
        "Give the folder of all views to `recon reconstruct`.",
    ),
    "RESCALE": (
        "Slope, intercept or value table of the header cannot be used.",
        "Export the file again; values are never guessed.",
    ),
    "SUV": (
        "Standardised uptake values were asked for, and a field that they need is missing or odd.",
        "Read the series in Bq/ml, without `suv`.",
    ),
    "SYNTAX": (
        "The file does not say how it is encoded (TransferSyntaxUID).",
        "Export the file again. If it is not compressed: `--reader '{use: dicom_series, assume: implicit-le}'`.",
    ),
    "TILT": (
        "The gantry was tilted, so slices are sheared against each other. As a note: the affine holds the shear.",
        "`--untilt` resamples to a grid with right angles.",
    ),
    "TRUNCATED": ("The file ends before its pixels do.", "Copy the file again; missing pixels are never filled in."),
    "UNEVEN": (
        "The distance between slices varies, or slices are off a straight line. As a note: they were interpolated.",
        "Choose one part with `--stack N`, or accept interpolated slices with `--allow-gaps`.",
    ),
    "UNEVEN-TIME": (
        "Volumes in time do not all have the same slices: the scan was aborted, or files are missing.",
        "Find them, or leave incomplete volumes out with `drop_partial` of the reader.",
    ),
    "WRITE-AXES": (
        "An image that no DICOM series holds: complex values, colours, or axes other than space and time.",
        "Write it in parts or as magnitude and phase, or as `.nii.gz` or `.hdf5`.",
    ),
    "WRITE-KIND": (
        "Derived DICOM is written of CT images in HU and of MR images, and this is neither, as far as it tells.",
        "Say `--unit HU` if it is, name the source with `--like`, or write `.nii.gz`. PET and parametric maps are not "
        "written as DICOM.",
    ),
    "WRITE-PLACE": (
        "An image that does not say where in the patient it is, or whose pixels are no rectangles.",
        "Resample it to right angles, or write `.nii.gz`.",
    ),
    "WRITE-SOURCE": (
        "The series of `--like` is not the one that the image was computed of: another modality or another place.",
        "Name the source series.",
    ),
    "WRITE-VALUES": (
        "Values that 16-bit integers cannot hold: not finite, or HU beyond 32767.",
        "Mask or clip them first.",
    ),
    "ZIP": ("The archive is encrypted or damaged.", "Unpack it first."),
}

_CTPD = {
    "ANGLES": ("Angles of the views look like degrees.", "Correct the export: (7031,1001) is in radians."),
    "DAMAGED": ("A view is damaged or cut off.", "Copy it again."),
    "DETECTOR": ("The detector is neither cylindrical nor flat.", "Such scans are not supported."),
    "DUPLICATE": ("Instance numbers come twice.", "Give each scan a folder of its own."),
    "EMPTY": ("No view was found.", "Give the folder of all views."),
    "FFS": (
        "The focal spot flies in a way that the chosen geometry cannot hold.",
        "Read the scan as `geometry: fan`.",
    ),
    "GAP": ("Views are missing; the message says where.", "Find them."),
    "GRID": ("A view's pixels do not hold the declared detector.", "Export the scan again."),
    "KIND": (
        "Not a view that is read: no detector tag, compressed, big-endian or multi-frame.",
        "Leave it out, or convert it to plain single views.",
    ),
    "LOG": ("No logarithm was taken.", "Normalise by air and take the logarithm first."),
    "MIXED": ("Views of several detectors or distances.", "Give each scan a folder of its own."),
    "NOT-DICOM": ("A file that was named is no DICOM file.", "Give DICOM files."),
    "ORDER": ("Angles do not follow the instance numbers.", "Number the views anew."),
    "RANGE": (
        "Slices were asked for that no half turn above and below sees.",
        "Choose slices within the range that the message tells.",
    ),
    "SPECTRA": ("Several spectra.", "Give each a folder of its own."),
    "TABLE": ("The table's feed is uneven, which is no helix.", "Read the scan as `geometry: fan`."),
    "TAG": ("A field that the geometry needs is missing or no usable number.", "Export the scan again."),
    "VALUES": ("Line integrals that are not finite.", "Check RescaleSlope and export the scan again."),
}

_HDF5 = {
    "DAMAGED": ("The file is not HDF5, or its structure is broken.", "Copy it again."),
    "KIND": (
        "There is no such dataset in the file, or it holds no image of numbers.",
        "Name the dataset with `dataset` of the reader.",
    ),
    "UNSAFE": (
        "Data that lie in other files, behind a link, or that declare far more than they store.",
        "Copy the data themselves into one file with a tool that you trust.",
    ),
}

_IMAGE = {
    "AFFINE": ("The axes that place the image are not finite, or singular.", "Correct the header with another tool."),
    "CODEC": ("The data are packed or stored in a way that is not read.", "Write the file again, raw or gzipped."),
    "GRID": ("The pictures of a stack differ in size or kind.", "Give each stack a folder of its own."),
    "OUTSIDE": (
        "The header names data outside its own folder, or in several files.",
        "Write the image as one file, or put its data beside the header.",
    ),
    "READER": ("More than one reader accepts the file.", "Say which with `--reader` (`reader=` of `recon.read`)."),
    "UNKNOWN": (
        "No reader recognises the content.",
        "Check that the file is whole; `recon plugins` lists the readers.",
    ),
    "CHECKSUM": ("Packed data do not match their checksum.", "The file is damaged; fetch it again."),
    "HEADER": ("The header contradicts itself or holds what cannot be represented.", "Write the file again."),
    "SIZE": (
        "The image is larger than the limit, or than memory.",
        "Raise the reader's limit if the file is trusted, or crop it with another tool.",
    ),
    "TRUNCATED": ("The file ends before its data do.", "Copy it again; missing voxels are never filled in."),
}

_NIFTI = {
    "GRADIENTS": (
        "A note: the tables of diffusion weighting beside the image, `.bval` and `.bvec`, do not fit it.",
        "Correct or remove them; the image itself is whole.",
    ),
    "FORMS": (
        "A note: sform and qform place the image more than 0.1 mm apart; the message says which was taken.",
        "Choose the other with `form` of the reader if it is the right one.",
    ),
    "UNORIENTED": (
        "A note: both form codes are 0, so the file does not say where in the patient the image is.",
        "Left and right cannot be told from the file; its voxel size can.",
    ),
    "AFFINE": (
        "The form that places the image is not finite, singular, or not there.",
        "Correct it with another tool, or choose the other form with `form` of the reader.",
    ),
    "HEADER": (
        "The header is damaged or against the standard.",
        "Write the file again; nothing is put right by guessing.",
    ),
}

CODES: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        f"RECON-{family}-{name}": text
        for family, table in (("CTPD", _CTPD), ("DICOM", _DICOM), ("HDF5", _HDF5), ("IMAGE", _IMAGE), ("NIFTI", _NIFTI))
        for name, text in sorted(table.items())
    }
)
"""Each code with what it means and what to do."""


def explain(code: str) -> str:
    """Return what a code means and what to do, or nothing for an unknown one."""
    meaning, fix = CODES.get(code, ("", ""))
    return f"{meaning} {fix}".strip()
