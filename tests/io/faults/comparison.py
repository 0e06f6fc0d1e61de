"""The oracle: an image against the truth about its planes."""

from __future__ import annotations

import numpy as np

from .scan import Truth

__all__ = ["compare"]


def compare(image, planes: list[list[Truth]], tolerance: float = 2e-3) -> str:
    """What is wrong with an image; nothing if each plane has its values and its corners where they belong.

    Planes may run along z in either direction, as long as the affine goes with them.
    """
    data = image.data.numpy()
    data = data if data.ndim == 4 else data[None]
    expected = (len(planes), len(planes[0]), *planes[0][0].values.shape)
    if data.shape != expected:
        return f"shape {data.shape}, not {expected}"
    if image.affine is None:
        return "no affine"
    truth = np.array([[plane.values for plane in volume] for volume in planes])
    off, planes = min(
        ((float(np.abs(data - truth[:, ::way]).max()), [volume[::way] for volume in planes]) for way in (1, -1)),
        key=lambda pair: pair[0],
    )
    if not off <= 1e-6 * max(1.0, float(np.abs(truth).max())):
        return f"values off by {off:g}"
    rows, columns = expected[2:]
    for volume in planes:
        for z, plane in enumerate(volume):
            index = np.array([[x, y, z, 1] for y in (0, rows - 1) for x in (0, columns - 1)], dtype=float)
            distance = float(np.linalg.norm((index @ image.affine.T)[:, :3] - plane.corners, axis=1).max())
            if not distance <= tolerance:
                return f"plane {z} is {distance:.4g} mm away from its place"
    return ""
