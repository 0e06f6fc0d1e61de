"""Headers of DICOM objects, read without the pixels, within bounds, and without a word of the file in any message."""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import pydicom
from pydicom.datadict import dictionary_VR
from pydicom.dataelem import DataElement, RawDataElement, convert_raw_data_element
from pydicom.filereader import data_element_generator

from recon.errors import FileFormatError
from recon_datasets.dicom_series.errors import DicomError
from recon_datasets.dicom_series.source import Source

__all__ = ["DEFLATED", "Fields", "Header", "read_header"]

DEFLATED = "1.2.840.10008.1.2.1.99"
_IMPLICIT, _BIG_ENDIAN = "1.2.840.10008.1.2", "1.2.840.10008.1.2.2"
_PIXELS = (0x7FE00010, 0x7FE00008, 0x7FE00009)
_FIRST_LOOK = 2**16
_INFLATED_FREE, _INFLATED_RATIO = 2**26, 100
"""A deflated data set may grow to 64 MiB, or to so many times its size: medical images reach 10."""
_BINARY = {"US": "H", "SS": "h", "UL": "I", "SL": "i", "FL": "f", "FD": "d", "SV": "q", "UV": "Q", "US or SS": "H"}
_PRIVATE = {
    0x0019100A: "US", 0x0019100C: "IS", 0x0019100E: "FD", 0x001910BB: "DS", 0x001910BC: "DS", 0x001910BD: "DS",
    0x00431039: "IS", 0x0043102F: "SS", 0x00431030: "SS", 0x20011003: "FL", 0x200510B0: "FL", 0x200510B1: "FL",
    0x200510B2: "FL", 0x2005100E: "FL", 0x70531000: "DS", 0x70291010: "US",
}  # fmt: skip
"""Value representations of private elements, which files with implicit ones do not tell."""


class Fields:
    """Elements of a data set as numbers and code words, from their bytes.

    pydicom's own conversion warns and raises with the file's text, and refuses numbers of 17 characters, which
    scanners write.

    Parameters
    ----------
    elements
        By tag, as pydicom reads them: a data set of its own would cost as much again.
    """

    __slots__ = ("elements",)

    def __init__(self, elements: Mapping[int, RawDataElement | DataElement]) -> None:
        self.elements = elements

    def __contains__(self, tag: int) -> bool:
        """Whether the element is there, with or without a value."""
        return tag in self.elements

    def words(self, tag: int) -> list[str]:
        """Return the values of an element of text, without padding; nothing where it is missing or empty."""
        value, _, _ = self._element(tag)
        if value is None:
            return []
        if not isinstance(value, bytes):
            return [str(word).strip() for word in _listed(value)]
        text = value.decode("latin-1").strip(" \0")
        return [word.strip(" \0") for word in text.split("\\")] if text else []

    def word(self, tag: int) -> str:
        """Return the first value of an element of text, or nothing."""
        return next(iter(self.words(tag)), "")

    def numbers(self, tag: int) -> list[float]:
        """Return the values of an element of numbers; nothing where one of them is none, or not finite."""
        value, code, little = self._element(tag)
        if value is None:
            return []
        try:
            if isinstance(value, bytes) and code in _BINARY:
                form = _BINARY[code]
                count = len(value) // struct.calcsize(form)
                found = [float(v) for v in struct.unpack_from(("<" if little else ">") + count * form, value)]
            else:
                found = [float(word) for word in self.words(tag)]
        except (TypeError, ValueError, struct.error):
            return []
        return found if all(map(math.isfinite, found)) else []

    def number(self, tag: int) -> float | None:
        """Return the first number of an element, or None."""
        return next(iter(self.numbers(tag)), None)

    def integer(self, tag: int, default: int) -> int:
        """Return an element's first number as an integer."""
        value = self.number(tag)
        return default if value is None else int(value)

    def items(self, tag: int) -> list[Fields]:
        """Return the items of a sequence."""
        element = self.elements.get(tag)
        if isinstance(element, RawDataElement):
            element = convert_raw_data_element(element)
        found = None if element is None else element.value
        if not isinstance(found, pydicom.Sequence):
            return []
        return [Fields({int(t): item.get_item(t) for t in item.keys()}) for item in found]  # noqa: SIM118

    def raw(self, tag: int) -> bytes:
        """Return an element's bytes."""
        value, _, _ = self._element(tag)
        return value if isinstance(value, bytes) else b""

    def _element(self, tag: int) -> tuple[Any, str, bool]:
        element = self.elements.get(tag)
        if element is None:
            return None, "", True
        if isinstance(element, RawDataElement):
            code = element.VR
            if code in (None, "UN"):
                code = _PRIVATE.get(tag) or (dictionary_VR(tag) if not tag & 0x10000 else "UN")
            return element.value, str(code), element.is_little_endian
        return element.value if element.value != "" else None, str(element.VR), True


@dataclass(frozen=True, slots=True, eq=False)
class Header:
    """A data set up to its pixels.

    Parameters
    ----------
    fields
        Its elements.
    syntax
        UID of the transfer syntax.
    little_endian
        Order of bytes.
    pixels
        Tag of the pixels; 0 without pixels.
    offset, length
        Where the bytes of the pixels begin and how many the header declares; -1 if it does not (compressed).
    inflated
        The inflated data set, to which `offset` refers, where the file is deflated.
    assumed
        Whether the file does not say its transfer syntax.
    """

    fields: Fields
    syntax: str
    little_endian: bool
    pixels: int
    offset: int
    length: int
    inflated: bytes | None = None
    assumed: bool = False


