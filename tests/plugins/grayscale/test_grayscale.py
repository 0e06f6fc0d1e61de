from __future__ import annotations

import numpy as np
import pytest
import skimage.color
import torch
from PIL import Image

import recon
from recon.errors import ParameterError, UsageError
from recon_plugins.grayscale import Grayscale


def randn(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def test_bt601_is_pillows_conversion() -> None:
    x = torch.randint(0, 256, (3, 20, 30), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    pillow = np.asarray(Image.fromarray(x.movedim(0, -1).numpy()).convert("L")).astype(float)
    ours = Grayscale()(x[None].double())[0, 0].numpy()
    assert np.abs(ours - pillow).max() <= 0.5 + 1e-3, "Pillow rounds to whole grey levels"
    assert torch.equal(Grayscale().matrix()[0], torch.tensor([0.299, 0.587, 0.114], dtype=torch.float64))


def test_bt709_is_scikit_images_rgb2gray() -> None:
    x = randn(2, 3, 5, 4)
    expected = torch.from_numpy(skimage.color.rgb2gray(x.movedim(1, -1).numpy()))[:, None]
    # scikit-image rounds the weights of the older CCIR 709: 0.2125, 0.7154, 0.0721.
    torch.testing.assert_close(Grayscale(standard="bt709")(x), expected, rtol=0, atol=4e-4 * float(x.abs().max()))


@pytest.mark.parametrize("standard", ["bt601", "bt709"])
def test_grey_stays_grey(standard: str) -> None:
    grey = randn(1, 1, 4, 4)
    torch.testing.assert_close(Grayscale(standard=standard)(grey.expand(1, 3, 4, 4)), grey)


def test_pinv_is_the_colour_of_smallest_norm() -> None:
    operator, y = Grayscale(), randn(2, 1, 3, 4)
    weights = torch.tensor([0.299, 0.587, 0.114], dtype=torch.float64).reshape(3, 1, 1)
    torch.testing.assert_close(operator.pinv(y), weights * y / (weights**2).sum())


def test_bad_input_is_named() -> None:
    with pytest.raises(UsageError, match=r"Grayscale takes a tensor \(batch, 3, any, any\), got \(2, 1, 4, 4\)"):
        Grayscale()(torch.zeros(2, 1, 4, 4))
    with pytest.raises(ParameterError, match="standard"):
        recon.build("operator", "grayscale", standard="bt2020")
