"""Standardised uptake values of PET: activity over injected dose, decayed to the scan, times body weight."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from recon_datasets.dicom_series.errors import DicomError
from recon_datasets.dicom_series.header import Fields

__all__ = ["pet_unit", "uptake_factor", "uptake_facts"]

_UNIT, _UPTAKE_TYPE = 0x00541001, 0x00541006
_PHILIPS_CREATOR, _PHILIPS_UPTAKE = 0x70530010, 0x70531000
"""Philips writes images in counts, and the factor that makes standardised uptake values of them."""

_LATEST = 24 * 3600.0
"""Longest time in seconds between injection and scan that is believed."""


def pet_unit(fields: Fields) -> str:
    """Return the unit of a PET image; uptake is by body weight unless the file says otherwise."""
    stated, by = fields.word(_UNIT), fields.word(_UPTAKE_TYPE)
    if stated == "GML":
        return "g/ml" if by in ("", "BW") else "arbitrary"
    return {"BQML": "Bq/ml", "CNTS": "counts"}.get(stated, "arbitrary")


def uptake_facts(fields: Fields) -> dict[str, Any]:
    """Return what `uptake_factor` needs, as numbers, where the file tells.

    Parameters
    ----------
    fields
        Header of a PET image.
    """
    unit = pet_unit(fields)
    philips = fields.number(_PHILIPS_UPTAKE) if fields.word(_PHILIPS_CREATOR).startswith("Philips PET") else None
    drug = next(iter(fields.items(0x00540016)), None)
    if drug is None:
        return {"unit": unit, "per_count": philips}
    series = _moment(fields.word(0x00080021), fields.word(0x00080031))
    acquired = _moment(fields.word(0x00080022), fields.word(0x00080032))
    injected = _moment_of(drug.word(0x00181078)) or _moment(fields.word(0x00080021), drug.word(0x00181072))
    return {
        "unit": unit,
        "per_count": philips,
        "decay": fields.word(0x00541102),
        "weight_kg": fields.number(0x00101030),
        "dose_bq": drug.number(0x00181074),
        "half_life_s": drug.number(0x00181075),
        # Some makers restamp SeriesTime when images are processed: a scan does not begin after its first acquisition.
        "scan": min((moment for moment in (series, acquired) if moment is not None), default=None),
        "injected": injected,
    }


def uptake_factor(facts: list[dict[str, Any]], where: str) -> float:
    """Return the factor by which values become SUV (body weight) in g/ml: 1 if they are, in g/Bq if they are in Bq/ml.

    SUV = activity * weight / (dose * 2^(-(scan - injection) / half-life)), where images are decay-corrected to the
    start of the scan; where they are corrected to the injection the dose does not decay. Counts of Philips are
    multiplied by the factor that stands beside them.

    Parameters
    ----------
    facts
        Of all slices by `uptake_facts`.
    where
        Begins the message.

    Raises
    ------
    DicomError
        If something is missing or cannot be true.

    References
    ----------
    QIBA FDG-PET/CT profile; Boellaard et al., Eur. J. Nucl. Med. Mol. Imaging 42:328, 2015,
    doi:10.1007/s00259-014-2961-x
    """
    first = facts[0]
    if first["unit"] == "g/ml":
        return 1.0
    if first["unit"] == "counts":
        factors = {fact["per_count"] for fact in facts}
        factor = factors.pop()
        if factors or factor is None or factor <= 0:
            raise DicomError("RECON-DICOM-SUV", f"{where}: counts, without one factor that makes SUV of them")
        return float(factor)
    numbers = [first.get(name) for name in ("weight_kg", "dose_bq", "half_life_s")]
    if first["unit"] != "Bq/ml" or any(number is None or number <= 0 for number in numbers):
        raise _unknown(where, "weight, dose, half-life or the unit Bq/ml is missing")
    weight, dose, half_life = (float(number) for number in numbers if number is not None)
    if first.get("decay") == "ADMIN":
        return weight * 1000 / dose
    if first.get("decay") != "START":
        raise _unknown(where, "the file does not say to which time it is corrected for decay")
    scans = [fact["scan"] for fact in facts if fact.get("scan") is not None]
    injected = first.get("injected")
    if not scans or injected is None:
        raise _unknown(where, "the time of injection or of the scan is missing")
    waited = (min(scans) - injected).total_seconds()
    if not 0 <= waited <= _LATEST:
        raise _unknown(where, "the time from injection to scan is not between 0 and 24 hours")
    return weight * 1000 / (dose * float(2.0 ** (-waited / half_life)))


def _unknown(where: str, reason: str) -> DicomError:
    return DicomError("RECON-DICOM-SUV", f"{where}: {reason}, so there is no SUV; read it in Bq/ml, without suv")


def _moment(date: str, clock: str) -> datetime | None:
    return _moment_of(date + clock) if len(date) == 8 else None


def _moment_of(text: str) -> datetime | None:
    """Read YYYYMMDDHHMMSS with an optional fraction; offsets from UTC are the same for all times of a study."""
    try:
        whole, _, fraction = text.split("+")[0].split("-")[0].partition(".")
        return datetime.strptime(whole, "%Y%m%d%H%M%S").replace(microsecond=int((fraction or "0")[:6].ljust(6, "0")))
    except ValueError:
        return None
