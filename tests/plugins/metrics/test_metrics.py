"""Metrics against scikit-image, fastMRI's own values, and closed forms."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from skimage.metrics import normalized_root_mse, peak_signal_noise_ratio, structural_similarity

import recon
from recon.errors import ParameterError, UsageError

GOLDEN = json.loads((Path(__file__).parents[2] / "golden" / "fastmri_metrics_unet.json").read_text())["metrics"]


def pair(*shape, seed=0, dtype=torch.float64, noise=0.1):
    generator = torch.Generator().manual_seed(seed)
    target = torch.rand(shape, generator=generator, dtype=dtype)
    return target + noise * torch.randn(shape, generator=generator, dtype=dtype), target


def volume():
    """The volume of the golden file, in single precision as there."""
    z, y, x = np.meshgrid(np.arange(4), np.arange(64), np.arange(48), indexing="ij")
    target = (1e-4 * (1.2 + np.sin(0.21 * x + 0.1 * z) * np.cos(0.17 * y))).astype(np.float32)
    prediction = (target * (1 + 0.05 * np.sin(0.9 * x - 0.4 * y + z))).astype(np.float32)
    return torch.tensor(prediction)[None], torch.tensor(target)[None]


@pytest.mark.parametrize("name", ["psnr", "ssim", "nmse"])
def test_fastmri_values(name):
    metric = recon.build("metric", f"fastmri_{name}")
    prediction, target = volume()
    assert float(metric(prediction.double(), target.double())) == pytest.approx(GOLDEN[name], rel=0, abs=1e-6)
    assert float(metric(prediction, target)) == pytest.approx(GOLDEN[name], abs=1e-5)


def test_fastmri_ssim_with_a_given_range():
    metric = recon.build("metric", "ssim", variant="uniform7", data_range=2e-4)
    prediction, target = volume()
    assert float(metric(prediction.double(), target.double())) == pytest.approx(GOLDEN["ssim_maxval_2e4"], abs=1e-6)


@pytest.mark.parametrize(("name", "base"), [("fastmri_ssim", "ssim"), ("fastmri_psnr", "psnr")])
def test_slices_take_the_range_of_their_volume(name, base):
    """As in fastMRI's validation, where data bring it; a general metric asks for it by name."""
    target, prediction = torch.rand(2, 1, 9, 8), torch.rand(2, 1, 9, 8)
    maximum = torch.tensor([2.0, 5.0])
    variant = {"variant": "uniform7"} if base == "ssim" else {}
    values = recon.build("metric", name)(prediction, target, maximum)
    asked = recon.build("metric", base, data_range="volume_max", **variant)
    torch.testing.assert_close(asked(prediction, target, maximum), values)
    for item in range(2):
        fixed = recon.build("metric", base, data_range=float(maximum[item]), **variant)
        torch.testing.assert_close(fixed(prediction[item : item + 1], target[item : item + 1])[0], values[item])
    with pytest.raises(UsageError, match="items hold 'maximum'"):
        asked(prediction, target)


def test_volumes_of_a_batch_have_their_own_range():
    prediction, target = volume()
    both = torch.cat([prediction, 3 * prediction]), torch.cat([target, 3 * target])
    for name in ("psnr", "ssim", "nmse"):
        values = recon.build("metric", f"fastmri_{name}")(*both)
        torch.testing.assert_close(values[0], values[1], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("shape", [(31, 40), (17, 19, 15)])
@pytest.mark.parametrize("data_range", [1.0, 2.5, "target_max", "target_range"])
@pytest.mark.parametrize("variant", ["gauss11", "uniform7"])
def test_ssim_is_skimages(variant, data_range, shape, dtype):
    prediction, target = pair(3, 1, *shape, dtype=dtype)
    values = recon.build("metric", "ssim", variant=variant, data_range=data_range)(prediction, target)
    assert values.dtype == dtype
    options = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False} if variant == "gauss11" else {}
    for value, x, t in zip(values, prediction[:, 0].double().numpy(), target[:, 0].double().numpy(), strict=True):
        width = {"target_max": t.max(), "target_range": t.max() - t.min()}.get(data_range, data_range)
        expected = structural_similarity(t, x, data_range=width, **options)
        assert float(value) == pytest.approx(expected, abs=1e-10 if dtype == torch.float64 else 1e-6)


