"""SigPy's reconstruction apps as methods."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, NamedTuple, Self

import torch
from annotated_types import Ge, Gt
from torch import Tensor

import recon
from recon.errors import UsageError
from recon.interfaces import Calibrated, Method
from recon.methods import Output, finish, linear
from recon.operators import Operator
from recon.schema import Part
from recon_plugins.sigpy.linop import array, seeded
from recon_plugins.sigpy.sampling import PoissonDisc

__all__ = ["L1WaveletRecon", "SenseRecon", "TotalVariationRecon"]

MapsLike = Method | Mapping[str, Any] | str
"""A calibration: the method itself, its name, or its config."""


class Scan(NamedTuple):
    """What SigPy's apps take: maps (batch or 1, coil, *space), and a mask or the frequencies of samples."""

    maps: Tensor
    mask: Tensor | None
    points: Tensor | None


@dataclass(frozen=True, kw_only=True)
class SenseApp(ABC):
    """Base: reconstructs item by item, on the processor, from maps of the operator or of a calibration."""

    maps: Annotated[MapsLike, Part("method")] = "espirit"
    output: Output = "as_is"
    _given: Tensor | None = field(default=None, init=False, repr=False, compare=False)

    def with_calibration(self, data: Tensor) -> Self:
        """Return the method that takes its sensitivities from `data`, k-space of the shape of the measurement."""
        new = copy.copy(self)
        object.__setattr__(new, "_given", data)
        return new

    @abstractmethod
    def _app(self, y: Any, maps: Any, **scan: Any) -> Any:
        """Return SigPy's app of one item."""

    def __call__(self, y: Tensor, operator: Operator) -> Tensor:
        """Reconstruct."""
        scan = _scan(y, operator, self.maps, self._given)
        images = []
        for i, item in enumerate(y):
            mask = (
                scan.mask
                if scan.mask is None or scan.mask.ndim < y.ndim
                else scan.mask[i if len(scan.mask) > 1 else 0, 0]
            )
            # Where nothing was measured, zeros stay zeros without SigPy's dividing by their energy.
            if not bool(item.any()):
                images.append(torch.zeros(scan.maps.shape[2:], dtype=scan.maps.dtype))
                continue
            with seeded():
                image = self._app(
                    array(item),
                    array(scan.maps[i if len(scan.maps) > 1 else 0].to(item.dtype)),
                    weights=None if mask is None else array(mask.expand(item.shape[1:]).to(item.real.dtype)),
                    coord=None if scan.points is None else array(scan.points.to(item.real.dtype)),
                    show_pbar=False,
                ).run()
            images.append(torch.from_numpy(image))
        x = torch.stack(images)[:, None].to(y.device, y.dtype)
        return finish(x, self.output)


@dataclass(frozen=True, kw_only=True)
class SenseRecon(SenseApp):
    """SigPy's SenseRecon: x = argmin 1/2 |A x - y|^2 + damping / 2 |x|^2 by conjugate gradients.

    For `multicoil_fourier`, `nufft` and SigPy's own operators. Shapes: y (batch, coil, *k) -> x (batch, 1, *space). The
    result carries no gradients.

    Parameters
    ----------
    damping
        Weight of |x|^2, SigPy's ``lamda``.
    iterations
        Most steps.
    maps
        Calibration that finds the coil sensitivities where the operator has none.
    output
        What becomes of a complex image: ``as_is``, its ``magnitude`` or its ``real`` part.

    References
    ----------
    Pruessmann et al., Magn. Reson. Med. 46:638, 2001, doi:10.1002/mrm.1241
    """

    damping: Annotated[float, Ge(0)] = 0.0
    iterations: Annotated[int, Gt(0)] = 30

    def _app(self, y: Any, maps: Any, **scan: Any) -> Any:
        from sigpy.mri.app import SenseRecon as App

        return App(y, maps, lamda=self.damping, max_iter=self.iterations, **scan)


