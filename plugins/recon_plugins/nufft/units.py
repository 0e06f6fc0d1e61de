"""The units of trajectories, and how they are told when nobody says."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from recon.errors import UsageError

__all__ = ["Unit", "to_radians"]

Unit = Literal["cycles_per_fov", "cycles_per_pixel", "radians_per_pixel"]

_NAMES = {2: "(y, x)", 3: "(z, y, x)"}
_SAID: dict[Unit, str] = {
    "cycles_per_fov": "cycles per field of view",
    "cycles_per_pixel": "cycles per pixel",
    "radians_per_pixel": "radians per pixel",
}


def to_radians(trajectory: Tensor, size: Sequence[int], unit: Unit | None) -> Tensor:
    """Return frequencies in radians per pixel, whose range is [-pi, pi]; gradients pass.

    Half a cycle per field of view beyond that range is accepted: scanners' trajectories have it.

    Shapes: trajectory (*samples, dimensions) -> the same.

    Parameters
    ----------
    trajectory
        Frequencies along (y, x) or (z, y, x).
    size
        Size of the image along the same axes.
    unit
        Their unit; None for cycles per field of view unless they look like another one.

    Raises
    ------
    UsageError
        If the shape does not fit, values are not finite or out of range, or, with `unit` None, look like another unit;
        the text names the likely one.
    """
    _check_shape(trajectory, len(size))
    n = torch.tensor(list(size), dtype=trajectory.dtype, device=trajectory.device)
    reach = trajectory.detach().abs().reshape(-1, len(size)).amax(0) if trajectory.numel() else torch.zeros(len(size))
    if not bool(torch.isfinite(reach).all()):
        raise UsageError("the trajectory holds values that are not finite: leave these samples out")
    most = float(reach.max())
    if unit is None and max(size) >= 8:  # where the range in cycles is beyond pi
        _check_unit(most)
    unit = unit or "cycles_per_fov"
    radians = {
        "cycles_per_fov": 2 * math.pi / n,
        "cycles_per_pixel": torch.full_like(n, 2 * math.pi),
        "radians_per_pixel": torch.ones_like(n),
    }[unit]
    beyond = reach.to(n) * radians > math.pi * (1 + 1 / n)
    if bool(beyond.any()):
        raise UsageError(_out_of_range(reach, size, int(beyond.int().argmax()), unit))
    return trajectory * radians


def _check_shape(trajectory: Tensor, dimensions: int) -> None:
    shape, names = tuple(trajectory.shape), _NAMES[dimensions]
    if trajectory.is_complex():
        raise UsageError(
            "a complex trajectory is ambiguous: give torch.stack([k.imag, k.real], -1) for k = k_x + i k_y"
        )
    if not trajectory.is_floating_point():
        raise UsageError(f"a trajectory of {str(trajectory.dtype)[6:]} cannot be right: give floating-point numbers")
    if trajectory.ndim < 2 or shape[-1] != dimensions:
        hint = ""
        if trajectory.ndim >= 2 and dimensions in shape:
            hint = f": move axis {shape.index(dimensions)} to the end"
        raise UsageError(
            f"a trajectory of shape {shape} must end in the {dimensions} coordinates {names} of a sample{hint}"
        )


def _check_unit(most: float) -> None:
    if 0 < most <= 0.5 * (1 + 1e-6):
        likely: Unit = "cycles_per_pixel"
    elif 0.5 < most <= math.pi * (1 + 1e-6):
        likely = "radians_per_pixel"
    else:
        return
    raise UsageError(
        f"the trajectory reaches only |k| = {most:.4g}, so its unit is likely {_SAID[likely]}: give unit='{likely}', "
        "or unit='cycles_per_fov' if it is right as it is"
    )


def _out_of_range(reach: Tensor, size: Sequence[int], axis: int, unit: Unit) -> str:
    n, most = size[axis], float(reach[axis])
    limit = {"cycles_per_fov": n / 2, "cycles_per_pixel": 0.5, "radians_per_pixel": math.pi}[unit]
    ratio = most / limit
    if unit != "cycles_per_fov":
        likely = "its unit is likely another one"
    elif ratio < 1.6:
        likely = "the image is likely larger, so give the size that was measured"
    elif ratio < 12:  # fields of view of 8 to 60 cm
        likely = "its unit is likely 1/m, so multiply it by the field of view in m"
    else:
        likely = "its unit is likely rad/m, so multiply it by the field of view in m over 2 pi"
    along = _NAMES[len(size)].strip("()").split(", ")[axis]
    reached = f"the trajectory reaches |k| = {most:.4g} along {along}"
    return f"{reached}, but {n} pixels end at {limit:.4g} {_SAID[unit]}: {likely}"
