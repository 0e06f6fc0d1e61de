"""The XML header of ISMRMRD, read leniently: real files lack fields that its schema asks for."""

from __future__ import annotations

import math
import xml.etree.ElementTree as ET
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from recon.errors import FileFormatError
from recon.io.image import Value

__all__ = ["Encoding", "Limit", "MRDHeader", "Space", "header_xml", "parse_header"]

_NAMESPACE = "{http://www.ismrm.org/ISMRMRD}"
_LARGEST = 2**16
"""Encoding counters are 16 bits, so no matrix is larger."""

_GYRO = 42.577478518e6
"""Gyromagnetic ratio of the proton in Hz/T."""

_FACTS: Mapping[str, tuple[str, type[float] | type[str]]] = {
    "field_strength_T": ("acquisitionSystemInformation/systemFieldStrength_T", float),
    "manufacturer": ("acquisitionSystemInformation/systemVendor", str),
    "repetition_time_ms": ("sequenceParameters/TR", float),
    "echo_time_ms": ("sequenceParameters/TE", float),
    "inversion_time_ms": ("sequenceParameters/TI", float),
    "flip_angle_deg": ("sequenceParameters/flipAngle_deg", float),
    "sequence": ("sequenceParameters/sequence_type", str),
}

Number = TypeVar("Number", int, float)


@dataclass(frozen=True, slots=True)
class Space:
    """An encoded or reconstructed space: `matrix` (x, y, z), and `fov` (x, y, z) in mm; None where it is not stated."""

    matrix: tuple[int, int, int] | None = None
    fov: tuple[float, float, float] | None = None


@dataclass(frozen=True, slots=True)
class Limit:
    """Range of an encoding counter, and the value at the centre of k-space."""

    minimum: int
    maximum: int
    center: int


@dataclass(frozen=True, slots=True)
class Encoding:
    """How a part of the measurement was encoded.

    Parameters
    ----------
    encoded, recon
        What was measured, and what of it the scanner would show.
    limits
        By the schema's names: ``kspace_encoding_step_1`` (the counter itself is called ``kspace_encode_step_1``).
    trajectory
        cartesian, epi, radial, goldenangle, spiral or other.
    """

    encoded: Space = field(default_factory=Space)
    recon: Space = field(default_factory=Space)
    limits: Mapping[str, Limit] = field(default_factory=dict)
    trajectory: str = "cartesian"


@dataclass(frozen=True, slots=True)
class MRDHeader:
    """What a header says.

    Parameters
    ----------
    encodings
        The encoding spaces that readouts refer to.
    facts
        Technical facts under the names of `recon.io.image.METADATA`; nothing about a patient is taken.
    vendor
        Maker of the scanner, lower case.
    noise_bandwidth
        The receiver's noise bandwidth relative to that of the sampling, 1 where it is not stated.
    """

    encodings: tuple[Encoding, ...]
    facts: Mapping[str, Value] = field(default_factory=dict)
    vendor: str = ""
    noise_bandwidth: float = 1.0


def parse_header(text: str | bytes, where: str) -> MRDHeader:
    """Read a header; fields that are missing or unreadable count as not stated.

    Raises
    ------
    FileFormatError
        If it is not the XML of an ISMRMRD header, defines entities, or states an impossible matrix or field of view.
    """
    text = text.decode(errors="replace") if isinstance(text, bytes) else text
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise FileFormatError(f"{where}: the header defines XML entities; a scanner's header has none")
    try:
        root = ET.fromstring(text.strip("\0 \n\r\t"))  # noqa: S314 - no entities, see above
    except ET.ParseError as error:
        raise FileFormatError(f"{where}: the header is not XML: {error}") from error
    if root.tag.removeprefix(_NAMESPACE) != "ismrmrdHeader":
        raise FileFormatError(f"{where}: the header is of {root.tag!r}, not an ISMRMRD header")
    encodings = tuple(_encoding(element, where) for element in root.iter() if _is(element, "encoding"))
    facts: dict[str, Value] = {"modality": "MR"}
    for name, (path, kind) in _FACTS.items():
        value = _text(root, path) if kind is str else _number(root, path, float)
        if value is not None:
            facts[name] = value
    bandwidth = _number(root, "acquisitionSystemInformation/relativeReceiverNoiseBandwidth", float)
    return MRDHeader(
        encodings=encodings,
        facts=facts,
        vendor=(_text(root, "acquisitionSystemInformation/systemVendor") or "").lower(),
        noise_bandwidth=bandwidth if bandwidth is not None and bandwidth > 0 else 1.0,
    )