def read_header(source: Source) -> Header:
    """Read a header; call it within `quiet`.

    Raises
    ------
    DicomError
        If the file is cut off within the header, damaged, or grows too much when inflated.
    """
    size = _FIRST_LOOK
    try:
        while True:
            head = source.read(0, min(size, source.size))
            whole = len(head) >= source.size
            found = _parse(head, source, whole=whole)
            if found is not None:
                return found
            if whole:
                raise DicomError("RECON-DICOM-DAMAGED", f"{source.label} is damaged or cut off; copy it again")
            size *= 8
    except FileFormatError:
        raise
    except RecursionError:
        raise DicomError("RECON-DICOM-NESTING", f"{source.label} nests sequences too deeply; it is damaged") from None
    except Exception:  # noqa: BLE001 - on damage, pydicom raises almost anything, quoting the file's bytes
        raise DicomError("RECON-DICOM-DAMAGED", f"{source.label} is damaged or cut off; copy it again") from None


def _parse(head: bytes, source: Source, *, whole: bool) -> Header | None:
    """Parse what has been read; None if it ends before the pixels and there is more."""
    try:
        syntax, start = _syntax(head, source)
        file = BytesIO(head)
        file.seek(start)
        inflated = None
        if syntax == DEFLATED:
            if not whole:
                return None
            inflated = _inflate(head[start:], source)
            file = BytesIO(inflated)
        little = syntax != _BIG_ENDIAN
        implicit = syntax == _IMPLICIT
        implicit = implicit or not file.getbuffer()[file.tell() + 4 : file.tell() + 6].tobytes().isalpha()
        elements = {int(e.tag): e for e in data_element_generator(file, implicit, little, stop_when=_at_pixels)}
    except FileFormatError:
        raise
    except Exception:
        if whole:
            raise
        return None
    start = file.tell()
    element = file.read(12)
    if len(element) < 12 and not whole:
        return None
    tag, offset, length = _pixel_element(element, start, little=little)
    if not tag and not whole:
        return None
    if not tag:
        _check_lengths(elements, source)
    if tag and length < 0 and not syntax:
        raise DicomError("RECON-DICOM-SYNTAX", f"{source.label} is compressed, and does not say how; export it again")
    return Header(Fields(elements), syntax or _IMPLICIT, little, tag, offset, length, inflated, not syntax)


def _syntax(head: bytes, source: Source) -> tuple[str, int]:
    """Return the transfer syntax, and where the group of meta information, always explicit little endian, ends."""
    at, syntax = 0 if source.bare else 132, ""
    while True:
        group, number, code, length = struct.unpack_from("<HH2sH", head, at)
        if group != 2:
            break
        at += 8
        if code in (b"OB", b"OW", b"SQ", b"UN", b"UT"):
            length = struct.unpack_from("<I", head, at)[0]
            at += 4
        if number == 0x10:
            syntax = head[at : at + length].decode("ascii", "replace").strip(" \0")
        at += length
    if not syntax and source.assume == "nothing":
        raise DicomError(
            "RECON-DICOM-SYNTAX",
            f"{source.label} does not say how it is encoded (TransferSyntaxUID); export it again, or read it with "
            "assume=implicit-le if it is not compressed",
        )
    return syntax, at


def _pixel_element(element: bytes, start: int, *, little: bool) -> tuple[int, int, int]:
    """Return tag, place and length of the pixels, if the element before us is theirs."""
    order = "<" if little else ">"
    if len(element) < 8:
        return 0, 0, 0
    group, number, length = struct.unpack_from(order + "HHI", element)
    size = 8
    if element[4:6] in (b"OB", b"OW", b"OF", b"OD", b"UN") and len(element) >= 12:
        size, length = 12, struct.unpack_from(order + "I", element, 8)[0]
    tag = group << 16 | number
    if tag not in _PIXELS:
        return 0, 0, 0
    return tag, start + size, -1 if length == 0xFFFFFFFF else length


def _inflate(packed: bytes, source: Source) -> bytes:
    limit = max(_INFLATED_FREE, _INFLATED_RATIO * len(packed))
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    data = inflater.decompress(packed, limit + 1)
    if len(data) > limit:
        raise DicomError(
            "RECON-DICOM-BOMB", f"{source.label} grows beyond {limit} bytes when inflated; do not trust it"
        )
    if not inflater.eof:
        raise DicomError("RECON-DICOM-TRUNCATED", f"{source.label} ends within its deflated data; copy it again")
    return data


def _at_pixels(tag: int, *_: object) -> bool:
    return int.__ge__(tag, _PIXELS[1])  # pydicom's own comparison takes a fifth of the time of parsing


def _check_lengths(elements: Mapping[int, RawDataElement | DataElement], source: Source) -> None:
    for element in elements.values():
        if not isinstance(element, RawDataElement) or element.value is None or element.length == 0xFFFFFFFF:
            continue
        if len(element.value) < element.length:
            raise DicomError(
                "RECON-DICOM-LENGTH", f"{source.label} holds an element longer than the file; copy it again"
            )


def _listed(value: Any) -> list[Any]:
    return [value] if isinstance(value, (str, int, float)) else list(value)
