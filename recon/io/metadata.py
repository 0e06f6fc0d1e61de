"""What may be said about an image: technical facts, quantities, units and notes; nothing that names a patient.

Free of torch, so that files can be listed quickly.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from typing import Any

from recon.errors import UsageError

__all__ = ["METADATA", "PER_ITEM", "QUANTITIES", "UNITS", "Value", "check_metadata", "check_quantity", "codes"]

METADATA: Mapping[str, str] = {
    "acceleration": "undersampling factor of the measurement",
    "acquisition": "kind of protocol, as the data set names it",
    "air_per_mm": "attenuation in 1/mm that -1000 HU stands for",
    "b_values_s_mm2": "diffusion weighting, one value a volume along 't'",
    "coils": "receiver channels",
    "coordinate_space": "what the world coordinates refer to: scanner, aligned, talairach, mni",
    "echo_time_ms": "echo time",
    "echo_times_ms": "echo times along axis 'echo'",
    "encoded_fov_mm": "field of view of the measured k-space (x, y, z)",
    "encoded_matrix": "matrix of the measured k-space (x, y, z)",
    "field_strength_T": "main field",
    "flip_angle_deg": "flip angle",
    "gantry_tilt_deg": "tilt as the scanner states it",
    "gradient_x": "direction of the diffusion gradient towards the patient's right, one value a volume along 't'",
    "gradient_y": "likewise towards the front",
    "gradient_z": "likewise towards the head",
    "inversion_time_ms": "inversion time",
    "kernel": "reconstruction kernel",
    "kvp": "tube voltage in kV",
    "manufacturer": "maker of the scanner",
    "maximum": "largest value of the reference volume",
    "modality": "CT, MR, PT ...",
    "num_low_frequency": "fully sampled central columns",
    "padding": "columns (first, past the last) that were measured",
    "photons": "photons of a ray that meets nothing",
    "philips_scale": 'what values are divided by for Philips\' own ("precise") ones, comparable between scans',
    "photometric": "MONOCHROME1 images are displayed inverted",
    "recon_fov_mm": "field of view of the reconstructed image (x, y, z)",
    "recon_matrix": "matrix of the reconstructed image (x, y, z)",
    "repetition_time_ms": "repetition time",
    "sequence": "kind of pulse sequence",
    "slice_thickness_mm": "nominal slice thickness",
    "suv_factor": "SUV in g/ml per Bq/ml, by body weight",
    "times_s": "start of each volume along axis 't' after the first",
    "tube_current_mA": "tube current",
    "water_per_mm": "attenuation in 1/mm that 0 HU stands for",
    "window": "centre and width of the values from black to white, as a radiograph's file asks for",
}
"""Technical metadata that may travel with an image. Nothing else does, so no name of a patient can."""

PER_ITEM: Mapping[str, str] = {
    "b_values_s_mm2": "t",
    "gradient_x": "t",
    "gradient_y": "t",
    "gradient_z": "t",
    "times_s": "t",
    "echo_times_ms": "echo",
}
"""Metadata that have one value for each item along an axis, which follow when items are picked or reversed."""

UNITS: Mapping[str, str] = {
    "1": "pure numbers: labels, fractions, probabilities",
    "1/mm": "linear attenuation",
    "Bq/ml": "activity concentration",
    "Gy": "absorbed dose",
    "HU": "Hounsfield units",
    "Hz": "off-resonance",
    "arbitrary": "unknown or arbitrary",
    "counts": "detected events",
    "g/ml": "standardised uptake value by body weight",
    "mm": "displacement",
    "mm2/s": "diffusion coefficient",
    "ms": "relaxation times",
    "rad": "phase",
}
"""Units of voxel values."""

QUANTITIES: Mapping[str, tuple[str, ...]] = {
    "activity": ("Bq/ml", "counts"),
    "attenuation": ("HU", "1/mm"),
    "diffusivity": ("mm2/s",),
    "displacement": ("mm",),
    "dose": ("Gy", "arbitrary"),
    "field": ("Hz",),
    "fraction": ("1",),
    "imaginary": ("arbitrary",),
    "label": ("1",),
    "magnitude": ("arbitrary",),
    "phase": ("rad", "arbitrary"),
    "real": ("arbitrary",),
    "relaxation time": ("ms",),
    "uptake": ("g/ml",),
    "unknown": tuple(UNITS),
}
"""What voxel values may be, with the units that fit; the first is the usual one."""

_USUAL = {
    "HU": "attenuation", "1/mm": "attenuation", "Bq/ml": "activity", "counts": "activity", "g/ml": "uptake",
    "Gy": "dose", "Hz": "field", "mm": "displacement", "mm2/s": "diffusivity", "ms": "relaxation time", "rad": "phase",
}  # fmt: skip
_CODE = re.compile(r"(RECON-[A-Z0-9]+(?:-[A-Z0-9]+)+)\b")

Scalar = str | int | float | bool
Value = Scalar | tuple[Scalar, ...]


def check_metadata(metadata: Mapping[str, Any]) -> dict[str, Value]:
    """Return a copy of the metadata with plain values.

    Raises
    ------
    UsageError
        If a name is not in `METADATA` or a value is not plain.
    """
    checked: dict[str, Value] = {}
    for key, value in metadata.items():
        if key not in METADATA:
            raise UsageError(
                f"metadata {key!r} is not on the list of technical facts that may travel (recon.io.image.METADATA)"
            )
        plain = tuple(value) if isinstance(value, (list, tuple)) else value
        if not all(isinstance(item, Scalar) for item in (plain if isinstance(plain, tuple) else (plain,))):
            raise UsageError(
                f"metadata {key!r} must be a number, a string or a list of them, not {type(value).__name__}"
            )
        checked[key] = plain
    return checked


def check_quantity(quantity: str | None, unit: str) -> str:
    """Return the quantity of values in a unit; None gives the one that the unit tells, else "unknown".

    Raises
    ------
    UsageError
        If the unit or the quantity is not known, or they do not go together.
    """
    if unit not in UNITS:
        near = difflib.get_close_matches(str(unit).lower(), [name.lower() for name in UNITS], 1)
        meant = next((f"; did you mean {name!r}?" for name in UNITS if near == [name.lower()]), "")
        raise UsageError(f"an unknown unit; known ones: {', '.join(UNITS)}{meant}")
    if quantity is None:
        return _USUAL.get(unit, "unknown")
    if quantity not in QUANTITIES:
        raise UsageError(f"an unknown quantity; known ones: {', '.join(QUANTITIES)}")
    if unit not in QUANTITIES[quantity]:
        raise UsageError(f"values of {quantity} are in {' or '.join(QUANTITIES[quantity])}, not in {unit!r}")
    return quantity


def codes(notes: tuple[str, ...]) -> tuple[str, ...]:
    """Return the codes that notes begin with, each once: ``RECON-DICOM-TILT`` of ``RECON-DICOM-TILT: ...``."""
    found = (_CODE.match(note) for note in notes)
    return tuple(dict.fromkeys(match[1] for match in found if match))
