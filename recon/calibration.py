"""The calibration data of a scan: the part about the centre of k-space that is fully sampled."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from recon.errors import UsageError
from recon.kspace import fft_centred
from recon.methods import linear
from recon.operators import Operator

__all__ = ["calibration_data", "central_block"]

Block = tuple[slice, ...]


def calibration_data(
    y: Tensor, operator: Operator, *, width: int | None = None, iterations: int = 10, given: Tensor | None = None
) -> Tensor:
    """Return the fully sampled central k-space of each item, (batch, coil, *block).

    Of an operator that samples on a grid (one with `mask_for`) it is the block that its mask leaves whole. Of any other
    the coil images come first, by conjugate gradients, and their Cartesian k-space is calibrated from.

    Of dynamic data the frames are averaged first, each point over those that hold it.

    Shapes: y as `operator` gives it, one channel a coil.

    Parameters
    ----------
    y, operator
        The measurement and its operator; where the operator holds coil sensitivities, they are not used.
    width
        Most samples to take along each axis; None takes the whole block.
    iterations
        Steps of conjugate gradients for an operator without a grid.
    given
        Separate calibration data, k-space of the shape of `y` with zeros where nothing was measured, used instead of
        `y`.

    Raises
    ------
    UsageError
        If the masks of the items leave different blocks, or `given` does not have the shape of `y`.
    """
    if given is not None:
        if given.shape != y.shape:
            raise UsageError(
                f"calibration data of shape {tuple(given.shape)} must have the shape of the measurement, "
                f"{tuple(y.shape)}"
            )
        given = given.to(y.device)
    coils: Any = operator.noiseless
    if not hasattr(coils, "mask_for"):
        y = _gridded(y if given is None else given, operator, iterations)
        return _cut(y, central_block(None, y.shape[2:], width))
    size = y.shape[-coils.dimensions :]
    if given is None:
        y, mask = (
            _mean_frame(y, coils.mask_for(y.shape[2:], y.device)) if coils.time else (y, coils.mask_for(size, y.device))
        )
    else:
        mask = (given != 0).any(1, keepdim=True).any(0, keepdim=True)
        y, mask = _mean_frame(given, mask[0, 0]) if coils.time else (given, mask[0, 0])
    if mask is None or mask.ndim <= len(size):
        return _cut(y, central_block(mask, size, width))
    blocks = [central_block(item[0], size, width) for item in mask]
    if any(block != blocks[0] for block in blocks):
        raise UsageError("the masks of the items leave different blocks about the centre of k-space: go item by item")
    return _cut(y, blocks[0])


def central_block(mask: Tensor | None, size: Sequence[int], width: int | None = None) -> Block:
    """Return the largest box about the zero frequency in which everything is sampled.

    The box grows from index n // 2 of each axis, side by side in turns, as long as what it takes in is whole, and is
    then cut to `width` about the zero frequency.

    Parameters
    ----------
    mask
        Where k-space is sampled, with sizes of 1 where it does not vary; missing leading axes do not vary either. None
        for everywhere.
    size
        Size of k-space.
    width
        Largest width along an axis; None for any.

    Raises
    ------
    UsageError
        If the zero frequency itself was not sampled.
    """
    centre = [n // 2 for n in size]
    low, high = [0] * len(size), list(size)
    if mask is not None:
        # Axes on which the mask does not depend are whole; only the others have to be searched.
        grid = mask.reshape([1] * (len(size) - mask.ndim) + list(mask.shape)).cpu().numpy()
        varies = [n > 1 for n in grid.shape]
        low = [c if vary else 0 for c, vary in zip(centre, varies, strict=True)]
        high = [c + 1 if vary else n for c, n, vary in zip(centre, size, varies, strict=True)]

        def whole(box: list[tuple[int, int]]) -> bool:
            return bool(
                grid[tuple(slice(a, b) if v else slice(None) for (a, b), v in zip(box, varies, strict=True))].all()
            )

        if not whole(list(zip(low, high, strict=True))):
            raise UsageError(
                "the centre of k-space was not sampled: give calibration data, or another way to find maps"
            )
        growing = {(axis, side) for axis, vary in enumerate(varies) if vary for side in (0, 1)}
        while growing:
            for axis, side in sorted(growing):
                edge = high[axis] if side else low[axis] - 1
                box = list(zip(low, high, strict=True))
                box[axis] = (edge, edge + 1)
                if not 0 <= edge < size[axis] or not whole(box):
                    growing.discard((axis, side))
                elif side:
                    high[axis] += 1
                else:
                    low[axis] -= 1
    if width is not None:
        for axis, c in enumerate(centre):
            if high[axis] - low[axis] > width:
                low[axis] = min(max(c - width // 2, low[axis]), high[axis] - width)
                high[axis] = low[axis] + width
    return tuple(slice(a, b) for a, b in zip(low, high, strict=True))


def _mean_frame(y: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor | None]:
    """Return k-space averaged over the frames (axis 2) that hold it, and where one does; masks are (time, *k)."""
    if mask is None:
        return y.mean(2), None
    mask = mask.expand(*mask.shape[: max(0, mask.ndim - y.ndim + 2)], *y.shape[2:])
    count = mask.sum(-y.ndim + 2)
    return y.sum(2) / count.clamp(min=1), count > 0


def _cut(y: Tensor, block: Block) -> Tensor:
    return y[(slice(None), slice(None), *block)]


def _gridded(y: Tensor, operator: Operator, iterations: int) -> Tensor:
    """Return the Cartesian k-space of the coils, (batch, coil, *k), that fits the measurement."""
    coils: Any = linear(operator)
    if getattr(coils, "maps", None) is not None:
        coils = coils.with_(maps=None)
    images: Tensor = coils.pinv(y, iterations=iterations, tolerance=0)
    return fft_centred(images, images.ndim - 2)