def test_ssim_of_a_faint_structure_on_a_high_level_keeps_its_digits_in_single_precision():
    """E[x^2] - E[x]^2 would lose them all: the variance is 1e-8 of the squared mean."""
    prediction, target = pair(1, 1, 32, 32, noise=0.3)
    metric = recon.build("metric", "ssim", data_range=1.0)
    high = metric((1000 + prediction).float(), (1000 + target).float())
    torch.testing.assert_close(high.double(), metric(1000 + prediction, 1000 + target), rtol=0, atol=2e-3)


def test_ssim_does_not_depend_on_tiny_units():
    prediction, target = pair(2, 1, 20, 20, dtype=torch.float32)
    metric = recon.build("metric", "ssim", variant="uniform7", data_range="target_max")
    torch.testing.assert_close(metric(1e-15 * prediction, 1e-15 * target), metric(prediction, target))


def test_ssim_with_an_empty_target_is_finite():
    target = torch.zeros(1, 1, 9, 9)
    for data_range in ("target_max", "target_range"):
        metric = recon.build("metric", "ssim", variant="uniform7", data_range=data_range)
        assert float(metric(target, target)) == 1
        assert 0 < float(metric(target + 0.1, target)) < 0.1


def test_ssim_gradient():
    prediction, target = pair(2, 1, 9, 8)
    metric = recon.build("metric", "ssim", variant="uniform7", data_range="target_max")
    assert torch.autograd.gradcheck(lambda x: metric(x, target), prediction.requires_grad_(), fast_mode=True)


def test_ssim_keeps_single_precision_under_autocast():
    prediction, target = pair(2, 1, 20, 20, dtype=torch.float32)
    metric = recon.build("metric", "ssim")
    with torch.autocast("cpu", torch.bfloat16):
        value = metric(prediction, target)
    assert torch.equal(value, metric(prediction, target))


@pytest.mark.parametrize("data_range", [1.0, 255.0, "target_max", "target_range"])
def test_psnr_is_skimages(data_range):
    prediction, target = pair(3, 2, 13, 8)
    values = recon.build("metric", "psnr", data_range=data_range)(prediction, target)
    for value, x, t in zip(values, prediction.numpy(), target.numpy(), strict=True):
        width = {"target_max": t.max(), "target_range": t.max() - t.min()}.get(data_range, data_range)
        assert float(value) == pytest.approx(peak_signal_noise_ratio(t, x, data_range=width), abs=1e-10)


def test_psnr_of_equal_images_is_infinite():
    _, target = pair(2, 1, 5, 5)
    assert recon.build("metric", "psnr")(target, target).isposinf().all()


def test_shaved_border_does_not_count():
    prediction, target = pair(2, 1, 20, 18)
    spoilt = prediction.clone()
    spoilt[..., :3, :] += 10
    spoilt[..., -3:] -= 10
    for name in ("psnr", "ssim"):
        metric = recon.build("metric", name, shave=3)
        assert torch.equal(metric(spoilt, target), metric(prediction, target))
        inner = recon.build("metric", name)(prediction[..., 3:-3, 3:-3], target[..., 3:-3, 3:-3])
        torch.testing.assert_close(metric(prediction, target), inner)
        assert (recon.build("metric", name, shave=2)(spoilt, target) != metric(spoilt, target)).all()


def test_rounding_to_8_bits_is_matlabs():
    """im2uint8: clip, and halves go up, where numpy's and torch's round would go to the even number."""
    target = torch.tensor([[[0.0, 10 / 255, 1.0, 1.0]]], dtype=torch.float64)
    prediction = torch.tensor([[[-0.3, 9.5 / 255, 1.4, 253.5 / 255]]], dtype=torch.float64)
    value = recon.build("metric", "psnr", quantise=True)(prediction, target)
    # errors in levels: 0 (clipped), 0 (9.5 goes to 10), 0 (clipped), 1 (253.5 goes to 254)
    assert float(value) == pytest.approx(20 * np.log10(255) - 10 * np.log10(1 / 4), abs=1e-9)


def test_quantised_psnr_equals_that_of_8_bit_images():
    prediction, target = pair(1, 1, 30, 20)
    as_bytes = [np.floor(np.clip(x.numpy(), 0, 1) * 255 + 0.5).astype(np.uint8) for x in (target, prediction)]
    value = recon.build("metric", "psnr", quantise=True)(prediction, target)
    assert float(value) == pytest.approx(peak_signal_noise_ratio(*as_bytes), abs=1e-9)


