"""Three orthogonal slices of an image, beside a result on the same grid and their signed difference, as one picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow
from PIL import ImageDraw, ImageFont
from torch import Tensor

from recon.errors import UsageError
from recon.io.image import Image
from recon.io.picture import is_inverted
from recon.io.windows import window_limits

__all__ = ["ERROR_COLOURS", "Montage", "View", "montage", "views"]

Floats = NDArray[np.float64]

ERROR_COLOURS = ((33, 102, 172), (247, 247, 247), (178, 24, 43))
"""What the most negative difference, none, and the most positive one are drawn in."""
_EDGE, _TITLE, _BAR = 6, 22, 34
"""Pixels between panels, above them for the title, and below them for the scale."""
_INK, _LETTER = (230, 230, 230), (255, 220, 90)


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """One slice, turned as radiologists look at it.

    Parameters
    ----------
    values
        (H, W).
    pixel
        Width and height of a pixel in mm, or their ratio.
    letters
        What lies to the left, right, top and bottom: of R L A P S I; None where the file does not say.
    """

    values: Floats
    pixel: tuple[float, float]
    letters: tuple[str, str, str, str] | None


@dataclass(frozen=True, slots=True, eq=False)
class Montage:
    """A picture and the scales that it was drawn with.

    Parameters
    ----------
    picture
        Pillow image, RGB.
    black, white
        Values of the grey scale's ends.
    error
        Difference that is drawn in full colour, of either sign; None without a result.
    notes
        What was left out or is not known.
    """

    picture: Pillow.Image
    black: float
    white: float
    error: float | None
    notes: tuple[str, ...]


def montage(
    image: Image,
    result: Image | None = None,
    *,
    window: str | tuple[float, float] | None = None,
    error: float | None = None,
    at: Sequence[int] | None = None,
    size: int = 360,
) -> Montage:
    """Draw axial, coronal and sagittal slices with letters of orientation; of a plane, that plane.

    With a result, three columns show image, result and result - image; all columns of a kind share one scale.

    Parameters
    ----------
    image
        The image, or the reference.
    result
        An image on the same grid, in the same unit.
    window
        Name of a preset, or centre and width. By default soft tissue for HU, else from the 1st to the 99th percentile
        of what is shown of `image`.
    error
        Difference that gets the full colour; by default the 99.5th percentile of the magnitude of those shown.
    at
        Voxel (x, y, z) where the slices cross; by default the middle one.
    size
        Pixels along the longest edge of the volume.

    Raises
    ------
    UsageError
        If the two do not lie on one grid or differ in unit, `at` lies outside, or the window is none.
    """
    shown, notes = views(image, at=at)
    columns: list[tuple[str, list[View]]] = [("image" if result is None else "reference", shown)]
    if result is not None:
        _check_pair(image, result)
        others, more = views(result, at=at)
        notes = tuple(dict.fromkeys((*notes, *more)))
        if image.affine is None or result.affine is None:
            notes = (*notes, "one of the two has no place in a patient: compared voxel by voxel")
        differences = [
            View(other.values - own.values, own.pixel, own.letters) for own, other in zip(shown, others, strict=True)
        ]
        columns += [("result", others), ("result - reference", differences)]
        error = _error(differences) if error is None else error
        if not (np.isfinite(error) and error > 0):
            raise UsageError(f"the range of differences must be above 0, not {error:g}")
    black, white = _limits(image, shown, window)
    if is_inverted(image):
        black, white, notes = white, black, (*notes, "drawn inverted, as the file asks for (MONOCHROME1)")
    extent = max(n * p for view in shown for n, p in zip(view.values.shape[::-1], view.pixel, strict=True))
    panels = []
    for title, column in columns:
        grey = title != "result - reference"
        ends = (black, white) if grey or error is None else (-error, error)
        pictures = [_drawn(view, *ends, size / extent, grey=grey) for view in column]
        panels.append((title, pictures, ends, grey))
    return Montage(_composed(panels, image.unit), black, white, error if result is not None else None, notes)


def views(image: Image, *, at: Sequence[int] | None = None) -> tuple[list[View], tuple[str, ...]]:
    """Cut an image in its axial, coronal and sagittal planes through a voxel; returns them, and what was left out.

    The patient's right is on the left of axial and coronal slices, the front on the left of sagittal ones. Oblique
    images are shown along their own axes, which get the letters of what they are closest to.
    """
    notes = []
    dims = list(image.dims)
    planar = "z" not in dims
    if len(dims) > (2 if planar else 3):
        notes.append(f"the first along {', '.join(dims[: -2 if planar else -3])} is shown")
    if image.data.is_complex():
        notes.append("magnitudes are shown")
    sizes = image.space[::-1]
    at = [count // 2 for count in sizes] if at is None else list(at)[: len(sizes)]
    if len(at) != len(sizes) or not all(0 <= index < count for index, count in zip(at, sizes, strict=True)):
        raise UsageError(f"voxel {' '.join(map(str, at))} is not in an image of {' x '.join(map(str, sizes))}")
    if image.affine is None:
        notes.append("the file does not say where in the patient this is: no letters, axes as stored")
        spacing = image.voxel_size or (1.0,) * len(sizes)
        return _planes(_first(image), at, (*spacing, 1.0)[:3], planar=planar, letters=None), tuple(notes)
    turned = _upright(image)
    assert turned.affine is not None  # noqa: S101 - turning keeps it
    place = np.linalg.inv(turned.affine) @ image.affine @ [*at, *[0] * (3 - len(at)), 1]
    index = [round(float(value)) for value in place[: len(sizes)]]
    orientation = turned.orientation or ""
    steps = np.linalg.norm(turned.affine[:3, :3], axis=0)
    spacing = (float(steps[0]), float(steps[1]), float(steps[2]))
    return _planes(_first(turned), index, spacing, planar=planar, letters=orientation), tuple(notes)


def _upright(image: Image) -> Image:
    """Turn a volume to LPS, a plane as its view is looked at: towards L or P, and towards P or I."""
    if "z" in image.dims:
        return image.oriented("LPS")
    own = (image.orientation or "")[:2]
    wanted = {frozenset("LP"): "LP", frozenset("LI"): "LI", frozenset("PI"): "PI"}
    usual = {"R": "L", "A": "P", "S": "I"}
    return image.oriented(wanted[frozenset(usual.get(letter, letter) for letter in own)])


def _first(image: Image) -> Tensor:
    return image.data[(0,) * (image.data.ndim - len(image.space))]


_OPPOSITE = {"L": "R", "R": "L", "P": "A", "A": "P", "S": "I", "I": "S"}


def _planes(
    data: Tensor, at: Sequence[int], spacing: Sequence[float], *, planar: bool, letters: str | None
) -> list[View]:
    across, along, deep = spacing
    if planar:
        edges = (_OPPOSITE[letters[0]], letters[0], _OPPOSITE[letters[1]], letters[1]) if letters else None
        return [View(_array(data), (across, along), edges)]
    x, y, z = at
    coronal, sagittal = data[:, y], data[:, :, x]
    if letters is None:
        planes = (data[z], (across, along)), (coronal, (across, deep)), (sagittal, (along, deep))
        return [View(_array(plane), pixel, None) for plane, pixel in planes]
    return [
        View(_array(data[z]), (across, along), ("R", "L", "A", "P")),
        # Rows run from head to feet, against z.
        View(_array(coronal.flip(0)), (across, deep), ("R", "L", "S", "I")),
        View(_array(sagittal.flip(0)), (along, deep), ("A", "P", "S", "I")),
    ]


def _array(plane: Tensor) -> Floats:
    values: Floats = (plane.abs() if plane.is_complex() else plane).detach().cpu().double().numpy()
    return values


def _check_pair(image: Image, result: Image) -> None:
    if image.dims[-len(image.space) :] != result.dims[-len(result.space) :] or image.space != result.space:
        raise UsageError(
            f"the images have different sizes, {image.space} and {result.space}: resample one to the other"
        )
    if image.unit != result.unit:
        raise UsageError(f"the images are in {image.unit!r} and {result.unit!r}: their difference means nothing")
    if image.affine is not None and result.affine is not None and not image.same_grid(result, tolerance_mm=1e-2):
        raise UsageError("the images lie in different places of the patient: resample one to the other")


def _limits(image: Image, shown: Sequence[View], window: str | tuple[float, float] | None) -> tuple[float, float]:
    if window is None and image.unit == "HU":
        window = "soft_tissue"
    if window is not None:
        return window_limits(window)
    values = np.concatenate([view.values[np.isfinite(view.values)] for view in shown])
    if values.size == 0:
        return 0.0, 1.0
    low, high = (float(value) for value in np.percentile(values, (1, 99)))
    return (low, high) if high > low else (float(values.min()), max(float(values.max()), float(values.min()) + 1e-12))


def _error(differences: Sequence[View]) -> float:
    values = np.concatenate([np.abs(view.values[np.isfinite(view.values)]) for view in differences])
    top = float(np.percentile(values, 99.5)) if values.size else 0.0
    top = top or (float(values.max()) if values.size else 0.0)
    if top == 0:
        return 1.0
    digits = 10.0 ** (np.floor(np.log10(top)) - 1)
    return float(np.ceil(top / digits) * digits)


def _drawn(view: View, low: float, high: float, scale: float, *, grey: bool) -> Pillow.Image:
    """Draw one slice with square pixels, `scale` of them a mm."""
    values = np.nan_to_num((view.values - low) / (high - low), nan=0.0 if grey else 0.5, posinf=1.0, neginf=0.0)
    # Clipped before it is resized: a metal implant beyond the window would smear far over its edge.
    plane = Pillow.fromarray(np.clip(values, 0, 1).astype(np.float32))
    size = [max(1, round(n * p * scale)) for n, p in zip(view.values.shape[::-1], view.pixel, strict=True)]
    resized = np.asarray(plane.resize((size[0], size[1]), Pillow.Resampling.BILINEAR))
    picture = Pillow.fromarray(_colours(resized, grey=grey))
    if view.letters is not None:
        _letter(picture, view.letters)
    return picture


def _colours(values: NDArray[Any], *, grey: bool) -> NDArray[np.uint8]:
    """Return RGB of values in [0, 1]."""
    stops = ((0, 0, 0), (127.5, 127.5, 127.5), (255, 255, 255)) if grey else ERROR_COLOURS
    channels = [np.interp(values, (0, 0.5, 1), [stop[channel] for stop in stops]) for channel in range(3)]
    colours: NDArray[np.uint8] = np.rint(np.stack(channels, axis=-1)).astype(np.uint8)
    return colours


def _letter(picture: Pillow.Image, letters: tuple[str, str, str, str]) -> None:
    draw, font = ImageDraw.Draw(picture), ImageFont.load_default(14)
    width, height = picture.size
    places = ((4, height / 2, "lm"), (width - 4, height / 2, "rm"), (width / 2, 3, "ma"), (width / 2, height - 3, "md"))
    for letter, (x, y, anchor) in zip(letters, places, strict=True):
        draw.text((x, y), letter, _LETTER, font, anchor=anchor, stroke_width=2, stroke_fill=(0, 0, 0))


def _composed(
    panels: Sequence[tuple[str, Sequence[Pillow.Image], tuple[float, float], bool]], unit: str
) -> Pillow.Image:
    """Put columns side by side: title, slices, scale."""
    widths = [max(max(picture.width for picture in pictures), 150) for _, pictures, _, _ in panels]
    heights = [max(pictures[row].height for _, pictures, _, _ in panels) for row in range(len(panels[0][1]))]
    height = _TITLE + sum(heights) + _EDGE * len(heights) + _BAR
    canvas = Pillow.new("RGB", (sum(widths) + _EDGE * (len(widths) + 1), height))
    draw, font = ImageDraw.Draw(canvas), ImageFont.load_default(13)
    left = _EDGE
    for (title, pictures, (low, high), grey), width in zip(panels, widths, strict=True):
        draw.text((left + width / 2, _TITLE / 2), title, _INK, font, anchor="mm")
        top = _TITLE
        for picture, room in zip(pictures, heights, strict=True):
            canvas.paste(picture, (left + (width - picture.width) // 2, top + (room - picture.height) // 2))
            top += room + _EDGE
        ramp = _colours(np.tile(np.linspace(0, 1, width), (10, 1)), grey=grey)
        canvas.paste(Pillow.fromarray(ramp), (left, top))
        draw.text((left, top + 13), f"{low:.4g}", _INK, font, anchor="la")
        draw.text((left + width / 2, top + 13), "" if unit == "arbitrary" else unit, _INK, font, anchor="ma")
        draw.text((left + width, top + 13), f"{high:.4g}", _INK, font, anchor="ra")
        left += width + _EDGE
    return canvas
