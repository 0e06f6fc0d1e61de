"""Copies of DICOM images without what names the patient: files, names of files, and what pixels may still show."""

from __future__ import annotations

import logging
import os
import secrets
import stat
import warnings
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from recon.errors import CodedFileError, FileFormatError, UsageError
from recon.io.atomic import atomic_folder, check_folder
from recon.io.burned_in import burned_in, may_show_face
from recon.io.confidentiality import Pseudonyms, confidential

__all__ = ["CopiedSeries", "Deidentified", "deidentify"]

_DIRECTORY = "1.2.840.10008.1.3.10"
_HEADER = ["SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID", "InstanceNumber"]
_MOST_INFLATED = 2**31
"""Bytes to which a deflated file may grow."""


@dataclass(frozen=True, slots=True)
class CopiedSeries:
    """A series as it was written; nothing here tells whose it is.

    Parameters
    ----------
    folder
        Name of its folder.
    modality
        CT, MR ...
    files
        Number of images.
    warnings
        What its pixels may still show, or what is lost, one sentence each.
    """

    folder: str
    modality: str
    files: int
    warnings: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Deidentified:
    """What became of a folder.

    Parameters
    ----------
    series
        What was written.
    refused
        (number of the file, code, sentence) of each image that was left out. Files are numbered from 1 in the order of
        `sources`: their names may be patients' names.
    ignored
        How many files are not DICOM, indexes of others (DICOMDIR), or links.
    sources
        Paths of the DICOM files; not for a log.
    """

    series: tuple[CopiedSeries, ...]
    refused: tuple[tuple[int, str, str], ...]
    ignored: int
    sources: tuple[Path, ...]

    @property
    def files(self) -> int:
        """Number of images written."""
        return sum(series.files for series in self.series)


def deidentify(
    source: str | Path,
    target: str | Path,
    *,
    key: bytes | None = None,
    force: bool = False,
    track: Callable[[list[int], str], Iterable[int]] | None = None,
) -> Deidentified:
    """Copy the DICOM images of a file or folder by PS3.15's basic confidentiality profile.

    Identifiers are replaced by keyed hashes, the same across all files; patient, dates, texts, private attributes,
    overlays, curves, icons and signatures go; pixels are copied as they are, apart from overlays in their unused bits.
    Files are called by their number and the hash of their identifier, and only the owner may read them. An image whose
    pixels are likely to show text is left out, and so is what is no image (reports, documents, waveforms).

    No guarantee: pixels may show names, faces and dates, and rare diseases tell who a patient is.

    Parameters
    ----------
    source
        File, or folder that is searched with all folders in it; links are not followed.
    target
        Folder to make. It appears when it is complete.
    key
        Secret of at least 16 bytes behind the new identifiers: with the same key a later copy fits this one. A new one,
        which is not kept, by default: then nobody can connect the copy and the source.
    force
        Also copy images whose pixels are likely to show text, after somebody has looked at them.
    track
        Goes through the files for a progress bar.

    Raises
    ------
    UsageError
        If the target has content, or the key is short.
    FileFormatError
        If there is nothing to read, or every image is refused.
    """
    source, target = Path(source), Path(target)
    if key is not None and len(key) < 16:
        raise UsageError(f"a key of {len(key)} bytes can be guessed: give at least 16 bytes of chance")
    if not source.exists():
        raise FileFormatError(f"{source} does not exist")
    check_folder(target)
    pseudonyms = Pseudonyms(secrets.token_bytes(32) if key is None else key)
    paths, ignored = _dicom_files(source)
    if not paths:
        raise CodedFileError("RECON-DICOM-EMPTY", f"{source} holds no DICOM file; give the folder of a study")
    refused: list[tuple[int, str, str]] = []
    headers: dict[int, tuple[str, int, str]] = {}
    for number, path in enumerate(paths, 1):
        try:
            headers[number] = _order(path, pseudonyms)
        except _DirectoryError:
            ignored += 1
        except CodedFileError as error:
            refused.append((number, error.code, error.message))
    written: dict[str, list[Dataset]] = {}
    with atomic_folder(target) as temporary:
        temporary.chmod(0o700)
        places = _places(headers)
        for number in track(list(places), "de-identifying") if track else places:
            try:
                dataset = _copy(paths[number - 1], pseudonyms, force=force)
            except CodedFileError as error:
                refused.append((number, error.code, error.message))
                continue
            folder, name = places[number]
            (temporary / folder).mkdir(mode=0o700, exist_ok=True)
            _save(dataset, temporary / folder / name)
            del dataset[_pixels(dataset)]
            written.setdefault(folder, []).append(dataset)
        if not written:
            codes = ", ".join(f"{code} {count}x" for code, count in Counter(code for _, code, _ in refused).items())
            raise FileFormatError(f"{source}: no image was copied ({codes or 'only indexes of other files'})")
    series = tuple(
        CopiedSeries(folder, str(items[0].get("Modality", "")) or "?", len(items), _warnings(items))
        for folder, items in sorted(written.items())
    )
    return Deidentified(series, tuple(sorted(refused)), ignored, tuple(paths))


