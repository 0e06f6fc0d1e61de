"""What PSNR and SSIM have in common."""

from __future__ import annotations

from torch import Tensor

from recon.errors import UsageError
from recon.interfaces import Metric
from recon_plugins.metrics.comparison import comparable, cropped, data_ranges, range_text, rounded

__all__ = ["ImageMetric"]


class ImageMetric(Metric):
    """A metric with a data range, a border that does not count, and optional rounding to 8 bits."""

    def __init__(self, data_range: float | str, shave: int, quantise: bool) -> None:
        super().__init__()
        if quantise and isinstance(data_range, str):
            raise UsageError("quantise needs a number as data_range: what white is, such as 1.0")
        self.data_range = data_range
        self.shave = shave
        self.quantise = quantise

    def prepared(
        self, prediction: Tensor, target: Tensor, maximum: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return both images as they are compared, and the data range of each item."""
        prediction, target = comparable(prediction, target)
        prediction, target = cropped(prediction, self.shave), cropped(target, self.shave)
        if self.quantise:
            white = float(self.data_range)
            prediction, target = rounded(prediction, white), rounded(target, white)
        return prediction, target, data_ranges(target, self.data_range, maximum)

    def _details(self) -> str:
        border = f"{self.shave} pixels of border left out" if self.shave else "border included"
        levels = "rounded to 8 bits" if self.quantise else "not rounded"
        return f"data range {range_text(self.data_range)}, {border}, {levels}, magnitude of complex images"
