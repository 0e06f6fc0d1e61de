"""Help for the tests of plugins."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

import recon

SuperResolution = Callable[[int], list[tuple[Tensor, Tensor]]]


@pytest.fixture(scope="session")
def set5(shared_data: Path) -> SuperResolution:
    """Pairs (luminance, what bicubic interpolation of its small version gives) of Set5, by scale, in float64.

    The protocol of SRCNN and VDSR: 8-bit luminance as MATLAB's rgb2ycbcr rounds it, sizes cut to multiples of the
    scale, imresize down and up without rounding between.
    """
    images = []
    for path in sorted((shared_data / "natural" / "set5").glob("*_GT.bmp")):
        rgb = np.asarray(Image.open(path).convert("RGB")) / 255
        y = np.floor(16 + rgb @ [65.481, 128.553, 24.966] + 0.5) / 255
        images.append(torch.tensor(y)[None, None])

    def pairs(scale: int) -> list[tuple[Tensor, Tensor]]:
        made = []
        for image in images:
            height, width = (n - n % scale for n in image.shape[2:])
            large = image[..., :height, :width]
            down = recon.build("operator", "downsample", size=(height, width), factor=scale, method="bicubic")
            small = down(large)
            up = recon.build("operator", "upsample", size=small.shape[2:], factor=scale, method="bicubic")
            made.append((large, up(small)))
        return made

    return pairs
