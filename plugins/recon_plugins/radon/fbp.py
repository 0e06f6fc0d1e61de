"""Filtered back-projection."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import torch
from annotated_types import Gt, Le
from torch import Tensor

from recon.errors import UsageError
from recon.operators import Operator
from recon_plugins.radon.filters import Filter, ramp_filter
from recon_plugins.radon.operators import Radon
from recon_plugins.radon.redundancy import view_weights

__all__ = ["FBP", "back_project"]


@dataclass(frozen=True, kw_only=True)
class FBP:
    """Filtered back-projection x = sum_a w_a B_a h * y_a of parallel-beam sinograms.

    h is the band-limited ramp sampled in real space (which keeps the mean right), times a window; B_a interpolates the
    filtered view linearly at every pixel's centre, which is more accurate here than the exact adjoint of the projector.
    A sinogram of an image in 1/mm gives that image in 1/mm. Views may cover half a turn, a full one, or less; each is
    weighted by the share of angle that it stands for. The result is differentiable in y.

    Shapes: y (batch, channel, A, D) -> x (batch, channel, H, W).

    Parameters
    ----------
    filter
        Window on the ramp, in rising order of smoothness: ram-lak (none), shepp-logan, cosine, hamming, hann.
    cutoff
        Frequency at which the window ends, as a share of the detector's Nyquist frequency.

    References
    ----------
    Kak and Slaney, Principles of Computerized Tomographic Imaging, 2001, doi:10.1137/1.9780898719277 (section 3.3);
    Natterer, The Mathematics of Computerized Tomography, 2001, doi:10.1137/1.9780898719284
    """

    filter: Filter = "ram-lak"
    cutoff: Annotated[float, Gt(0), Le(1)] = 1.0

    def __call__(self, y: Tensor, operator: Operator) -> Tensor:
        """Reconstruct; `operator` is a Radon operator, noise in front of it is passed over."""
        radon = operator.noiseless
        if not isinstance(radon, Radon):
            raise UsageError(f"fbp needs a radon operator, not {type(radon).__name__}: take pinv or tv for others")
        if y.ndim != 4 or tuple(y.shape[-2:]) != radon.sinogram_size:
            raise UsageError(f"sinogram must end in {radon.sinogram_size}, got shape {tuple(y.shape)}")
        if y.is_complex():
            return torch.complex(*self(torch.cat([y.real, y.imag]), radon).chunk(2))
        if y.dtype != torch.float64:
            y = y.float()
        response = ramp_filter(y.shape[-1], self.filter, self.cutoff).to(y)
        length = 2 * (len(response) - 1)
        filtered = torch.fft.irfft(torch.fft.rfft(y, length) * response, length)[..., : y.shape[-1]]
        weights = view_weights(radon.theta) / radon.spacing
        return back_project(filtered * weights[:, None].to(y), radon)


def back_project(y: Tensor, radon: Radon) -> Tensor:
    """Sum, over the views, the linear interpolation of each at every pixel's centre; zero beyond the detector."""
    height, width = radon.size
    last = y.shape[-1] + 1
    right, down = radon.grid.coordinates()
    # (view, bin, item): the items of a bin lie side by side; a zero on either end of the detector.
    views = torch.nn.functional.pad(y, (1, 1)).flatten(0, 1).permute(1, 2, 0).contiguous()
    result = y.new_zeros(height * width, views.shape[-1])
    for view, angle in zip(views, radon.theta, strict=True):
        t = right * angle.cos() + down[:, None] * angle.sin()
        position = ((t.flatten() - radon.offset) / radon.spacing + last / 2).clamp(0, last)
        lower = position.int().clamp(max=last - 1)
        fraction = (position - lower)[:, None].to(y)
        lower = lower.to(y.device)
        result += torch.lerp(view.index_select(0, lower), view.index_select(0, lower + 1), fraction)
    return result.T.reshape(*y.shape[:2], height, width).contiguous()
