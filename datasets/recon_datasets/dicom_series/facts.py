"""What a header says about the kind of a frame, in numbers and known code words."""

from __future__ import annotations

import math
from collections.abc import Sequence

from recon_datasets.dicom_series.frame import Kind
from recon_datasets.dicom_series.header import Fields
from recon_datasets.dicom_series.suv import pet_unit

__all__ = ["echo_ms", "image_words", "kind_of", "technical"]

_TECHNICAL = {
    0x00180060: "kvp",
    0x00181151: "tube_current_mA",
    0x00180080: "repetition_time_ms",
    0x00180081: "echo_time_ms",
    0x00180082: "inversion_time_ms",
    0x00181314: "flip_angle_deg",
    0x00180087: "field_strength_T",
    0x00180050: "slice_thickness_mm",
    0x00181120: "gantry_tilt_deg",
}
_COMPONENTS = {
    "M": "magnitude", "MAGNITUDE": "magnitude", "P": "phase", "PHASE": "phase", "PHASE MAP": "phase",
    "R": "real", "REAL": "real", "I": "imaginary", "IMAGINARY": "imaginary",
}  # fmt: skip
_GE_CREATOR, _GE_COMPONENT, _GE_COLLAPSE = 0x00430010, 0x0043102F, 0x00431030
"""The last one ("Vas collapse flag") is 0 but where a sequence gives several images: 2 for the magnitude and 3 to 5 for
the flow of phase contrast; 2 for the magnitude and 0 for the map in Hz of a field-map sequence."""
_PHILIPS_CREATOR, _PHILIPS_SCALE = 0x20050010, 0x2005100E
_GE_COMPONENTS = ("magnitude", "phase", "real", "imaginary")
_GE_SEQUENCES = (0x0019109C, 0x0019109E)
"""Names of the pulse sequence."""
_HARMLESS = {"ND", "NORM", "DIS2D", "DIS3D", "MOSAIC", "NONE", "SH", "FIL", "MFSPLIT", ""}
"""Words of ImageType that tell of filters, not of another kind of image."""


def image_words(words: Sequence[str]) -> tuple[str, ...]:
    """Return what ImageType says from its third value on, without words of filters."""
    return tuple(word for word in words[2:] if word not in _HARMLESS)


def kind_of(
    fields: Fields,
    modality: str,
    words: tuple[str, ...],
    echo: float,
    *,
    scaled: bool,
    rescale: Fields,
    real_world: Fields | None = None,
) -> Kind:
    """Return the kind of a frame.

    Parameters
    ----------
    fields
        Where the component (magnitude, phase ...) may stand.
    modality
        CT, MR, PT ...
    words
        By `image_words`.
    echo
        Echo time in ms, 0 for none.
    scaled
        Whether slope and intercept are stated.
    rescale
        Where slope, intercept and the type of the rescaled values may stand.
    real_world
        Real-world value mapping, if the frame has one.
    """
    declared = rescale.word(0x00281054)
    table = fields.items(0x00283000)
    if table:
        declared, scaled = table[0].word(0x00283004), True
    component, unit = "", "arbitrary"
    if modality == "CT" and scaled and declared in ("", "HU", "US"):
        unit = "HU" if not table or declared == "HU" else unit
    elif modality == "PT":
        unit = pet_unit(fields)
    elif modality == "MR":
        component, more = _component(fields, words)
        words = (*words, *more)
        if component == "field" or declared == "Hz" or _in_hertz(real_world, rescale):
            component, unit = "field", "Hz"
        elif declared not in ("", "US", "normalized"):
            words = (*words, declared)
    return Kind(modality, component, echo, words, unit, "LOCALIZER" in words)


def _component(fields: Fields, words: tuple[str, ...]) -> tuple[str, tuple[str, ...]]:
    """Return the component of an MR image, and what else tells it from others in its place."""
    if fields.word(_GE_CREATOR) == "GEMS_PARM_01":
        collapse, code = fields.integer(_GE_COLLAPSE, 0), fields.number(_GE_COMPONENT)
        if collapse == 0 and any("b0map" in fields.word(tag).lower() for tag in _GE_SEQUENCES):
            return "field", ()
        if collapse in (0, 2) and code in (0, 1, 2, 3):
            return _GE_COMPONENTS[int(code)], ()
        return "", (f"collapse {collapse}",) if collapse else ()
    stated = _COMPONENTS.get(fields.word(0x00089208), "")
    return stated or next((_COMPONENTS[word] for word in words if word in _COMPONENTS), ""), ()


def _in_hertz(real_world: Fields | None, rescale: Fields) -> bool:
    """Whether the real-world values are in Hz, and are those that slope and intercept give."""
    if real_world is None:
        return False
    unit = next(iter(real_world.items(0x004008EA)), None)
    pairs = ((0x00409225, 0x00281053), (0x00409224, 0x00281052))
    equal = [
        (a := real_world.number(mapped)) is not None
        and (b := rescale.number(stored)) is not None
        and math.isclose(a, b, rel_tol=1e-6, abs_tol=1e-9)
        for mapped, stored in pairs
    ]
    return unit is not None and unit.word(0x00080100) == "Hz" and all(equal)


def echo_ms(fields: Fields, modality: str) -> float:
    """Return the echo time in ms, rounded to what tells echoes apart; 0 where there is none."""
    value = fields.number(0x00180081) if modality == "MR" else None
    return 0.0 if value is None else round(value, 3)


def technical(fields: Fields) -> dict[str, float]:
    """Return facts for `Image.metadata`."""
    found = {name: fields.number(tag) for tag, name in _TECHNICAL.items()}
    scale, slope = fields.number(_PHILIPS_SCALE), fields.number(0x00281053)
    if scale and slope and fields.word(_PHILIPS_CREATOR).startswith("Philips MR"):
        found["philips_scale"] = scale * slope
    return {name: value for name, value in found.items() if value is not None and math.isfinite(value)}
