"""The coil-wise Fourier operator."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from torch import Tensor

from recon_plugins.fourier.cartesian import Cartesian, MaskLike

if TYPE_CHECKING:
    from recon_plugins.fourier.multicoil import MulticoilFourier

__all__ = ["Fourier"]


class Fourier(Cartesian):
    """Undersampled Fourier transform y = M F x, with F centred and orthonormal.

    Shapes: x (batch, channel, *space) -> y (batch, channel, *k), real or complex -> complex; with `time`,
    x (batch, channel, time, *space) -> y (batch, channel, time, *k). Each channel (coil), and each frame, is
    transformed by itself. Frequencies that were not measured are +0 in y, and ignored by the adjoint F^H M y, the
    zero-filled reconstruction.

    `normal` works without shifting anything but the mask: F^H M F is a circular convolution, which commutes with the
    shifts of a centred transform, so they cancel. It is also the identity along axes on which the mask does not depend,
    so that it transforms only along the axes where the mask's size is not 1: column masks cost one-dimensional
    transforms (a third of the time), no mask none at all. Both are exact.

    Parameters
    ----------
    mask
        Where k-space is measured: None (everywhere, unless the data bring masks, see `per_item`); a tensor or nested
        list of 0 and 1, of shape (W,) for columns, (*k) with sizes of 1 where it does not vary, with `time`
        (time, *k), or (batch, 1, *k) for a mask per item; or the settings of a `Sampling`, such as
        ``{"kind": "random", "acceleration": 4, "center_fraction": 0.08, "seed": 0}``.
    resample
        Whether `sample` draws a new mask by the settings given as `mask`.
    dimensions
        Number of spatial axes, the last ones.
    time
        Whether an axis of frames stands before the spatial ones.
    """

    def __init__(
        self,
        *,
        mask: MaskLike | None = None,
        resample: bool = False,
        dimensions: Literal[2, 3] = 2,
        time: bool = False,
    ) -> None:
        super().__init__(mask=mask, resample=resample, dimensions=dimensions, time=time)
        self.input_shape = self.output_shape = (None, *self._space())

    def forward(self, x: Tensor) -> Tensor:
        """Measure. Shapes: x (batch, channel, *space) -> y (batch, channel, *k)."""
        return self._measure(x)

    def adjoint(self, y: Tensor) -> Tensor:
        """Reconstruct with zeros where nothing was measured.

        Shapes: y (batch, channel, *k) -> x (batch, channel, *space).
        """
        return self._zero_filled(y)

    def normal(self, x: Tensor) -> Tensor:
        """Apply F^H M F without shifts, along the axes on which the mask depends."""
        return self._gram(x)

    def norm(self, *, iterations: int = 30, like: Tensor | None = None, free: int = 1) -> float:  # noqa: ARG002
        """Return the spectral norm: 1, or 0 where the mask is empty, as F is orthonormal and M a projection."""
        empty = isinstance(self.mask, Tensor) and not bool(self.mask.any())
        return 0.0 if empty else 1.0

    def with_maps(self, maps: Tensor) -> MulticoilFourier:
        """Return the operator of one image seen by all coils, with the same mask.

        Shapes: maps (coil, *space) or (batch, coil, *space); (batch, set, coil, *space) for several sets of maps.
        """
        from recon_plugins.fourier.multicoil import MulticoilFourier

        return MulticoilFourier(
            maps=maps, mask=self.mask, resample=self.resample, dimensions=self.dimensions, time=self.time
        ).to(self._device())
