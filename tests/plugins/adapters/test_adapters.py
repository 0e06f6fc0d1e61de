"""Adapters: what the network inside sees, and what comes of its answer."""

import pytest
import torch
from torch import nn

import recon
from recon.errors import ParameterError, UsageError
from recon_plugins.adapters import (
    ComplexChannels,
    FromAdjoint,
    FromMethod,
    FromPinv,
    GlobalResidual,
    Normalised,
    Upscaled,
)


class Spy(nn.Module):
    """A network that keeps its input and answers by a function."""

    channels_last = True

    def __init__(self, answer=lambda x: x):
        super().__init__()
        self.answer = answer

    def forward(self, x):
        self.seen = x
        return self.answer(x)


def randn(*shape, seed=0, dtype=torch.float64):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


class TestComplexChannels:
    def test_network_sees_all_real_parts_then_all_imaginary_ones(self):
        x = randn(2, 3, 4, 5, dtype=torch.complex128)
        spy = Spy()
        assert torch.equal(ComplexChannels(model=spy)(x), x)
        assert torch.equal(spy.seen, torch.cat([x.real, x.imag], dim=1))

    def test_complex_product_by_a_real_convolution(self):
        """(a + ib) x as the real 1x1 convolution [[a, -b], [b, a]]."""
        convolution = nn.Conv2d(2, 2, 1, bias=False, dtype=torch.float64)
        convolution.weight.data = torch.tensor([[0.3, -0.8], [0.8, 0.3]], dtype=torch.float64)[..., None, None]
        x = randn(2, 1, 4, 5, dtype=torch.complex128)
        torch.testing.assert_close(ComplexChannels(model=convolution)(x), (0.3 + 0.8j) * x)

    def test_real_images_have_no_imaginary_part(self):
        x = randn(1, 1, 3, 4)
        assert torch.equal(ComplexChannels(model=Spy())(x), torch.complex(x, torch.zeros_like(x)))

    def test_half_precision_answers_become_single_precision(self):
        x = randn(1, 1, 3, 4, dtype=torch.complex64)
        assert ComplexChannels(model=Spy(lambda x: x.bfloat16()))(x).dtype == torch.complex64

    def test_odd_number_of_channels_is_refused(self):
        with pytest.raises(UsageError, match="even number of output channels, got 1"):
            ComplexChannels(model=Spy(lambda x: x[:, :1]))(randn(1, 1, 3, 4))


class TestNormalised:
    def test_network_sees_standard_items_and_its_answer_is_scaled_back(self):
        x = 1e-6 * randn(3, 2, 5, 7) + torch.tensor([1e-5, -3.0, 0.0], dtype=torch.float64)[:, None, None, None]
        spy = Spy()
        torch.testing.assert_close(Normalised(model=spy)(x), x, rtol=1e-9, atol=1e-10)
        zeros, ones = torch.zeros(3, dtype=torch.float64), torch.ones(3, dtype=torch.float64)
        torch.testing.assert_close(spy.seen.mean((1, 2, 3)), zeros, atol=1e-6, rtol=0)
        torch.testing.assert_close(spy.seen.std((1, 2, 3)), ones, atol=2e-5, rtol=0)

    def test_scaling_of_the_image_scales_the_answer(self):
        model = Normalised(model=recon.build("model", "unet", chans=2, num_pool_layers=1).double())
        x = randn(2, 1, 6, 6)
        torch.testing.assert_close(model(1e-4 * x + 5), 1e-4 * model(x) + 5, rtol=1e-9, atol=1e-9)

    def test_complex_images(self):
        x = 4 * randn(2, 1, 5, 7, dtype=torch.complex128) + (3 - 2j)
        spy = Spy()
        torch.testing.assert_close(Normalised(model=spy)(x), x)
        expected = torch.ones(2, dtype=torch.float64) * 34 / 35  # the denominator is n - 1
        torch.testing.assert_close(spy.seen.abs().square().mean((1, 2, 3)), expected)

    def test_limit(self):
        spy = Spy()
        Normalised(model=spy, clamp=1.5)(randn(2, 1, 9, 9))
        assert float(spy.seen.max()) == 1.5
        assert float(spy.seen.min()) == -1.5
        with pytest.raises(UsageError, match="put complex_channels around it"):
            Normalised(model=spy, clamp=1.5)(randn(2, 1, 9, 9, dtype=torch.complex128))

    def test_constant_image_comes_back(self):
        x = torch.full((1, 1, 4, 4), 3.0)
        assert torch.equal(Normalised(model=Spy())(x), x)


def test_a_single_value_is_its_own_mean():
    image = torch.full((2, 1, 1, 1), 3.0)
    assert torch.equal(Normalised(model=Spy())(image), image)


def test_global_residual_adds_in_the_images_precision():
    x = randn(1, 1, 4, 4)
    assert torch.equal(GlobalResidual(model=Spy(lambda x: x.float()))(x), x + x.float().double())


class TestUpscaled:
    @pytest.mark.parametrize("method", ["bicubic", "bilinear", "nearest"])
    def test_network_sees_the_interpolated_image_of_any_size(self, method):
        spy = Spy()
        model = Upscaled(model=spy, factor=3, method=method)
        for size in ((5, 4), (6, 9)):
            y = randn(2, 1, *size)
            operator = recon.build("operator", "upsample", size=size, factor=3, method=method)
            assert torch.equal(model(y), operator(y))

    def test_interpolation_keeps_single_precision_under_autocast(self):
        spy = Spy()
        y = randn(1, 1, 5, 4, dtype=torch.float32)
        with torch.autocast("cpu", torch.bfloat16):
            Upscaled(model=spy, factor=2)(y)
        assert torch.equal(spy.seen, recon.build("operator", "upsample", size=(5, 4), factor=2)(y))