@dataclass(frozen=True, kw_only=True)
class L1WaveletRecon(SenseApp):
    """SigPy's L1WaveletRecon: x = argmin 1/2 |A x - y|^2 + weight |W x|_1 by FISTA.

    For `multicoil_fourier`, `nufft` and SigPy's own operators. Shapes: y (batch, coil, *k) -> x (batch, 1, *space). The
    result carries no gradients.

    Parameters
    ----------
    weight
        Weight of the sparsity, SigPy's ``lamda``; it scales with the image.
    wavelet
        Name of an orthogonal wavelet.
    iterations
        Steps.
    maps
        Calibration that finds the coil sensitivities where the operator has none.
    output
        What becomes of a complex image: ``as_is``, its ``magnitude`` or its ``real`` part.

    References
    ----------
    Lustig, Donoho and Pauly, Magn. Reson. Med. 58:1182, 2007, doi:10.1002/mrm.21391
    """

    weight: Annotated[float, Ge(0)]
    wavelet: str = "db4"
    iterations: Annotated[int, Gt(0)] = 100

    def _app(self, y: Any, maps: Any, **scan: Any) -> Any:
        from sigpy.mri.app import L1WaveletRecon as App

        return App(y, maps, self.weight, wave_name=self.wavelet, max_iter=self.iterations, **scan)


@dataclass(frozen=True, kw_only=True)
class TotalVariationRecon(SenseApp):
    """SigPy's TotalVariationRecon: x = argmin 1/2 |A x - y|^2 + weight |G x|_1 by primal-dual hybrid gradients.

    G are periodic differences, so that the variation is anisotropic. For `multicoil_fourier`, `nufft` and SigPy's own
    operators. Shapes: y (batch, coil, *k) -> x (batch, 1, *space). The result carries no gradients.

    Parameters
    ----------
    weight
        Weight of the variation, SigPy's ``lamda``; it scales with the image.
    iterations
        Steps.
    maps
        Calibration that finds the coil sensitivities where the operator has none.
    output
        What becomes of a complex image: ``as_is``, its ``magnitude`` or its ``real`` part.

    References
    ----------
    Block, Uecker and Frahm, Magn. Reson. Med. 57:1086, 2007, doi:10.1002/mrm.21236
    """

    weight: Annotated[float, Ge(0)]
    iterations: Annotated[int, Gt(0)] = 100

    def _app(self, y: Any, maps: Any, **scan: Any) -> Any:
        from sigpy.mri.app import TotalVariationRecon as App

        return App(y, maps, self.weight, max_iter=self.iterations, **scan)


def _scan(y: Tensor, operator: Operator, calibration: MapsLike, given: Tensor | None) -> Scan:
    """Return what SigPy needs to know of an operator.

    Raises
    ------
    UsageError
        If it is no Fourier operator of coils, or has several sets of maps.
    """
    coils: Any = linear(operator)
    points, mask = None, None
    if hasattr(coils, "mask_for"):
        mask = coils.mask_for(y.shape[2:])
    elif hasattr(coils, "cycles"):
        points = coils.cycles()
        points = points.reshape(*y.shape[2:], points.shape[-1])
    elif hasattr(coils, "trajectory"):  # SigPy's own Sense
        mask = coils.mask.mask(coils.size) if isinstance(coils.mask, PoissonDisc) else coils.mask
        points = coils.trajectory
        if points is not None and not isinstance(points, Tensor):
            points = points.points(coils.size)
    else:
        raise UsageError(f"SigPy's apps take Fourier operators of coils, not {type(coils).__name__}")
    maps = getattr(coils, "maps", None)
    if maps is None:
        method = recon.build("method", calibration) if isinstance(calibration, (str, Mapping)) else calibration
        if given is not None and isinstance(method, Calibrated):
            method = method.with_calibration(given)
        maps = method(y, coils)
    elif not isinstance(maps, Tensor):
        maps = coils.maps_for(y)
    space = y.ndim - 2 if points is None else points.shape[-1]
    if maps.ndim == space + 3:
        if maps.shape[1] > 1:
            raise UsageError("SigPy's apps take one set of maps: calibrate with sets=1")
        maps = maps[:, 0]
    return Scan(maps if maps.ndim == space + 2 else maps[None], mask, points)