def header_xml(encoding: Encoding, facts: Mapping[str, Value], *, coils: int) -> str:
    """Return the header of a scan with one encoding, valid by the schema of ISMRMRD.

    Parameters
    ----------
    encoding
        Its matrices are needed; fields of view that are not known are written as 0.
    facts
        Technical facts under the names of `recon.io.image.METADATA`; those that the schema has are written.
    coils
        Number of channels.
    """
    root = ET.Element("ismrmrdHeader", xmlns=_NAMESPACE.strip("{}"))
    _put(root, "version", 1)
    # The schema fixes the order of the parts.
    for part in ("acquisitionSystemInformation", "experimentalConditions"):
        made = ET.SubElement(root, part)
        if part == "experimentalConditions":
            field_strength = facts.get("field_strength_T")
            tesla = field_strength if isinstance(field_strength, (int, float)) else 0.0
            _put(made, "H1resonanceFrequency_Hz", round(_GYRO * tesla))
            continue
        for name in ("manufacturer", "field_strength_T"):
            if name in facts:
                _put(made, _FACTS[name][0].rpartition("/")[2], facts[name])
        _put(made, "receiverChannels", coils)
    described = ET.SubElement(root, "encoding")
    for name, space in (("encodedSpace", encoding.encoded), ("reconSpace", encoding.recon)):
        made = ET.SubElement(described, name)
        for label, values in (("matrixSize", space.matrix or (1, 1, 1)), ("fieldOfView_mm", space.fov or (0.0,) * 3)):
            triple = ET.SubElement(made, label)
            for axis, value in zip("xyz", values, strict=True):
                _put(triple, axis, value)
    limits = ET.SubElement(described, "encodingLimits")
    for name, limit in encoding.limits.items():
        made = ET.SubElement(limits, name)
        for edge in ("minimum", "maximum", "center"):
            _put(made, edge, getattr(limit, edge))
    _put(described, "trajectory", encoding.trajectory)
    sequence = ET.SubElement(root, "sequenceParameters")
    for name, (path, _) in _FACTS.items():
        if path.startswith("sequenceParameters/") and name in facts:
            _put(sequence, path.rpartition("/")[2], facts[name])
    ET.indent(root)
    return ET.tostring(root, encoding="unicode", xml_declaration=True)


def _put(parent: ET.Element, name: str, value: Value) -> None:
    ET.SubElement(parent, name).text = f"{value:.9g}" if isinstance(value, float) else str(value)


def _encoding(element: ET.Element, where: str) -> Encoding:
    limits = {}
    for child in element.iter():
        edges = [_number(child, name, int) for name in ("minimum", "maximum", "center")]
        if any(edge is not None for edge in edges):
            low, high, center = (edge or 0 for edge in edges)
            limits[_plain(child.tag)] = Limit(low, high, center)
    return Encoding(
        encoded=_space(element, "encodedSpace", where),
        recon=_space(element, "reconSpace", where),
        limits=limits,
        trajectory=(_text(element, "trajectory") or "cartesian").lower(),
    )


def _space(element: ET.Element, name: str, where: str) -> Space:
    sizes = [_number(element, f"{name}/matrixSize/{axis}", int) for axis in "xyz"]
    lengths = [_number(element, f"{name}/fieldOfView_mm/{axis}", float) for axis in "xyz"]
    matrix = fov = None
    if sizes[0] is not None and sizes[1] is not None:
        matrix = (sizes[0], sizes[1], sizes[2] or 1)
        if not all(0 < size <= _LARGEST for size in matrix):
            raise FileFormatError(f"{where}: the header states a matrix of {matrix} in {name}; no scanner has one")
    if lengths[0] is not None and lengths[1] is not None and lengths[2] is not None:
        fov = (lengths[0], lengths[1], lengths[2])
        if not all(math.isfinite(length) and length >= 0 for length in fov):
            raise FileFormatError(f"{where}: the header states a field of view of {fov} mm in {name}")
        if min(fov) == 0:  # what is left empty
            fov = None
    return Space(matrix, fov)


def _find(element: ET.Element, path: str) -> ET.Element | None:
    found = element.find("/".join(_NAMESPACE + part for part in path.split("/")))
    return element.find(path) if found is None else found


def _text(element: ET.Element, path: str) -> str | None:
    found = _find(element, path)
    return found.text.strip() if found is not None and found.text and found.text.strip() else None


def _number(element: ET.Element, path: str, kind: Callable[[float], Number]) -> Number | None:
    text = _text(element, path)
    try:
        return None if text is None else kind(float(text))
    except (ValueError, OverflowError):
        return None


def _plain(tag: str) -> str:
    return tag.removeprefix(_NAMESPACE)


def _is(element: ET.Element, name: str) -> bool:
    return _plain(element.tag) == name
