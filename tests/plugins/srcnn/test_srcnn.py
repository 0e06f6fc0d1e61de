"""SRCNN: what it computes, its borders, and published weights."""

import pytest
import torch
import torch.nn.functional as F

import recon
from recon.errors import CheckpointError, ParameterError
from recon_plugins.srcnn import from_published


def filled(**params):
    """A model with weights large enough to matter."""
    model = recon.build("model", "srcnn", **params).double()
    generator = torch.Generator().manual_seed(0)
    for parameter in model.parameters():
        parameter.data.normal_(0, 0.2, generator=generator)
    return model.eval()


@pytest.mark.parametrize(("mode", "fill"), [("replicate", "replicate"), ("zeros", "constant"), ("reflect", "reflect")])
def test_each_convolution_sees_the_named_border(mode, fill):
    model = filled(kernels=[5, 3, 5], features=[4, 3], padding_mode=mode)
    x = y = torch.randn(2, 1, 9, 11, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    for index, (convolution, size) in enumerate(zip((model.conv1, model.conv2, model.conv3), (5, 3, 5), strict=True)):
        x = F.conv2d(F.pad(x, [size // 2] * 4, fill), convolution.weight, convolution.bias)
        x = x.relu() if index < 2 else x
    torch.testing.assert_close(model(y), x)


@pytest.mark.parametrize(("kernels", "count"), [((9, 1, 5), 8_129), ((9, 3, 5), 24_513), ((9, 5, 5), 57_281)])
def test_parameter_counts(kernels, count):
    assert sum(p.numel() for p in recon.build("model", "srcnn", kernels=kernels).parameters()) == count


def test_initial_weights_are_the_papers():
    torch.manual_seed(0)
    model = recon.build("model", "srcnn", kernels=[9, 5, 5])
    weights = torch.cat([p.detach().flatten() for p in model.parameters() if p.ndim == 4])
    assert float(weights.std()) == pytest.approx(1e-3, rel=0.02)
    assert not any(p.any() for p in model.parameters() if p.ndim == 1)


def test_state_of_another_shape_is_read_off_its_tensors():
    model = filled(kernels=[3, 1, 5], features=[4, 2], channels=3)
    state = {f"module.{key}": value.float() for key, value in model.state_dict().items()}
    read = from_published(state)
    assert (read.kernels, read.features, read.channels) == ((3, 1, 5), (4, 2), 3)
    x = torch.rand(1, 3, 7, 8)
    torch.testing.assert_close(read(x), model.float()(x))


def test_foreign_weights_are_refused():
    with pytest.raises(CheckpointError, match="not of an SRCNN"):
        from_published({"conv1.weight": torch.zeros(4, 1, 3, 3)})


@pytest.mark.parametrize("kernels", [[9, 2, 5], [9, 5], [9, 0, 5]])
def test_kernels_that_cannot_be_are_refused(kernels):
    with pytest.raises((ParameterError, recon.errors.UsageError), match="kernel"):
        recon.build("model", "srcnn", kernels=kernels)


@pytest.mark.slow
def test_published_network_on_set5(shared_data, set5):
    path = shared_data / "weights" / "srcnn_x3" / "x3" / "best.pth"
    state = torch.load(path, map_location="cpu", weights_only=True)
    psnr = recon.build("metric", "psnr", data_range=1.0, shave=3, quantise=True)
    with torch.no_grad():
        bicubic, zeros, replicate = (
            sum(float(psnr(model(x.float()), y.float())) for y, x in set5(3)) / 5
            for model in (torch.nn.Identity(), from_published(state, padding_mode="zeros"), from_published(state))
        )
    assert bicubic == pytest.approx(30.39, abs=0.01)
    assert zeros == pytest.approx(32.660, abs=0.005)
    assert abs(replicate - zeros) > 1e-3  # the file does not tell its border, and it matters
