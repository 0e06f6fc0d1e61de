"""The ISMRMRD header in a fastMRI file, read leniently: real ones lack fields that the schema asks for."""

from __future__ import annotations

import contextlib
import xml.etree.ElementTree as ET
from pathlib import Path

import h5py

from recon.errors import FileFormatError
from recon.io.hdf5 import dataset

__all__ = ["header_metadata"]

_NAMESPACE = "{http://www.ismrm.org/ISMRMRD}"

_SINGLE = {
    "field_strength_T": "acquisitionSystemInformation/systemFieldStrength_T",
    "repetition_time_ms": "sequenceParameters/TR",
    "echo_time_ms": "sequenceParameters/TE",
    "inversion_time_ms": "sequenceParameters/TI",
    "flip_angle_deg": "sequenceParameters/flipAngle_deg",
}
_TRIPLES = {
    "encoded_matrix": "encoding/encodedSpace/matrixSize",
    "recon_matrix": "encoding/reconSpace/matrixSize",
    "encoded_fov_mm": "encoding/encodedSpace/fieldOfView_mm",
    "recon_fov_mm": "encoding/reconSpace/fieldOfView_mm",
}


def header_metadata(file: h5py.File, path: Path) -> dict[str, float | int | tuple[float, ...]]:
    """Return what the header says under the names of `recon.io.image.METADATA`; fields that are missing are left out.

    ``padding`` is the range of phase-encoding columns that were measured, from the encoding limits: the first is
    encoded_y // 2 - center, the one past the last follows after maximum + 1 columns; both are clipped to the matrix.

    Raises
    ------
    FileFormatError
        If there is a header that is not XML.
    """
    stored = dataset(file, "ismrmrd_header")
    if stored is None:
        return {}
    text = stored[()]
    text = text.decode(errors="replace") if isinstance(text, bytes) else str(text)
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise FileFormatError(f"{path}: the header defines XML entities; a scanner's header has none")
    try:
        root = ET.fromstring(text)  # noqa: S314 - see above
    except ET.ParseError as error:
        raise FileFormatError(f"{path}: 'ismrmrd_header' is not XML: {error}") from error
    found: dict[str, float | int | tuple[float, ...]] = {}
    for name, where in _SINGLE.items():
        with contextlib.suppress(LookupError, ValueError):
            found[name] = _number(root, where)
    for name, where in _TRIPLES.items():
        with contextlib.suppress(LookupError, ValueError):
            values = tuple(_number(root, f"{where}/{axis}") for axis in "xyz")
            found[name] = tuple(int(value) for value in values) if "matrix" in name else values
    with contextlib.suppress(LookupError, ValueError):
        limits = "encoding/encodingLimits/kspace_encoding_step_1"
        center, last = int(_number(root, f"{limits}/center")), int(_number(root, f"{limits}/maximum"))
        columns = int(_number(root, "encoding/encodedSpace/matrixSize/y"))
        first = columns // 2 - center
        found["padding"] = (min(max(first, 0), columns), min(max(first + last + 1, 0), columns))
    return found


def _number(root: ET.Element, where: str) -> float:
    element = root.find("/".join(_NAMESPACE + part for part in where.split("/")))
    if element is None or element.text is None:
        raise LookupError(where)
    return float(element.text)