class _DirectoryError(Exception):
    """An index of other files."""


def _dicom_files(source: Path) -> tuple[list[Path], int]:
    """Return the regular files with DICOM's mark, sorted, and the number of others."""
    found, others = [], 0
    if source.is_file():
        entries = [source]
    else:
        entries = sorted(Path(top) / name for top, _, names in os.walk(source) for name in names)
    for path in entries:
        try:
            # No links out of the folder, no devices.
            regular = path == source or stat.S_ISREG(path.lstat().st_mode)
            marked = regular and _head(path)[128:] == b"DICM"
        except OSError:
            marked = False
        if marked:
            found.append(path)
        else:
            others += 1
    return found, others


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(132)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep pydicom's warnings and errors, which quote values, from everybody."""
    logger = logging.getLogger("pydicom")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except (CodedFileError, _DirectoryError):
        raise
    except Exception:  # noqa: BLE001 - on damage, pydicom raises almost anything, quoting the file's bytes
        raise CodedFileError("RECON-DICOM-DAMAGED", "the file is damaged or cut off; copy it again") from None
    finally:
        logger.setLevel(level)


def _order(path: Path, pseudonyms: Pseudonyms) -> tuple[str, int, str]:
    """Return what sorts a file: new series identifier, instance number, new identifier."""
    with _quiet():
        meta = pydicom.filereader.read_file_meta_info(path)
        if meta.get("TransferSyntaxUID") == DeflatedExplicitVRLittleEndian:
            _check_inflated(path, start=144 + int(meta.FileMetaInformationGroupLength))
        header = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=_HEADER)
        if _DIRECTORY in (header.get("SOPClassUID"), header.file_meta.get("MediaStorageSOPClassUID")):
            raise _DirectoryError
        if not header.get("SOPInstanceUID") or not header.get("SOPClassUID"):
            raise CodedFileError("RECON-DICOM-DAMAGED", "the file does not say what it is; export it again")
        number = header.get("InstanceNumber")
        return (
            pseudonyms.uid(str(header.get("SeriesInstanceUID") or header.SOPInstanceUID)),
            int(number) if number is not None else 0,
            pseudonyms.uid(str(header.SOPInstanceUID)),
        )


def _check_inflated(path: Path, *, start: int) -> None:
    """Count how far a deflated file grows, without holding it."""
    inflate, grown = zlib.decompressobj(-zlib.MAX_WBITS), 0
    with path.open("rb") as file:
        file.seek(start)
        pending = file.read(2**16)
        while pending and not inflate.eof:
            grown += len(inflate.decompress(pending, 2**20))
            pending = inflate.unconsumed_tail or file.read(2**16)
            if grown > _MOST_INFLATED:
                raise CodedFileError("RECON-DICOM-BOMB", "the file grows beyond 2 GiB when inflated; it is damaged")


def _places(headers: dict[int, tuple[str, int, str]]) -> dict[int, tuple[str, str]]:
    """Return folder and file name by number of the file; the order tells nothing about the order of the sources."""
    series = {uid: place for place, uid in enumerate(sorted({uid for uid, _, _ in headers.values()}), 1)}
    counts: Counter[str] = Counter()
    places = {}
    for number, (uid, _, own) in sorted(headers.items(), key=lambda pair: (pair[1], pair[0])):
        counts[uid] += 1
        places[number] = (f"series_{series[uid]:03d}_{_short(uid)}", f"image_{counts[uid]:05d}_{_short(own)}.dcm")
    return places


def _short(uid: str) -> str:
    return f"{int(uid.rpartition('.')[2]) % 16**8:08x}"


