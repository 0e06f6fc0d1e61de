"""SigPy's calibrations as methods."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import Annotated, Any, Self

import torch
from annotated_types import Ge, Gt, Le
from torch import Tensor

from recon.calibration import calibration_data
from recon.errors import UsageError
from recon.operators import Operator
from recon_plugins.sigpy.linop import array, seeded

__all__ = ["EspiritCalib", "JsenseRecon"]


@dataclass(frozen=True, kw_only=True)
class SigpyCalibration(ABC):
    """Base: maps item by item, on the processor, from the fully sampled centre of k-space."""

    width: Annotated[int, Gt(0)] = 24
    _given: Tensor | None = field(default=None, init=False, repr=False, compare=False)

    @abstractmethod
    def _maps(self, centre: Any, size: tuple[int, ...]) -> Any:
        """Return the maps (coil, *size) of one item from k-space with zeros about its centre."""

    def __call__(self, y: Tensor, operator: Operator) -> Tensor:
        """Return the maps. Shapes: y (batch, coil, *k) -> (batch, coil, *space)."""
        if not hasattr(operator.noiseless, "mask_for"):
            raise UsageError(f"{type(self).__name__} is of Cartesian k-space: take espirit for other trajectories")
        centre = calibration_data(y, operator, width=self.width, given=self._given)
        edge = min(centre.shape[2:])
        for axis in range(2, y.ndim):  # SigPy takes a block of equal edges
            centre = centre.narrow(axis, (centre.shape[axis] - edge) // 2, edge)
        maps = []
        for item in centre:
            if not bool(item.any()):
                maps.append(torch.zeros(y.shape[1:], dtype=y.dtype))
                continue
            with seeded():
                maps.append(torch.from_numpy(self._maps(array(item), tuple(y.shape[2:]))))
        return torch.stack(maps).to(y.device, y.dtype)

    def with_calibration(self, data: Tensor) -> Self:
        """Return the calibration that takes k-space `data`, of the shape of the measurement, instead of it."""
        new = copy.copy(self)
        object.__setattr__(new, "_given", data)
        return new


@dataclass(frozen=True, kw_only=True)
class EspiritCalib(SigpyCalibration):
    """SigPy's EspiritCalib: one set of maps by ESPIRiT, their phase relative to the first coil.

    Shapes: y (batch, coil, *k) as `operator` gives it -> maps (batch, coil, *space). The maps carry no gradients.

    Parameters
    ----------
    kernel
        Edge of the kernel, SigPy's ``kernel_width``.
    threshold
        Singular values above this share of the largest one count.
    crop
        Maps are zero where their eigenvalue is not above this.
    iterations
        Steps of the power iteration.
    width
        Most samples of calibration data along each axis.

    References
    ----------
    Uecker et al., Magn. Reson. Med. 71:990, 2014, doi:10.1002/mrm.24751
    """

    kernel: Annotated[int, Ge(2)] = 6
    threshold: Annotated[float, Gt(0), Le(1)] = 0.02
    crop: Annotated[float, Ge(0), Le(1)] = 0.95
    iterations: Annotated[int, Gt(0)] = 100

    def _maps(self, centre: Any, size: tuple[int, ...]) -> Any:
        import numpy as np
        import sigpy as sp
        import sigpy.mri

        edge = centre.shape[-1]
        if edge < self.kernel:
            raise UsageError(f"a centre of k-space of {edge} samples is smaller than the kernel of {self.kernel}")
        app = sp.mri.app.EspiritCalib(
            sp.resize(centre, (len(centre), *size)),
            calib_width=edge,
            thresh=self.threshold,
            kernel_width=self.kernel,
            crop=self.crop,
            max_iter=self.iterations,
            show_pbar=False,
        )
        with np.errstate(divide="ignore", invalid="ignore"):  # the phase of a first coil that sees nothing
            return np.nan_to_num(app.run())


@dataclass(frozen=True, kw_only=True)
class JsenseRecon(SigpyCalibration):
    """SigPy's JsenseRecon: maps from a joint estimate of image and smooth sensitivities, then normalised over coils.

    Shapes: y (batch, coil, *k) as `operator` gives it -> maps (batch, coil, *space). The maps carry no gradients.

    Parameters
    ----------
    kernel
        Width of the sensitivities in k-space, SigPy's ``mps_ker_width``.
    damping
        Weight of the squares of image and sensitivities, SigPy's ``lamda``.
    iterations, inner_iterations
        Alternations, and steps of each.
    width
        Most samples of calibration data along each axis.

    References
    ----------
    Ying and Sheng, Magn. Reson. Med. 57:1196, 2007, doi:10.1002/mrm.21245;
    Uecker et al., Magn. Reson. Med. 60:674, 2008, doi:10.1002/mrm.21691
    """

    kernel: Annotated[int, Ge(1)] = 16
    damping: Annotated[float, Ge(0)] = 0.0
    iterations: Annotated[int, Gt(0)] = 10
    inner_iterations: Annotated[int, Gt(0)] = 10

    def _maps(self, centre: Any, size: tuple[int, ...]) -> Any:
        import numpy as np
        import sigpy as sp
        import sigpy.mri

        maps = sp.mri.app.JsenseRecon(
            sp.resize(centre, (len(centre), *size)),
            mps_ker_width=self.kernel,
            ksp_calib_width=centre.shape[-1],
            lamda=self.damping,
            max_iter=self.iterations,
            max_inner_iter=self.inner_iterations,
            show_pbar=False,
        ).run()
        length = np.linalg.norm(maps, axis=0)
        return maps / np.where(length > 0, length, 1)
