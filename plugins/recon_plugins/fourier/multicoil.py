"""The multi-coil Fourier operator."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import torch
from torch import Tensor

from recon.errors import UsageError
from recon.kspace import as_complex
from recon.operators.tied import followed
from recon_plugins.fourier.cartesian import Cartesian, MaskLike
from recon_plugins.fourier.coils import Birdcage
from recon_plugins.fourier.folded import Folded, combine, expand

__all__ = ["MulticoilFourier"]


class MulticoilFourier(Cartesian):
    """The SENSE model y_c = M F (s_c x) of coil sensitivities s_c, with F centred and orthonormal.

    Shapes: x (batch, 1, *space) -> y (batch, coil, *k), real or complex -> complex. The adjoint is
    sum_c conj(s_c) F^H M y_c. Frequencies that were not measured are +0 in y. With several sets of maps (soft SENSE)
    each has an image of its own: x (batch, set, *space) and y_c = M F sum_j s_jc x_j. With `time` an axis of frames
    stands before the spatial ones of x and y; the maps are the same for all frames.

    `normal` needs no shifts and transforms only along the axes on which the mask depends, see `Fourier`; the maps need
    not be shifted either.

    Parameters
    ----------
    maps
        Sensitivities (coil, *space), (batch, coil, *space) for maps per item, or (batch, set, coil, *space) for several
        sets, where a batch of 1 serves all items; as a tensor or nested list. Or the settings of a `Birdcage`, such as
        ``{"coils": 8}``, for simulations at any image size. None if the data bring them, see `per_item`.
    mask, resample, dimensions, time
        As for `Fourier`.

    References
    ----------
    Pruessmann et al., Magn. Reson. Med. 42:952, 1999,
    doi:10.1002/(SICI)1522-2594(199911)42:5<952::AID-MRM16>3.0.CO;2-S;
    Uecker et al., Magn. Reson. Med. 71:990, 2014, doi:10.1002/mrm.24751 (several sets)
    """

    per_item = ("mask", "maps")

    def __init__(
        self,
        *,
        maps: Tensor | Sequence[Any] | Mapping[str, Any] | Birdcage | None = None,
        mask: MaskLike | None = None,
        resample: bool = False,
        dimensions: Literal[2, 3] = 2,
        time: bool = False,
    ) -> None:
        super().__init__(mask=mask, resample=resample, dimensions=dimensions, time=time)
        self._birdcage = Birdcage.parse(maps) if isinstance(maps, (Mapping, Birdcage)) else None
        space, sets, coils = self._space(), 1, None
        self._maps: Tensor | None
        if self._birdcage is not None:
            coils = self._birdcage.coils
        if self._birdcage is not None or maps is None:
            self._maps = None
        else:
            tensor = as_complex(torch.as_tensor(maps)).resolve_conj()
            shape = tuple(tensor.shape)
            if not dimensions + 1 <= len(shape) <= dimensions + 3:
                raise UsageError(
                    f"maps of shape {shape} must be (coil, *space), (batch, coil, *space) or (batch, set, coil, *space)"
                )
            coils, *sizes = shape[-dimensions - 1 :]
            sets = shape[1] if len(shape) == dimensions + 3 else 1
            frames, fixed = space[:-dimensions], space[-dimensions:]
            if any(n is not None and n != size for n, size in zip(fixed, sizes, strict=True)):
                raise UsageError(f"a mask of k-space {space} does not fit maps of shape {shape}")
            space = (*frames, *sizes)
            # Kept as real numbers: nn.Module.to(dtype) would drop the imaginary part of a complex buffer.
            self.register_buffer("_maps", torch.view_as_real(tensor), persistent=False)
        self.input_shape, self.output_shape = (sets, *space), (coils, *space)

    @property
    def maps(self) -> Tensor | Birdcage | None:
        """The sensitivities, complex, or the rule that gives them."""
        return self._birdcage if self._maps is None else torch.view_as_complex(self._maps)

    def forward(self, x: Tensor) -> Tensor:
        """Measure. Shapes: x (batch, set, *space) -> y (batch, coil, *k), with one set of maps unless several are."""
        maps = self._fitting(x, images=True)
        if _traced(x, maps):
            return self._measure(expand(maps, x))
        return self._folded(maps, x).forward(as_complex(x))

    def adjoint(self, y: Tensor) -> Tensor:
        """Combine the coils' zero-filled images. Shapes: y (batch, coil, *k) -> x (batch, set, *space)."""
        maps = self._fitting(y, images=False)
        if _traced(y, maps):
            return combine(maps, self._zero_filled(y))
        return self._folded(maps, y).adjoint(as_complex(y))

    def normal(self, x: Tensor) -> Tensor:
        """Apply sum_c conj(s_c) F^H M F s_c without shifts, along the axes on which the mask depends."""
        maps = self._fitting(x, images=True)
        if _traced(x, maps):
            return combine(maps, self._gram(expand(maps, x)))
        return self._folded(maps, x).normal(as_complex(x))

    def maps_for(self, x: Tensor) -> Tensor:
        """Return the sensitivities for images, or k-space, like `x`: of its size and precision, on its device.

        Shape: (batch or 1, set, coil, [1,] *space).
        """
        dtype = as_complex(x[:0]).dtype
        size = x.shape[-self.dimensions :]
        maps = self.maps
        if maps is None:
            raise UsageError(
                "MulticoilFourier has no coil sensitivities: give maps, or data whose items hold 'maps' (coil, *space)"
            )
        maps = maps.maps(size, x.device, dtype) if isinstance(maps, Birdcage) else maps.to(dtype)
        several = maps.ndim > self.dimensions + 1
        if maps.shape[-self.dimensions :] != size or (several and len(maps) not in (1, len(x))):
            raise UsageError(f"data of shape {tuple(x.shape)} do not fit coil maps of shape {tuple(maps.shape)}")
        if not several:
            maps = maps[None]
        if maps.ndim == self.dimensions + 2:
            maps = maps[:, None]
        return maps.unsqueeze(3) if self.time else maps

    def _fitting(self, data: Tensor, *, images: bool) -> Tensor:
        """Return the maps for images or k-space, whose channels must be as many as the sets or the coils."""
        maps = self.maps_for(data)
        if images and data.shape[1] != maps.shape[1]:
            wanted = "one channel" if maps.shape[1] == 1 else f"{maps.shape[1]} channels, one a set of maps"
            raise UsageError(f"MulticoilFourier takes images with {wanted}, not {data.shape[1]}")
        if not images and data.shape[1] != maps.shape[2]:
            raise UsageError(f"data of shape {tuple(data.shape)} do not fit {maps.shape[2]} coils")
        return maps

    def _folded(self, maps: Tensor, data: Tensor) -> Folded:
        return Folded(maps=maps, mask=self._mask_like(data), dimensions=self.dimensions)


def _traced(*tensors: Tensor) -> bool:
    """Whether the plain form is needed, without loops and memory that is written twice."""
    return torch.compiler.is_compiling() or followed(*tensors)