def _copy(path: Path, pseudonyms: Pseudonyms, *, force: bool) -> Dataset:
    with _quiet():
        dataset = pydicom.dcmread(path)
        pixels = _pixels(dataset)
        if not pixels:
            raise CodedFileError("RECON-DICOM-KIND", "the file holds no pixels (a report, a document); leave it out")
        reason = burned_in(dataset)
        if reason and not force:
            raise CodedFileError(
                "RECON-DICOM-BURNED-IN", f"{reason}, so the pixels may name the patient; look at it, then use --force"
            )
        _check_length(dataset, pixels)
        _mask_overlays(dataset, pixels)
        syntax = dataset.file_meta.get("TransferSyntaxUID")
        if syntax is None:
            syntax = ImplicitVRLittleEndian if dataset.original_encoding[0] else ExplicitVRLittleEndian
        confidential(dataset, pseudonyms)
        if reason:
            dataset.BurnedInAnnotation = "YES"
        meta = FileMetaDataset()
        meta.TransferSyntaxUID = syntax
        meta.MediaStorageSOPClassUID = dataset.SOPClassUID
        meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
        dataset.file_meta = meta
        return dataset


def _pixels(dataset: Dataset) -> str:
    names = ("PixelData", "FloatPixelData", "DoubleFloatPixelData")
    return next((name for name in names if name in dataset), "")


def _check_length(dataset: Dataset, pixels: str) -> None:
    """Refuse native pixels that are not as long as declared: what follows them could be anything."""
    if dataset.file_meta.get("TransferSyntaxUID") and dataset.file_meta.TransferSyntaxUID.is_encapsulated:
        return
    frames = int(dataset.get("NumberOfFrames") or 1)
    bits = int(dataset.Rows) * int(dataset.Columns) * frames * int(dataset.SamplesPerPixel) * int(dataset.BitsAllocated)
    if dataset.PhotometricInterpretation == "YBR_FULL_422":
        bits = bits * 2 // 3
    declared, stored = (bits + 7) // 8, len(dataset[pixels].value)
    if not declared <= stored <= declared + declared % 2:
        raise CodedFileError(
            "RECON-DICOM-PIXELS", f"the file has {stored} bytes of pixels for {declared} declared; export it again"
        )


def _mask_overlays(dataset: Dataset, pixels: str) -> None:
    """Clear the unused bits of pixels where an old overlay lives in them."""
    embedded = any(
        dataset.get((group, 0x0102)) is not None and (group, 0x3000) not in dataset
        for group in range(0x6000, 0x6020, 2)
    )
    allocated, used = int(dataset.get("BitsAllocated", 16)), int(dataset.get("BitsStored", 16))
    if not embedded or used >= allocated:
        return
    syntax = dataset.file_meta.get("TransferSyntaxUID")
    if (syntax and syntax.is_encapsulated) or allocated not in (8, 16, 32) or int(dataset.HighBit) != used - 1:
        raise CodedFileError(
            "RECON-DICOM-PIXELS", "an overlay lies in the bits of the pixels and cannot be cleared; export it without"
        )
    order = "<" if dataset.original_encoding[1] in (True, None) else ">"
    kind = "i" if dataset.get("PixelRepresentation") == 1 else "u"
    stored = np.frombuffer(dataset[pixels].value, dtype=f"{order}{kind}{allocated // 8}")
    shift = allocated - used
    # Shifted up and down again, which repeats the sign where there is one.
    dataset[pixels].value = ((stored << shift) >> shift).astype(stored.dtype).tobytes()


def _save(dataset: Dataset, path: Path) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "wb") as file, _quiet():
        dataset.preamble = b"\0" * 128
        dataset.save_as(file, enforce_file_format=True)


def _warnings(items: list[Dataset]) -> tuple[str, ...]:
    found = []
    if any(item.get("BurnedInAnnotation") == "YES" for item in items):
        found.append("the pixels may show text that names the patient")
    if may_show_face(items[0]):
        found.append("a volume with the head in it shows the face; deface it before it is shared")
    if any(item.file_meta.TransferSyntaxUID.is_encapsulated for item in items):
        found.append("compressed pixels are copied as they are, with comments that their encoder may have left")
    if any("MOSAIC" in (item.get("ImageType") or ()) for item in items):
        found.append("Siemens mosaics cannot be cut into slices without their private header; export single slices")
    if items[0].get("Modality") == "PT":
        found.append("times are gone, so that uptake values (SUV) can no longer be computed")
    return tuple(found)
