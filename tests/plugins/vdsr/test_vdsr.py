"""VDSR: what it computes, and published weights."""

from itertools import pairwise

import numpy as np
import pytest
import torch
import torch.nn.functional as F

import recon
from recon.errors import CheckpointError
from recon_plugins.vdsr import from_published


def layers(count, features, channels, bias, seed=0):
    generator = torch.Generator().manual_seed(seed)
    widths = [channels, *[features] * (count - 1), channels]
    weights = [torch.randn(b, a, 3, 3, generator=generator) / 6 for a, b in pairwise(widths)]
    return weights, [torch.randn(b, generator=generator) / 6 for b in widths[1:]] if bias else None


@pytest.mark.parametrize("bias", [True, False])
def test_equals_the_network_written_out(bias):
    weights, biases = layers(4, 5, 2, bias)
    model = from_published(weights, biases)
    y = torch.rand(2, 2, 7, 9, generator=torch.Generator().manual_seed(1))
    x = y
    for index, weight in enumerate(weights):
        x = F.conv2d(x, weight, biases[index] if biases else None, padding=1)
        x = x.relu() if index < 3 else x
    torch.testing.assert_close(model(y), y + x)
    assert (model.layers, model.features, model.channels, model.bias) == (4, 5, 2, bias)


@pytest.mark.parametrize(("params", "count"), [({}, 665_921), ({"bias": False}, 664_704)])
def test_parameter_counts(params, count):
    assert sum(p.numel() for p in recon.build("model", "vdsr", **params).parameters()) == count


def test_initial_weights_are_hes():
    torch.manual_seed(0)
    weight = recon.build("model", "vdsr").body[7].conv.weight.detach()
    assert float(weight.std()) == pytest.approx((2 / 576) ** 0.5, rel=0.02)


def test_image_keeps_single_precision_under_autocast():
    model = recon.build("model", "vdsr", layers=3, features=4)
    torch.nn.init.zeros_(model.body[-1].conv.weight)
    y = torch.rand(1, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(model(y), y)


def test_weights_that_do_not_fit_are_refused():
    weights, biases = layers(3, 4, 1, True)
    with pytest.raises(CheckpointError, match="not of a VDSR"):
        from_published([*weights[:2], weights[1]], biases)


@pytest.mark.slow
@pytest.mark.parametrize(("scale", "bicubic", "paper"), [(2, 33.66, 37.527), (3, 30.39, 33.661), (4, 28.42, 31.346)])
def test_authors_network_on_set5(shared_data, set5, scale, bicubic, paper):
    loadmat = pytest.importorskip("scipy.io").loadmat
    stored = loadmat(shared_data / "weights" / "vdsr" / "VDSR_Official.mat")["model"][0, 0]
    # MATLAB drops axes of size 1 at the end: the last kernels are (row, column, in).
    kernels = [torch.tensor(w.reshape(*w.shape, *[1] * (4 - w.ndim))).permute(3, 2, 0, 1) for w in stored["weight"][0]]
    model = from_published(kernels, [torch.tensor(b) for b in stored["bias"][0]])
    model = model.to(memory_format=torch.channels_last)
    assert sum(p.numel() for p in model.parameters()) == 665_921

    psnr = recon.build("metric", "psnr", data_range=1.0, shave=scale, quantise=True)
    low, high = 16 / 255, 235 / 255  # luminance has no other values
    before, after = [], []
    with torch.no_grad():
        for y, x in set5(scale):
            before.append(float(psnr(x, y)))
            output = model(x.clamp(low, high).float()).double()
            after.append(float(psnr(output.clamp(low, high), y)))
    assert np.mean(before) == pytest.approx(bicubic, abs=0.006)
    assert np.mean(after) == pytest.approx(paper, abs=0.003)
