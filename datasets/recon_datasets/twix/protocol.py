"""The protocol of a twix file as the header of a scan."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from recon.errors import FileFormatError
from recon.io.image import Value
from recon.io.mrd_header import Encoding, Limit, MRDHeader, Space
from recon.io.raw.readouts import EXCLUDED, Readouts

__all__ = ["header_of"]

_TRAJECTORIES = {1: "cartesian", 2: "radial", 4: "spiral", 8: "propeller"}


def header_of(protocol: Mapping[str, Any], readouts: Readouts, path: Path) -> MRDHeader:
    """Return the header: matrix and field of view, encoded and shown, the centre of k-space, technical facts.

    Raises
    ------
    FileFormatError
        If the protocol lacks the matrix or the field of view.
    """
    yaps, meas = protocol.get("MeasYaps", {}), protocol.get("Meas", {})
    space, first = yaps.get("sKSpace", {}), _first_slice(yaps)
    base, lines = _whole(space.get("lBaseResolution")), _whole(space.get("lPhaseEncodingLines"))
    lengths = [_number(first.get(name)) for name in ("dReadoutFOV", "dPhaseFOV", "dThickness")]
    if base is None or lines is None or None in lengths:
        raise FileFormatError(f"{path}: its protocol states no matrix or no field of view")
    read, phase, thick = (length or 0.0 for length in lengths)
    volume = _whole(space.get("ucDimension")) == 4
    partitions = _whole(space.get("lPartitions")) or 1
    encoded = (
        _whole(meas.get("iNoOfFourierColumns")) or 2 * base,
        _whole(meas.get("iPEFTLength")) or lines,
        (_whole(meas.get("i3DFTLength")) or partitions) if volume else 1,
    )
    wider = [1 + (_number(space.get(f"d{name}OversamplingForDialog")) or 0.0) for name in ("Phase", "Slice")]
    fov = (read * encoded[0] / base, phase * wider[0], thick * (wider[1] if volume else 1))
    shown = (base, round(base * phase / read), (_whole(space.get("lImagesPerSlab")) or partitions) if volume else 1)
    encoding = Encoding(
        encoded=Space(encoded, fov),
        recon=Space(shown, (read, phase, thick)),
        limits=_limits(readouts),
        trajectory=_TRAJECTORIES.get(_whole(space.get("ucTrajectory")) or 1, "unknown"),
    )
    return MRDHeader((encoding,), _facts(protocol), vendor="siemens", noise_bandwidth=0.793)


def _limits(readouts: Readouts) -> dict[str, Limit]:
    """Return ranges and centres that readouts of images state themselves."""
    imaging = ~readouts.flagged(*EXCLUDED)
    if not imaging.any():
        return {}
    found = {}
    for step, user in (("1", 5), ("2", 6)):
        counter = readouts.counter(f"kspace_encode_step_{step}")[imaging]
        center = int(readouts.head["idx"]["user"][:, user][imaging][0])
        found[f"kspace_encoding_step_{step}"] = Limit(int(counter.min()), int(counter.max()), center)
    return found


def _facts(protocol: Mapping[str, Any]) -> dict[str, Value]:
    yaps, dicom = protocol.get("MeasYaps", {}), protocol.get("Dicom", {})
    named = {
        "field_strength_T": _number(dicom.get("flMagneticFieldStrength")),
        "repetition_time_ms": _scaled(yaps.get("alTR"), 1e-3),
        "echo_time_ms": _scaled(yaps.get("alTE"), 1e-3),
        "inversion_time_ms": _scaled(yaps.get("alTI"), 1e-3),
        "flip_angle_deg": _scaled(yaps.get("adFlipAngleDegree"), 1.0),
    }
    facts: dict[str, Value] = {"modality": "MR", "manufacturer": "SIEMENS"}
    return facts | {name: value for name, value in named.items() if value is not None}


def _first_slice(yaps: Mapping[str, Any]) -> Mapping[str, Any]:
    slices = yaps.get("sSliceArray", {}).get("asSlice", [])
    return slices[0] if slices and isinstance(slices[0], Mapping) else {}


def _number(value: Any) -> float | None:
    value = value[0] if isinstance(value, list) and value else value
    known = isinstance(value, (int, float)) and not isinstance(value, bool) and np.isfinite(value) and value >= 0
    return float(value) if known else None


def _whole(value: Any) -> int | None:
    number = _number(value)
    return None if number is None else int(number)


def _scaled(value: Any, factor: float) -> float | None:
    number = _number(value)
    return None if number is None else number * factor
