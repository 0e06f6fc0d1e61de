"""The multi-coil Fourier operator."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import torch
from torch import Tensor

from recon.errors import UsageError
from recon.kspace import as_complex
from recon.operators import LinearOperator
from recon_plugins.fourier.coils import Birdcage
from recon_plugins.fourier.operators import Fourier, MaskLike

__all__ = ["MulticoilFourier"]


class MulticoilFourier(Fourier):
    """The SENSE model y_c = M F (s_c x) of coil sensitivities s_c, with F centred and orthonormal.

    Shapes: x (batch, 1, *space) -> y (batch, coil, *k), real or complex -> complex. The adjoint is
    sum_c conj(s_c) F^H M y_c. Frequencies that were not measured are +0 in y.

    `normal` needs no shifts and transforms only along the axes on which the mask depends, see `Fourier`; the maps need
    not be shifted either.

    Parameters
    ----------
    maps
        Sensitivities (coil, *space), or (batch, coil, *space) for maps per item, as a tensor or nested list; or the
        settings of a `Birdcage`, such as ``{"coils": 8}``, for simulations at any image size. None if the data bring
        them, see `per_item`.
    mask, resample, dimensions
        As for `Fourier`.

    References
    ----------
    Pruessmann et al., Magn. Reson. Med. 42:952, 1999,
    doi:10.1002/(SICI)1522-2594(199911)42:5<952::AID-MRM16>3.0.CO;2-S
    """

    per_item = ("mask", "maps")

    def __init__(
        self,
        *,
        maps: Tensor | Sequence[Any] | Mapping[str, Any] | Birdcage | None = None,
        mask: MaskLike | None = None,
        resample: bool = False,
        dimensions: Literal[2, 3] = 2,
    ) -> None:
        super().__init__(mask=mask, resample=resample, dimensions=dimensions)
        self._birdcage = Birdcage.parse(maps) if isinstance(maps, (Mapping, Birdcage)) else None
        space, coils = self._space(), None
        self._maps: Tensor | None
        if self._birdcage is not None:
            coils = self._birdcage.coils
        if self._birdcage is not None or maps is None:
            self._maps = None
        else:
            tensor = as_complex(torch.as_tensor(maps)).resolve_conj()
            shape = tuple(tensor.shape)
            if len(shape) not in (dimensions + 1, dimensions + 2):
                raise UsageError(f"maps of shape {shape} must be (coil, *space) or (batch, coil, *space)")
            coils, *sizes = shape[-dimensions - 1 :]
            if any(n is not None and n != size for n, size in zip(space, sizes, strict=True)):
                raise UsageError(f"a mask of k-space {space} does not fit maps of shape {shape}")
            space = tuple(sizes)
            # Kept as real numbers: nn.Module.to(dtype) would drop the imaginary part of a complex buffer.
            self.register_buffer("_maps", torch.view_as_real(tensor), persistent=False)
        self.input_shape, self.output_shape = (1, *space), (coils, *space)

    @property
    def maps(self) -> Tensor | Birdcage | None:
        """The sensitivities, complex, or the rule that gives them."""
        return self._birdcage if self._maps is None else torch.view_as_complex(self._maps)

    def forward(self, x: Tensor) -> Tensor:
        """Measure. Shapes: x (batch, 1, *space) -> y (batch, coil, *k)."""
        return super().forward(self._expand(x))

    def adjoint(self, y: Tensor) -> Tensor:
        """Combine the coils' zero-filled images. Shapes: y (batch, coil, *k) -> x (batch, 1, *space)."""
        return self._combine(super().adjoint(y))

    def normal(self, x: Tensor) -> Tensor:
        """Apply sum_c conj(s_c) F^H M F s_c without shifts, along the axes on which the mask depends."""
        return self._combine(super().normal(self._expand(x)))

    def norm(self, *, iterations: int = 30, like: Tensor | None = None, free: int = 1) -> float:
        """Estimate the spectral norm by power iteration, as for any operator; at most max (sum_c |s_c|^2)^(1/2)."""
        return LinearOperator.norm(self, iterations=iterations, like=like, free=free)

    def maps_for(self, x: Tensor) -> Tensor:
        """Return the sensitivities for images, or k-space, like `x`: of its size and precision, on its device."""
        dtype = as_complex(x[:0]).dtype
        size = x.shape[-self.dimensions :]
        maps = self.maps
        if maps is None:
            raise UsageError(
                "MulticoilFourier has no coil sensitivities: give maps, or data whose items hold 'maps' (coil, *space)"
            )
        maps = maps.maps(size, x.device, dtype) if isinstance(maps, Birdcage) else maps.to(dtype)
        if maps.shape[-self.dimensions :] != size or (maps.ndim == self.dimensions + 2 and len(maps) != len(x)):
            raise UsageError(f"data of shape {tuple(x.shape)} do not fit coil maps of shape {tuple(maps.shape)}")
        return maps

    def _expand(self, x: Tensor) -> Tensor:
        if x.shape[1] != 1:
            raise UsageError(f"MulticoilFourier takes images with one channel, not {x.shape[1]}")
        return self.maps_for(x) * x

    def _combine(self, images: Tensor) -> Tensor:
        maps = self.maps_for(images)
        if images.shape[1] != maps.shape[-self.dimensions - 1]:
            raise UsageError(f"data of shape {tuple(images.shape)} do not fit coil maps of shape {tuple(maps.shape)}")
        return (maps.conj() * images).sum(1, keepdim=True)
