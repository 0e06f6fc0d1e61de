"""What a header says about the kind of a frame, in numbers and known code words."""

from __future__ import annotations

import math
from collections.abc import Sequence

from recon_datasets.dicom_series.frame import Kind
from recon_datasets.dicom_series.header import Fields

__all__ = ["diffusion", "echo_ms", "image_words", "kind_of", "technical"]

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
_GE_COMPONENT = 0x0043102F
_GE_COMPONENTS = ("magnitude", "phase", "real", "imaginary")
_HARMLESS = {"ND", "NORM", "DIS2D", "DIS3D", "MOSAIC", "NONE", "SH", "FIL", "MFSPLIT", ""}
"""Words of ImageType that tell of filters, not of another kind of image."""
_FULL_SCALE = 10**9
"""GE adds multiples of this to b-values."""


def image_words(words: Sequence[str]) -> tuple[str, ...]:
    """Return what ImageType says from its third value on, without words of filters."""
    return tuple(word for word in words[2:] if word not in _HARMLESS)


def kind_of(
    fields: Fields, modality: str, words: tuple[str, ...], echo: float, *, scaled: bool, rescale: Fields
) -> Kind:
    """Return the kind of a frame.

    Parameters
    ----------
    fields
        Where the component (magnitude, phase ...) may stand.
    modality
        CT, MR or PT.
    words
        By `image_words`.
    echo
        Echo time in ms, 0 for none.
    scaled
        Whether slope and intercept are stated.
    rescale
        Where the type of the rescaled values may stand.
    """
    component = ""
    if modality == "MR":
        code = fields.number(_GE_COMPONENT)
        stated = _COMPONENTS.get(fields.word(0x00089208), "")
        component = (
            _GE_COMPONENTS[int(code)]
            if code is not None and code in (0, 1, 2, 3)
            else stated or next((_COMPONENTS[word] for word in words if word in _COMPONENTS), "")
        )
    declared = rescale.word(0x00281054)
    table = fields.items(0x00283000)
    if table:
        declared, scaled = table[0].word(0x00283004), True
    unit = "arbitrary"
    if modality == "CT" and scaled and declared in ("", "HU", "US"):
        unit = "HU" if not table or declared == "HU" else unit
    elif modality == "PT" and fields.word(0x00541001) == "BQML":
        unit = "Bq/ml"
    elif modality == "MR" and declared not in ("", "US", "normalized"):
        words = (*words, declared)
    return Kind(modality, component, echo, words, unit, "LOCALIZER" in words)


def echo_ms(fields: Fields, modality: str) -> float:
    """Return the echo time in ms, rounded to what tells echoes apart; 0 where there is none."""
    value = fields.number(0x00180081) if modality == "MR" else None
    return 0.0 if value is None else round(value, 3)


def diffusion(fields: Fields) -> tuple[float, ...] | None:
    """Return b-value and direction of the gradient, by the standard or one of three makers, or None."""
    value = next((v for tag in (0x00189087, 0x0019100C, 0x20011003) if (v := fields.number(tag)) is not None), None)
    if value is None:
        stated = fields.number(0x00431039)
        if stated is None:
            return None
        value = stated % _FULL_SCALE
    direction = fields.numbers(0x00189089) or fields.numbers(0x0019100E)
    if len(direction) != 3:
        for tags in ((0x001910BB, 0x001910BC, 0x001910BD), (0x200510B0, 0x200510B1, 0x200510B2)):
            parts = [fields.number(tag) for tag in tags]
            direction = [part for part in parts if part is not None]
            if len(direction) == 3:
                break
        else:
            direction = []
    return (round(value, 2), *(round(part, 4) for part in direction))


def technical(fields: Fields) -> dict[str, float]:
    """Return facts for `Image.metadata`."""
    found = {name: fields.number(tag) for tag, name in _TECHNICAL.items()}
    return {name: value for name, value in found.items() if value is not None and math.isfinite(value)}