def test_nmse_is_skimages():
    prediction, target = pair(3, 2, 7, 8)
    values = recon.build("metric", "nmse")(prediction, target)
    expected = [normalized_root_mse(t, x) ** 2 for x, t in zip(prediction.numpy(), target.numpy(), strict=True)]
    np.testing.assert_allclose(values, expected, rtol=1e-10)
    assert not recon.build("metric", "nmse").higher_is_better


@pytest.mark.parametrize("name", ["psnr", "ssim", "nmse", "fastmri_psnr", "fastmri_ssim", "fastmri_nmse"])
def test_complex_images_are_compared_by_magnitude(name):
    prediction, target = pair(2, 1, 14, 13)
    turn = torch.exp(6j * pair(2, 1, 14, 13, seed=1)[1])
    metric = recon.build("metric", name)
    torch.testing.assert_close(metric(prediction.abs() * turn, target), metric(prediction.abs(), target))


@pytest.mark.parametrize("name", ["psnr", "ssim", "nmse", "fastmri_ssim"])
def test_shapes_that_differ_are_refused(name):
    with pytest.raises(UsageError, match="one shape"):
        recon.build("metric", name)(torch.zeros(2, 1, 16, 16), torch.zeros(2, 1, 16, 1))


def test_images_smaller_than_the_window_or_the_border_are_refused():
    with pytest.raises(UsageError, match="at least 11 pixels"):
        recon.build("metric", "ssim")(*pair(1, 1, 10, 30))
    with pytest.raises(UsageError, match="shave=4 leaves nothing"):
        recon.build("metric", "psnr", shave=4)(*pair(1, 1, 8, 30))


def test_rounding_needs_a_fixed_white():
    with pytest.raises(UsageError, match="quantise needs a number"):
        recon.build("metric", "psnr", quantise=True, data_range="target_max")


@pytest.mark.parametrize("data_range", [0, -1.0, "image_max"])
def test_ranges_that_cannot_be_are_refused(data_range):
    with pytest.raises(ParameterError, match="data_range"):
        recon.build("metric", "psnr", data_range=data_range)


def test_conventions_name_what_differs():
    text = recon.build("metric", "psnr", data_range="target_max", shave=3).convention
    assert "target's maximum" in text
    assert "3 pixels" in text
    texts = [
        recon.build("metric", "ssim", **params).convention
        for params in ({}, {"variant": "uniform7"}, {"data_range": 255.0}, {"quantise": True}, {"shave": 1})
    ]
    assert len(set(texts)) == len(texts)
    assert "volume" in recon.build("metric", "fastmri_ssim").convention


def test_regressed_snr_fits_scale_and_offset_first():
    """Against a least-squares fit by numpy, as the authors of FBPConvNet compute it."""
    prediction, target = pair(3, 2, 7, 6)
    metric = recon.build("metric", "regressed_snr")
    expected = []
    for x, t in zip(prediction.flatten(1).numpy(), target.flatten(1).numpy(), strict=True):
        design = np.stack([x, np.ones_like(x)], 1)
        coefficients, *_ = np.linalg.lstsq(design, t, rcond=None)
        expected.append(10 * np.log10((t**2).sum() / ((t - design @ coefficients) ** 2).sum()))
    np.testing.assert_allclose(metric(prediction, target), expected, rtol=1e-12)
    # Units and a shift of the prediction do not count, in single precision neither.
    moved = 1000 * prediction - 1024
    np.testing.assert_allclose(metric(moved, target), expected, rtol=1e-10)
    np.testing.assert_allclose(metric(moved.float(), target.float()), expected, rtol=1e-4)
    assert bool(
        (
            metric(prediction, target)
            >= 10 * (target.square().sum((1, 2, 3)) / (prediction - target).square().sum((1, 2, 3))).log10()
        ).all()
    )


def test_regressed_snr_of_a_constant_prediction_is_that_of_the_mean():
    _, target = pair(2, 1, 5, 6)
    value = recon.build("metric", "regressed_snr")(torch.full_like(target, 3.0), target)
    flat = target.flatten(1)
    expected = 10 * (flat.square().sum(1) / (flat - flat.mean(1, keepdim=True)).square().sum(1)).log10()
    torch.testing.assert_close(value, expected)
