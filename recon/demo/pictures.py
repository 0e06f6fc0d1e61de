"""Comparison pictures: every method's image above its error, on one scale."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from recon.demo.compare import Comparison

__all__ = ["comparison_picture", "stack"]

Pixels = NDArray[np.uint8]
_GAP, _CAPTION, _ZOOM = 6, 44, 2
_INK, _PALE, _PAPER = (255, 255, 255), (190, 190, 190), (0, 0, 0)


def comparison_picture(comparison: Comparison, index: int, *, errors: bool = True, zoom: int = _ZOOM) -> Image.Image:
    """Draw item `index`: reference and every method, captioned with its scores; below each its absolute error."""
    study = comparison.study
    reference = in_unit(comparison, comparison.reference[index])
    cells: list[tuple[list[str], Pixels, Pixels | None]] = [
        (["Reference", "fully sampled"], _gray(reference, study.window), None)
    ]
    for column in comparison.columns:
        values = in_unit(comparison, column.images[index])
        scores = f"{column.scores['psnr'][index]:.1f} dB, SSIM {column.scores['ssim'][index]:.3f}"
        cells.append(
            ([column.label, scores], _gray(values, study.window), _heat(np.abs(values - reference) / study.error))
        )
    height, width = (n * zoom for n in reference.shape)
    size = (len(cells) * (width + _GAP) - _GAP, _CAPTION + height + ((_GAP + height) if errors else 0))
    sheet = Image.new("RGB", size, _PAPER)
    draw = ImageDraw.Draw(sheet)
    for number, (caption, picture, error) in enumerate(cells):
        left = number * (width + _GAP)
        _write(draw, left + width / 2, caption)
        sheet.paste(_enlarge(picture, (width, height)), (left, _CAPTION))
        if errors and error is not None:
            sheet.paste(_enlarge(error, (width, height)), (left, _CAPTION + height + _GAP))
    if errors:
        _legend(sheet, draw, comparison, (width, height))
    return sheet


def stack(pictures: Sequence[Image.Image]) -> Image.Image:
    """Put pictures below each other."""
    width = max(picture.width for picture in pictures)
    sheet = Image.new("RGB", (width, sum(p.height for p in pictures) + 2 * _GAP * (len(pictures) - 1)), _PAPER)
    top = 0
    for picture in pictures:
        sheet.paste(picture, (0, top))
        top += picture.height + 2 * _GAP
    return sheet


def in_unit(comparison: Comparison, image: Tensor) -> NDArray[Any]:
    """Return an image in the unit of written files."""
    return np.asarray(image * comparison.study.scale + comparison.study.offset, dtype=np.float32)


def _gray(values: NDArray[Any], window: tuple[float, float]) -> Pixels:
    low, high = window
    return _levels(np.repeat(((values - low) / (high - low))[..., None], 3, axis=-1))


def _heat(share: NDArray[Any]) -> Pixels:
    """Draw 0 to 1 as black, red, yellow, white."""
    return _levels(np.stack([3 * share, 3 * share - 1, 3 * share - 2], axis=-1))


def _levels(values: NDArray[Any]) -> Pixels:
    levels: Pixels = (np.clip(values, 0, 1) * 255).round().astype(np.uint8)
    return levels


def _enlarge(picture: Pixels, size: tuple[int, int]) -> Image.Image:
    return Image.fromarray(picture).resize(size, Image.Resampling.BICUBIC)


def _write(draw: ImageDraw.ImageDraw, x: float, lines: Sequence[str], top: float = 4) -> None:
    draw.text((x, top), lines[0], fill=_INK, font=ImageFont.load_default(17), anchor="ma")
    if len(lines) > 1:
        draw.text((x, top + 21), lines[1], fill=_PALE, font=ImageFont.load_default(13), anchor="ma")


def _legend(sheet: Image.Image, draw: ImageDraw.ImageDraw, comparison: Comparison, size: tuple[int, int]) -> None:
    """Draw the scale of the error maps in the place that the reference, which has none, leaves free."""
    width, height = size
    top = _CAPTION + height + _GAP
    bar = _heat(np.tile(np.linspace(0, 1, width // 2), (12, 1)))
    left, y = width // 4, top + height // 2
    study = comparison.study
    unit = f" {study.unit}" if study.unit != "arbitrary" else ""
    sheet.paste(Image.fromarray(bar), (left, y))
    draw.text((width / 2, y - 8), "absolute error", fill=_INK, font=ImageFont.load_default(15), anchor="ms")
    small = ImageFont.load_default(13)
    draw.text((left, y + 18), "0", fill=_PALE, font=small, anchor="ma")
    draw.text((left + width // 2, y + 18), f"{study.error:g}{unit}", fill=_PALE, font=small, anchor="ma")
