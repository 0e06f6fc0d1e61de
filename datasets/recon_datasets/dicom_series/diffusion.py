"""Diffusion weighting: b-values and directions of gradients, by the standard or one of three makers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from recon_datasets.dicom_series.csa import CSA_CREATOR, CSA_IMAGE, csa_numbers
from recon_datasets.dicom_series.frame import Frame, Weighting
from recon_datasets.dicom_series.header import Fields

__all__ = ["gradient_table", "weighting"]

_B_VALUE, _DIRECTION = 0x00189087, 0x00189089
_SIEMENS = 0x00190010, "SIEMENS MR HEADER", 0x0019100C, (0x0019100E,)
_PHILIPS = 0x20010010, "Philips Imaging DD 001", 0x20011003, (0x200510B0, 0x200510B1, 0x200510B2)
_GE = 0x00430010, "GEMS_PARM_01", 0x00431039, (0x001910BB, 0x001910BC, 0x001910BD)
_FULL_SCALE = 10**9
"""GE adds multiples of this to b-values."""
_COMPUTED = {"ADC", "EADC", "FA", "TENSOR", "TENSOR_B0"}
"""Words of ImageType: maps made of many measurements, which have no weighting of their own."""


def weighting(fields: Fields) -> Weighting | None:
    """Return how a slice was weighted, or None where the header does not say.

    GE states directions along frequency, phase and slice: they tell volumes apart and say nothing of the patient.
    """
    value = fields.number(_B_VALUE)
    direction = fields.numbers(_DIRECTION)
    in_patient = True
    for creator, name, own_value, own_direction in (_SIEMENS, _PHILIPS, _GE):
        if fields.word(creator) != name:
            continue
        stated = fields.number(own_value)
        value = stated if value is None else value
        if len(direction) != 3 and stated is not None:
            direction = [part for tag in own_direction for part in fields.numbers(tag)]
            in_patient = name != _GE[1]
    if value is None and fields.word(CSA_CREATOR) == "SIEMENS CSA HEADER" and "DIFFUSION" in fields.words(0x00080008):
        found = csa_numbers(fields.raw(CSA_IMAGE), ("B_value", "DiffusionGradientDirection"))
        value = next(iter(found.get("B_value", [])), None)
        direction = found.get("DiffusionGradientDirection", [])
    return None if value is None else weighted(value, direction, in_patient=in_patient)


def weighted(value: float, direction: Sequence[float], *, in_patient: bool = True) -> Weighting:
    """Return a weighting, rounded to what tells volumes apart.

    Parameters
    ----------
    value
        b-value in s/mm2.
    direction
        Of the gradient, in DICOM's axes of the patient (LPS); anything but three numbers is none.
    in_patient
        Whether it is in those axes.
    """
    known = tuple(round(part, 5) for part in direction) if len(direction) == 3 else ()
    return Weighting(round(value % _FULL_SCALE, 2), known, in_patient)


def gradient_table(volumes: Sequence[Sequence[Frame]]) -> tuple[dict[str, tuple[float, ...]], list[str]]:
    """Return `Image.metadata` of diffusion, a value a volume, and notes; nothing where no volume was weighted.

    Parameters
    ----------
    volumes
        Frames by time, then along z.

    Returns
    -------
    :
        b-values in s/mm2; and where the header places them in the patient, unit vectors of the gradients towards the
        patient's right, front and head (RAS): zero where b is, and where a volume has none.
    """
    found = [frames[0].times.diffusion for frames in volumes]
    mixed = any(len({frame.times.diffusion for frame in frames}) > 1 for frames in volumes)
    if mixed or not any(known and known.b_value for known in found) or _COMPUTED & {*volumes[0][0].kind.words}:
        return {}, []
    notes = []
    silent = sum(known is None for known in found)
    if silent:
        notes.append(f"volumes that state no b-value among weighted ones count as b = 0: {silent}")
    table: dict[str, tuple[float, ...]] = {"b_values_s_mm2": tuple(known.b_value if known else 0.0 for known in found)}
    vectors = np.array([_vector(known) for known in found])
    directed = (vectors != 0).any(axis=1)
    if directed.any():
        without = int(((np.array(table["b_values_s_mm2"]) > 0) & ~directed).sum())
        if without:
            notes.append(f"weighted volumes without a direction, averages over directions (trace): {without}")
        for axis, name in enumerate(("gradient_x", "gradient_y", "gradient_z")):
            table[name] = tuple(vectors[:, axis].tolist())
    return table, notes


def _vector(known: Weighting | None) -> tuple[float, float, float]:
    """Return the unit vector in RAS, or zeros."""
    if known is None or not known.b_value or not known.direction or not known.in_patient:
        return (0.0, 0.0, 0.0)
    x, y, z = known.direction
    length = float(np.sqrt(x * x + y * y + z * z))
    if abs(length - 1) > 1e-2:  # not a direction, whatever it is
        return (0.0, 0.0, 0.0)
    return (0.0 - x / length, 0.0 - y / length, 0.0 + z / length)
