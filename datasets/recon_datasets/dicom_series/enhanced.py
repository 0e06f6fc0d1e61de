"""Functional groups of enhanced multi-frame images: what each frame says, else what all share."""

from __future__ import annotations

from recon_datasets.dicom_series.diffusion import weighted, weighting
from recon_datasets.dicom_series.frame import Times
from recon_datasets.dicom_series.header import Fields

__all__ = ["Groups"]

_FRAME_TYPES = (0x00189226, 0x00189329, 0x00189751)
_PHILIPS_PRIVATE = 0x2005140F
"""Philips repeats the classic elements of each frame in a private sequence."""


class Groups:
    """Lookups in the functional groups of one frame: per-frame groups win over shared ones.

    Parameters
    ----------
    own
        The frame's groups.
    shared
        Those of all frames.
    fields
        The whole data set, for what stands there.
    """

    __slots__ = ("fields", "frame_type", "own", "rescale", "shared")

    def __init__(self, own: Fields, shared: Fields | None, fields: Fields) -> None:
        self.own, self.shared, self.fields = own, shared, fields
        self.frame_type = next((found for tag in _FRAME_TYPES if (found := self.group(tag)) is not None), fields)
        self.rescale = self.group(0x00289145) or fields

    @property
    def real_world(self) -> Fields | None:
        """Real-world value mapping: unit, slope and intercept."""
        return self.group(0x00409096)

    def group(self, tag: int) -> Fields | None:
        """Return the first item of a functional group."""
        for place in (self.own, self.shared):
            found = place.items(tag) if place is not None else []
            if found:
                return found[0]
        return None

    def number(self, group: int, tag: int) -> float | None:
        """Return a number of a functional group."""
        found = self.group(group)
        return None if found is None else found.number(tag)

    def numbers(self, group: int, tag: int) -> list[float]:
        """Return the numbers of an element of a functional group."""
        found = self.group(group)
        return [] if found is None else found.numbers(tag)

    @property
    def orientation(self) -> list[float]:
        """ImageOrientationPatient."""
        return self.numbers(0x00209116, 0x00200037)

    @property
    def position(self) -> list[float]:
        """ImagePositionPatient."""
        return self.numbers(0x00209113, 0x00200032)

    @property
    def spacing(self) -> list[float]:
        """PixelSpacing: between rows, between columns."""
        return self.numbers(0x00289110, 0x00280030)

    @property
    def thickness(self) -> float:
        """Nominal thickness in mm; 0 where it is not known."""
        return self.number(0x00289110, 0x00180050) or 0.0

    @property
    def words(self) -> list[str]:
        """FrameType, else ImageType."""
        return self.frame_type.words(0x00089007) or self.fields.words(0x00080008)

    @property
    def echo_ms(self) -> float:
        """Echo time; 0 where there is none."""
        return round(self.number(0x00189114, 0x00189082) or 0.0, 3)

    @property
    def times(self) -> Times:
        """What tells the frame from others in its place."""
        content = self.group(0x00209111)
        stated = self.group(0x00189117)
        private = self.group(_PHILIPS_PRIVATE)
        gradient = None
        value = None if stated is None else stated.number(0x00189087)
        if stated is not None and value is not None:
            direction = next(iter(stated.items(0x00189076)), None)
            gradient = weighted(value, [] if direction is None else direction.numbers(0x00189089))
        elif private is not None:
            gradient = weighting(private)
        return Times(
            temporal=None if content is None else content.number(0x00209128),
            diffusion=gradient,
            inversion_ms=self.number(0x00189115, 0x00189079),
            flip_deg=self.number(0x00189112, 0x00181314),
            trigger_ms=self.number(0x00189118, 0x00209153),
            acquisition=None if content is None else content.number(0x00209156),
        )
