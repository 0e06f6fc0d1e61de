"""The U-Net against fastMRI's own output and layout."""

import json
from pathlib import Path

import pytest
import torch

import recon
from recon.errors import UsageError

GOLDEN = json.loads((Path(__file__).parents[2] / "golden" / "fastmri_metrics_unet.json").read_text())["unet"]


def filled(model):
    """Fill the weights by the formula of the golden file, which sorts the state dict's keys."""
    state = model.state_dict()
    for i, key in enumerate(sorted(state)):
        n = torch.arange(state[key].numel(), dtype=torch.float64)
        scale = (1.5 / (state[key].numel() / state[key].shape[0])) ** 0.5
        state[key] = (torch.sin(0.7 * n + i) * scale).reshape(state[key].shape)
    model.load_state_dict(state)
    return model.eval()


def test_output_is_fastmris_on_odd_sizes():
    model = filled(recon.build("model", "unet", in_channels=1, out_channels=1, chans=8, num_pool_layers=4))
    x = torch.sin(0.13 * torch.arange(97 * 75, dtype=torch.float64)).float().reshape(1, 1, 97, 75)
    with torch.no_grad():
        y = model(x)
    assert y.shape == x.shape
    assert float(y.mean()) == pytest.approx(GOLDEN["mean"], abs=2e-6)
    assert float(y.std()) == pytest.approx(GOLDEN["std"], abs=2e-6)
    for point, value in GOLDEN["pts"].items():
        row, column = map(int, point.split(","))
        assert float(y[0, 0, row, column]) == pytest.approx(value, abs=5e-6), point


def test_layout_is_fastmris():
    state = recon.build("model", "unet", chans=8, num_pool_layers=2).state_dict()
    assert {key: tuple(value.shape) for key, value in state.items()} == {
        "down_sample_layers.0.layers.0.weight": (8, 1, 3, 3),
        "down_sample_layers.0.layers.4.weight": (8, 8, 3, 3),
        "down_sample_layers.1.layers.0.weight": (16, 8, 3, 3),
        "down_sample_layers.1.layers.4.weight": (16, 16, 3, 3),
        "conv.layers.0.weight": (32, 16, 3, 3),
        "conv.layers.4.weight": (32, 32, 3, 3),
        "up_transpose_conv.0.layers.0.weight": (32, 16, 2, 2),
        "up_transpose_conv.1.layers.0.weight": (16, 8, 2, 2),
        "up_conv.0.layers.0.weight": (16, 32, 3, 3),
        "up_conv.0.layers.4.weight": (16, 16, 3, 3),
        "up_conv.1.0.layers.0.weight": (8, 16, 3, 3),
        "up_conv.1.0.layers.4.weight": (8, 8, 3, 3),
        "up_conv.1.1.weight": (1, 8, 1, 1),
        "up_conv.1.1.bias": (1,),
    }


@pytest.mark.parametrize("chans", [32, 64, 128])
def test_parameter_counts(chans):
    with torch.device("meta"):
        model = recon.build("model", "unet", chans=chans)
    assert sum(p.numel() for p in model.parameters()) == GOLDEN["params"][str(chans)]


def test_skips_and_halvings_against_a_network_written_out():
    """Two levels by hand, with the order [up, skip], mean pooling, and mirrored ends of odd sizes."""
    model = recon.build("model", "unet", chans=2, num_pool_layers=1).double().eval()
    x = torch.randn(2, 1, 5, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    w = {key: value.double() for key, value in model.state_dict().items()}
    f = torch.nn.functional

    def act(z):
        mean, var = z.mean((2, 3), keepdim=True), z.var((2, 3), unbiased=False, keepdim=True)
        return f.leaky_relu((z - mean) / (var + 1e-5).sqrt(), 0.2)

    def two(z, name):
        for index in (0, 4):
            z = act(f.conv2d(z, w[f"{name}.layers.{index}.weight"], padding=1))
        return z

    skip = two(x, "down_sample_layers.0")
    low = skip[..., :4, :].reshape(2, 2, 2, 2, 3, 2).mean((3, 5))  # the fifth row is lost
    up = act(f.conv_transpose2d(two(low, "conv"), w["up_transpose_conv.0.layers.0.weight"], stride=2))
    up = torch.cat([up, up[..., -2:-1, :]], dim=2)  # mirrored without repeating the last row
    out = two(torch.cat([up, skip], dim=1), "up_conv.0.0")
    out = f.conv2d(out, w["up_conv.0.1.weight"], w["up_conv.0.1.bias"])
    torch.testing.assert_close(model(x), out, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("dims", [1, 2, 3])
def test_every_size_comes_back(dims):
    model = recon.build("model", "unet", chans=2, num_pool_layers=2, dims=dims).eval()
    shape = (1, 1, *(9, 14, 11)[:dims])
    assert model(torch.randn(shape)).shape == shape


def test_dropout_takes_whole_channels():
    model = recon.build("model", "unet", chans=16, num_pool_layers=1, drop_prob=0.5)
    block = model.down_sample_layers[0].train()
    torch.manual_seed(0)
    y = block(torch.randn(4, 1, 8, 8))
    empty = (y == 0).flatten(2).all(2)
    assert 0.2 < empty.float().mean() < 0.8
    assert ((y == 0).flatten(2).any(2) == empty).all()


@pytest.mark.parametrize("shape", [(1, 1, 7, 7), (1, 1, 16, 16), (1, 1, 64), (1, 1, 32, 32, 32)])
def test_images_that_do_not_fit_are_refused(shape):
    with pytest.raises(UsageError, match="halved 4 times"):
        recon.build("model", "unet", chans=1)(torch.zeros(shape))


def test_smallest_images_that_fit():
    assert recon.build("model", "unet", chans=1)(torch.randn(1, 1, 16, 32)).shape == (1, 1, 16, 32)
