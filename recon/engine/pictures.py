"""Sample pictures of a run: input, prediction and target side by side."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from recon.engine.validation import Picture
from recon.io.atomic import atomic_file

__all__ = ["strip", "write_samples"]

_GAP = 4


def write_samples(folder: Path, step: int, pictures: Sequence[Picture]) -> list[Path]:
    """Write one PNG an item: what went in, what came out, what should have."""
    folder.mkdir(exist_ok=True)
    paths = []
    for index, picture in enumerate(pictures):
        paths.append(folder / f"step-{step:08d}-{index}.png")
        with atomic_file(paths[-1]) as temporary:
            Image.fromarray(strip(picture)).save(temporary, "PNG")
    return paths


def strip(picture: Picture) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Return the pictures side by side as uint8 (height, width, 3), windowed as the target is."""
    reference = picture.target if picture.target is not None else picture.prediction
    low, high = _window(_plane(reference))
    panels = []
    for part in (picture.source, picture.prediction, picture.target):
        if part is None:
            continue
        plane = _plane(part)
        # A back-projection or an adjoint has a scale of its own.
        lo, hi = _window(plane) if part is picture.source and part.shape != reference.shape else (low, high)
        panels.append(((plane - lo) / max(hi - lo, 1e-12)).clamp(0, 1).mul(255).round().byte().numpy())
    height = max(panel.shape[0] for panel in panels)
    padded = [np.pad(panel, ((0, height - panel.shape[0]), (0, _GAP), (0, 0))) for panel in panels]
    return np.concatenate(padded, axis=1)[:, :-_GAP]


def _plane(x: Tensor) -> Tensor:
    """Reduce (channel, *space) to (height, width, 3): magnitude, middle slice, colour if there are three channels."""
    x = x.abs() if x.is_complex() else x.float()
    while x.ndim > 3:
        x = x[:, x.shape[1] // 2]
    if x.ndim == 2:
        x = x[:, None]
    if x.shape[0] != 3:
        x = torch.linalg.vector_norm(x, dim=0, keepdim=True) if x.shape[0] > 1 else x
        x = x.expand(3, -1, -1)
    return x.permute(1, 2, 0)


def _window(plane: Tensor) -> tuple[float, float]:
    return float(plane.min()), float(plane.max())
