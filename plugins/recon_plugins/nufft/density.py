"""Density compensation: the area of k-space that each sample stands for."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from recon_plugins.nufft.operators import NUFFT
from recon_plugins.nufft.transform import to_image, to_samples
from recon_plugins.nufft.voronoi import voronoi_density

__all__ = ["Density", "density_of", "pipe_density"]

Density = Literal["pipe", "voronoi", "none"]


@torch.no_grad()
def pipe_density(trajectory: Tensor, size: Sequence[int], *, iterations: int = 30, eps: float = 1e-4) -> Tensor:
    """Return the weights of Pipe and Menon: the fixed point of w <- w / (C w).

    C convolves samples along the trajectory with the kernel of Johnson and Pipe, whose transform is the autocorrelation
    of the disc (or ball) that the field of view holds. It is 0 beyond twice that field, so that w is 1 on the full
    Cartesian grid: weights are areas in (cycles per field of view)^dimensions, and F^H W F is near the identity on
    images whose frequencies the trajectory covers.

    Shapes: trajectory (*samples, dimensions) in cycles per field of view -> (*samples), its precision.

    Parameters
    ----------
    trajectory
        Frequencies along (y, x) or (z, y, x).
    size
        Size of the image.
    iterations
        Steps. Between the spokes of undersampled trajectories weights settle within about 10.
    eps
        Accuracy of the convolution.

    References
    ----------
    Pipe and Menon, Magn. Reson. Med. 41:179, 1999, doi:10.1002/(SICI)1522-2594(199901)41:1<179::AID-MRM25>3.0.CO;2-V;
    Johnson and Pipe, Magn. Reson. Med. 61:439, 2009, doi:10.1002/mrm.21840 (kernel)
    """
    n = trajectory.new_tensor(list(size))
    points = (trajectory.detach() * (2 * math.pi / n)).flatten(0, -2)
    double = [2 * side for side in size]
    profile = _profile(size, points) / math.prod(size)
    w = torch.ones(len(points), dtype=points.dtype, device=points.device)
    for _ in range(iterations):
        spread = to_image(torch.complex(w, torch.zeros_like(w)), points, size=double, eps=eps)
        # The kernel is positive; what is not, is error of a sample far from all others.
        w = w / to_samples(spread * profile, points, eps=eps).real.clamp(min=1e-3)
    return w.reshape(trajectory.shape[:-1])


def _profile(size: Sequence[int], like: Tensor) -> Tensor:
    """Return the autocorrelation of the disc or ball of diameter n, on the grid of twice the size; 1 at the centre."""
    squares: Tensor | float = 0.0
    for d, n in enumerate(size):
        axis = torch.arange(-n, n, dtype=like.dtype, device=like.device) / n
        squares = squares + axis.reshape(-1, *[1] * (len(size) - 1 - d)) ** 2
    assert isinstance(squares, Tensor)  # noqa: S101 - there are two axes or three
    r = squares.sqrt().clamp(max=1)
    if len(size) == 2:
        return 2 / math.pi * (r.acos() - r * (1 - r * r).sqrt())
    return 1 - 1.5 * r + 0.5 * r**3


def density_of(operator: NUFFT, density: Density) -> Tensor | None:
    """Return the weights of an operator's samples, of their shape; kept for its life unless its trajectory learns.

    Shapes: (*samples), or (batch, *samples) with frames. None for ``none``.
    """
    if density == "none":
        return None
    points = operator.points()
    kept = {} if points.requires_grad else _kept.setdefault(operator, {})
    key = (density, points.device)
    if key not in kept:
        cycles = operator.cycles().detach()
        of = voronoi_density if density == "voronoi" else lambda k: pipe_density(k, operator.size)
        w = torch.stack([of(frame) for frame in cycles]) if operator.frames else of(cycles)
        kept[key] = w.reshape(*w.shape[:-1], *operator.samples)
    return kept[key]


_kept: WeakKeyDictionary[NUFFT, dict[tuple[Density, torch.device], Tensor]] = WeakKeyDictionary()