class TestFirstImages:
    fourier = {"use": "fourier", "mask": [1, 0, 1, 1, 0, 1]}

    @pytest.mark.parametrize("part", ["complex", "magnitude", "real"])
    def test_adjoint(self, part):
        operator = recon.build("operator", self.fourier)
        y = operator(randn(2, 1, 5, 6, dtype=torch.complex128))
        image = operator.adjoint(y)
        expected = {"complex": image, "magnitude": image.abs(), "real": image.real}[part]
        assert torch.equal(FromAdjoint(model=Spy(), part=part)(y, operator), expected)

    @pytest.mark.parametrize("part", ["complex", "magnitude", "real"])
    def test_real_images_stay_as_they_are(self, part):
        operator = recon.build("operator", "radon", size=[6, 5], angles=4)
        y = operator(randn(1, 1, 6, 5))
        assert torch.equal(FromAdjoint(model=Spy(), part=part)(y, operator), operator.adjoint(y))

    def test_pinv(self):
        operator = recon.build("operator", "multicoil_fourier", maps={"coils": 4}, mask=[1, 0, 1, 0, 1, 0, 1, 0])
        x = randn(2, 1, 6, 8, dtype=torch.complex128)
        y = operator(x)
        model = FromPinv(model=Spy(), iterations=400, tolerance=1e-12)
        torch.testing.assert_close(operator(model(y, operator)), y, rtol=1e-6, atol=1e-6)
        damped = FromPinv(model=Spy(), iterations=400, tolerance=1e-12, damping=10.0)(y, operator)
        assert damped.abs().mean() < 0.5 * x.abs().mean()

    @pytest.mark.filterwarnings("ignore:the object reaches beyond")  # numbers at random do
    def test_method(self):
        operator = recon.build("operator", "radon", size=[9, 9], angles=8)
        method = recon.build("method", "fbp", filter="hann")
        y = operator(randn(2, 1, 9, 9))
        assert torch.equal(FromMethod(method=method, model=Spy())(y, operator), method(y, operator))

    def test_first_image_keeps_single_precision_under_autocast(self):
        operator = recon.build("operator", "radon", size=[9, 9], angles=8)
        spy = Spy()
        y = operator(randn(1, 1, 9, 9, dtype=torch.float32))
        with torch.autocast("cpu", torch.bfloat16):
            FromAdjoint(model=spy)(y, operator)
        assert torch.equal(spy.seen, operator.adjoint(y))


class TestWhatTheNetworkSees:
    def test_crop_is_the_middle_as_fastmri_takes_it(self):
        """Start at (n - crop) // 2, for all parities."""
        operator = recon.build("operator", "fourier")
        x = randn(2, 1, 9, 8, dtype=torch.complex128)
        for crop, inside in (((4, 5), (slice(2, 6), slice(1, 6))), ((9, 8), (slice(9), slice(8)))):
            spy = Spy()
            result = FromAdjoint(model=spy, crop=crop)(operator(x), operator)
            torch.testing.assert_close(result, x[..., inside[0], inside[1]])
            assert spy.seen.is_contiguous()

    def test_rss_combines_coils(self):
        operator = recon.build("operator", "fourier")
        x = randn(2, 3, 5, 6, dtype=torch.complex128)
        seen = FromPinv(model=Spy(), part="rss")(operator(x), operator)
        torch.testing.assert_close(seen, x.abs().square().sum(1, keepdim=True).sqrt())

    @pytest.mark.parametrize("crop", [(6, 6), (5,), (4, 4, 1)])
    def test_crops_that_do_not_fit_are_refused(self, crop):
        operator = recon.build("operator", "fourier")
        with pytest.raises(UsageError, match=r"crop \[.*\] does not fit the first image of size \[5, 6\]"):
            FromAdjoint(model=Spy(), crop=crop)(randn(1, 1, 5, 6), operator)


def test_adapters_nest_as_data():
    config = {
        "use": "from_adjoint",
        "model": {
            "use": "complex_channels",
            "model": {
                "use": "normalised",
                "clamp": 6.0,
                "model": {"use": "unet", "in_channels": 2, "out_channels": 2, "chans": 2, "num_pool_layers": 1},
            },
        },
    }
    model = recon.build("model", config)
    operator = recon.build("operator", TestFirstImages.fourier)
    y = operator(randn(2, 1, 6, 6, dtype=torch.complex64))
    output = model(y, operator)
    assert output.dtype == torch.complex64
    output.abs().mean().backward()
    assert all(p.grad is not None for p in model.parameters())


def test_adapters_pass_on_the_memory_format():
    assert Upscaled(model=Spy(), factor=2).channels_last
    assert GlobalResidual(model=Normalised(model=Spy())).channels_last
    assert not ComplexChannels(model=recon.build("model", "unet", chans=1)).channels_last


def test_error_in_the_inner_model_names_its_place():
    with pytest.raises(ParameterError, match=r"model\.model\.chanels: .*model 'unet': unknown parameter; did you mean"):
        recon.build(
            "model",
            {"use": "from_adjoint", "model": {"use": "complex_channels", "model": {"use": "unet", "chanels": 2}}},
        )
