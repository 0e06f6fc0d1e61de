"""BART's arrays as measurements and images."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from recon.errors import FileFormatError
from recon.io import Image, Measurement
from recon_datasets.bart.cfl import AXES, read_cfl

__all__ = ["BartReader"]

_X, _Y, _Z, _COIL, _SETS, _SLICE = 0, 1, 2, 3, 4, 13


class BartReader:
    """Reads a .cfl file with its .hdr.

    k-space becomes a measurement (batch, coil, y, x), or (batch, coil, z, y, x) if all three have more than one point;
    a slice of a volume, which has one point along the readout, is (batch, coil, z, y). The operator is ``fourier``; its
    mask is where any coil is not zero, as BART stores none. The batch runs through the other axes, named as in
    `recon_datasets.bart.cfl`; slices are "z". An image has the same axes, sets of sensitivities as "channel". The
    format knows neither voxel sizes nor places.

    Parameters
    ----------
    content
        What the file holds; it does not say itself. auto takes several coils of one set for k-space, all else for an
        image. Sensitivities are read as an image.
    """

    def __init__(self, *, content: Literal["auto", "kspace", "image"] = "auto") -> None:
        self.content: Literal["auto", "kspace", "image"] = content

    def accepts(self, path: Path) -> bool:
        """Whether both files are there and the header is one of BART's."""
        header = path.with_suffix(".hdr")
        if path.suffix not in (".cfl", ".hdr") or not header.is_file() or not path.with_suffix(".cfl").is_file():
            return False
        with header.open("rb") as file:
            return b"# Dimensions" in file.read(4096)

    def read(self, path: Path) -> Image | Measurement:
        """Read an array.

        Raises
        ------
        FileFormatError
            If a file is missing or damaged, or values are not finite.
        """
        array = read_cfl(path)
        array = array.reshape(array.shape + (1,) * (len(AXES) - array.ndim), order="F")
        if not np.isfinite(array).all():
            raise FileFormatError(f"{path} holds values that are not finite")
        kspace = array.shape[_COIL] > 1 and array.shape[_SETS] == 1
        return (
            _kspace(array, path) if self.content == "kspace" or (self.content == "auto" and kspace) else _image(array)
        )


def _kspace(array: NDArray[np.complex64], path: Path) -> Measurement:
    if array.shape[_SETS] > 1:
        raise FileFormatError(
            f"{path} has {array.shape[_SETS]} sets of sensitivities, k-space has one: content='image'"
        )
    space = _space(array)
    names, values = _named(array, (_COIL, *space))
    outer = list(zip(names, values.shape, strict=True))[: -1 - len(space)]
    data = torch.from_numpy(np.ascontiguousarray(values.reshape(-1, *values.shape[len(outer) :])))
    config: dict[str, Any] = {"use": "fourier"}
    if len(space) == 3:
        config["dimensions"] = 3
    mask = _mask((data != 0).any(dim=1), len(space))
    if mask is not None:
        config["mask"] = mask
    sizes = tuple(size for _, size in outer)
    return Measurement(
        data=data,
        operator_config=config,
        dims=(*(name for name, _ in outer), *("z", "y", "x")[-len(space) :]),
        batch=sizes if len(sizes) > 1 else None,
        metadata={"modality": "MR", "coils": data.shape[1]},
    )


def _image(array: NDArray[np.complex64]) -> Image:
    space = _space(array)
    names, values = _named(array, space)
    dims = (*names[: -len(space)], *("z", "y", "x")[-len(space) :])
    return Image(data=torch.from_numpy(np.ascontiguousarray(values)), dims=dims, metadata={"modality": "MR"})


def _space(array: NDArray[np.complex64]) -> tuple[int, ...]:
    """Return the axes of space, outermost first: three, or the two that have more than one point."""
    wide = [axis for axis in (_Z, _Y, _X) if array.shape[axis] > 1]
    return tuple(wide) if len(wide) >= 2 else (_Y, _X)


def _named(array: NDArray[np.complex64], last: tuple[int, ...]) -> tuple[list[str], NDArray[np.complex64]]:
    """Return names and array of the axes longer than 1, BART's last one first, slices next to `last`, which follow."""
    outer = [axis for axis in range(len(AXES))[::-1] if axis > _Z and axis not in last and array.shape[axis] > 1]
    slices = len(last) - (_COIL in last) == 2
    if slices and _SLICE in outer:
        outer.append(outer.pop(outer.index(_SLICE)))
    kept = (*outer, *last)
    rest = [axis for axis in range(len(AXES)) if axis not in kept]
    values = array.transpose(*rest, *kept).reshape([array.shape[axis] for axis in kept])
    return ["z" if slices and axis == _SLICE else AXES[axis] for axis in kept], values


def _mask(sampled: torch.Tensor, dimensions: int) -> torch.Tensor | None:
    """Return where something was measured: size 1 along axes on which it does not depend, None where all was."""
    if bool(sampled.all()):
        return None
    sampled = sampled[0] if bool((sampled == sampled[:1]).all()) else sampled[:, None]
    for axis in range(-dimensions, 0):
        first = sampled.narrow(axis, 0, 1)
        if bool((sampled == first).all()):
            sampled = first
    return sampled
