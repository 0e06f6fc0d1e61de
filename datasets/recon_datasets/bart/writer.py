"""Writing BART's arrays."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from recon.errors import UsageError
from recon.io import Image, Measurement
from recon_datasets.bart.cfl import AXES, write_cfl

__all__ = ["BartWriter"]


class BartWriter:
    """Writes a .cfl file with its .hdr, in BART's order of axes.

    x, y and z go to the first three axes, coils to the fourth; axes of other names to the one of that name, "z" of
    slices that were measured one by one to slice, "t" to repetition, and what has no axis of its own to one that is
    free. Values become complex64. Geometry, masks and notes are left out: the format has no place for them.
    """

    def write(self, image: Image | Measurement, path: Path) -> None:
        """Write an array.

        Raises
        ------
        UsageError
            For more axes than the format has, or a measurement that is not Cartesian k-space.
        """
        if isinstance(image, Measurement):
            config = image.operator_config or {}
            if config.get("use", "fourier") not in ("fourier", "multicoil_fourier"):
                raise UsageError("a measurement in a cfl file is Cartesian k-space: write .h5")
            space = len(image.shape) - 2
            if space not in (2, 3):
                raise UsageError(f"data of shape {image.shape} are not k-space of two or three dimensions")
            batch = image.batch or (image.shape[0],)
            outer = (image.dims or ())[: len(image.dims or ()) - space]
            names = list(outer) if len(outer) == len(batch) else ["batch"] * len(batch)
            data = image.data.reshape(*batch, *image.shape[1:])
            names = ["slice" if name == "z" else name for name in names]
            names += ["coil", "z", "y", "x"] if space == 3 else ["coil", "y", "x"]
        else:
            data, names = image.data, list(image.dims)
        values = data.detach().resolve_conj().resolve_neg().cpu().numpy()
        write_cfl(path, _arranged(values, names))


def _arranged(values: np.ndarray, names: list[str]) -> np.ndarray:
    """Return the array with BART's 16 axes."""
    names = ["repetition" if name == "t" and "repetition" not in names else name for name in names]
    own = {name for name in names if name in AXES}
    free = [name for name in ("batch", "repetition", "contrast", "phase", "average", "level") if name not in own]
    places: list[int] = []
    for name in names:
        if name not in AXES or AXES.index(name) in places:
            if not free:
                raise UsageError(f"a cfl file has no free axis for {name!r}")
            name = free.pop(0)
        places.append(AXES.index(name))
    order = np.argsort(places)
    shape = [1] * len(AXES)
    for place, size in zip(places, values.shape, strict=True):
        shape[place] = size
    return values.transpose(order).reshape(shape)
