"""Structural similarity."""

from __future__ import annotations

from typing import Annotated, Literal

import torch
import torch.nn.functional as F
from annotated_types import Ge, Gt
from torch import Tensor

from recon.errors import UsageError
from recon_plugins.metrics.comparison import DataRange
from recon_plugins.metrics.image_metric import ImageMetric

__all__ = ["SSIM"]

WINDOWS = {
    "gauss11": "Gaussian window 11 of deviation 1.5, population covariance",
    "uniform7": "uniform window 7, sample covariance",
}
CONVOLUTION = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}
MEMORY_FORMAT = {2: torch.channels_last, 3: torch.channels_last_3d}


class SSIM(ImageMetric):
    """Structural similarity, averaged over all channels and all windows that lie inside the image.

    (2 m_x m_t + c1) (2 s_xt + c2) / ((m_x^2 + m_t^2 + c1) (s_x^2 + s_t^2 + c2)), with local means m, variances s^2 and
    covariance s_xt, c1 = (k1 L)^2, c2 = (k2 L)^2. Windows span all spatial axes; slices given as channels are
    compared slice by slice. Of complex images the magnitudes are compared. It is differentiable, and computed in full
    precision also under autocast.

    Papers differ: on the same denoised images the variants below and their data ranges give .853 to .864.

    Shapes: (batch, channel, *space) -> (batch,), one to three spatial axes.

    Parameters
    ----------
    variant
        "gauss11": Wang's original, a Gaussian window of 11 pixels, deviation 1.5, population covariance. "uniform7":
        scikit-image's default and fastMRI's, a uniform window of 7 pixels, sample covariance.
    data_range
        The range L: a number, "target_max" or "target_range" (maximum minus minimum) per item, or "volume_max", the
        `maximum` that items bring. That of an empty target, 0, counts as 1.
    shave
        Pixels of border that do not count.
    quantise
        Whether both images are first clipped to [0, data_range] and rounded to 8 bits, as in the restoration papers.
    k1, k2
        The two constants.

    Raises
    ------
    UsageError
        If an image is smaller than the window.

    References
    ----------
    Wang et al., IEEE Trans. Image Process. 2004, doi:10.1109/TIP.2003.819861
    """

    def __init__(
        self,
        *,
        variant: Literal["gauss11", "uniform7"] = "gauss11",
        data_range: DataRange = 1.0,
        shave: Annotated[int, Ge(0)] = 0,
        quantise: bool = False,
        k1: Annotated[float, Gt(0)] = 0.01,
        k2: Annotated[float, Gt(0)] = 0.03,
    ) -> None:
        super().__init__(data_range, shave, quantise)
        self.variant = variant
        self.k1 = k1
        self.k2 = k2

    @property
    def convention(self) -> str:
        """What the number means, in one line."""
        return f"SSIM per item, {WINDOWS[self.variant]}, windows inside the image, {self._details()}"

    def forward(self, prediction: Tensor, target: Tensor, maximum: Tensor | None = None) -> Tensor:
        """Return the SSIM of each item."""
        with torch.autocast(prediction.device.type, enabled=False):
            x, t, data_range = self.prepared(prediction, target, maximum)
            return self._similarity(x, t, data_range).flatten(1).mean(1)

    def _similarity(self, x: Tensor, t: Tensor, data_range: Tensor) -> Tensor:
        dimensions = x.ndim - 2
        if dimensions not in CONVOLUTION or min(x.shape[2:]) < self._size:
            raise UsageError(
                f"SSIM needs one to three spatial axes of at least {self._size} pixels, got a shape {tuple(x.shape)}"
            )
        # Variances are differences of large numbers unless the images are near zero: scale and shift them there. The
        # scale also keeps images with tiny units out of the range of denormal numbers.
        scale = data_range.where(data_range > 0, 1).reshape(-1, *[1] * (x.ndim - 1))
        x, t = x / scale, t / scale
        shift = t.detach().mean(tuple(range(1, t.ndim)), keepdim=True)
        x, t = x - shift, t - shift
        mean_x, mean_t, squares, xt = self._filter(torch.stack([x, t, x * x + t * t, x * t]))
        sample = self._size**dimensions / (self._size**dimensions - 1) if self.variant == "uniform7" else 1.0
        variances = sample * (squares - mean_x * mean_x - mean_t * mean_t)
        covariance = sample * (xt - mean_x * mean_t)
        mean_x, mean_t = mean_x + shift, mean_t + shift
        c1, c2 = self.k1**2, self.k2**2
        luminance = (2 * mean_x * mean_t + c1) / (mean_x * mean_x + mean_t * mean_t + c1)
        return luminance * (2 * covariance + c2) / (variances + c2)

    @property
    def _size(self) -> int:
        return 11 if self.variant == "gauss11" else 7

    def _filter(self, images: Tensor) -> Tensor:
        """Average over the window, axis by axis. Shapes: (4, batch, channel, *space) -> the same, smaller."""
        space = images.shape[3:]
        if self.variant == "uniform7" and not images.requires_grad:
            for axis in range(-len(space), 0):
                images = _sum_of_seven(images, axis)
            return images / self._size ** len(space)
        if self.variant == "gauss11":
            offset = torch.arange(self._size, dtype=images.dtype, device=images.device) - self._size // 2
            window = torch.exp(-(offset**2) / (2 * 1.5**2))
            window = window / window.sum()
        else:
            window = images.new_full((self._size,), 1 / self._size)
        # The maps are the channels of depth-wise convolutions, which in this memory format a CPU does ten times faster:
        # the whole SSIM of a slice of 320 x 320 takes 3 ms.
        maps = len(images)
        result = images.reshape(maps, -1, *space).transpose(0, 1)
        if len(space) in MEMORY_FORMAT and result.dtype == torch.float32 and result.device.type == "cpu":
            result = result.contiguous(memory_format=MEMORY_FORMAT[len(space)])
        for axis in range(len(space)):
            shape = [self._size if other == axis else 1 for other in range(len(space))]
            kernel = window.reshape(1, 1, *shape).expand(maps, 1, *shape)
            result = CONVOLUTION[len(space)](result, kernel, groups=maps)
        return result.transpose(0, 1).reshape(*images.shape[:3], *result.shape[2:])


def _sum_of_seven(images: Tensor, axis: int) -> Tensor:
    """Sum every seven neighbours as pairs, fours and one: four additions, without the drift of a running sum."""
    count = images.shape[axis]
    two = images.narrow(axis, 0, count - 1) + images.narrow(axis, 1, count - 1)
    seven = two.narrow(axis, 0, count - 6) + two.narrow(axis, 2, count - 6)
    seven += two.narrow(axis, 4, count - 6)
    seven += images.narrow(axis, 6, count - 6)
    return seven
