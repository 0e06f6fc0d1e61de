"""Losses against closed forms and other libraries."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

import recon
from recon.errors import UsageError
from recon.interfaces import OperatorModel
from recon.operators import compose

GOLDEN = json.loads((Path(__file__).parents[2] / "golden" / "fastmri_metrics_unet.json").read_text())["metrics"]


def randn(*shape, seed=0, dtype=torch.float64):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.complex64, torch.complex128])
def test_pixel_losses(dtype):
    x, t = randn(3, 2, 4, 5, dtype=dtype), randn(3, 2, 4, 5, seed=1, dtype=dtype)
    error = np.abs(x.numpy() - t.numpy()).astype(np.float64)
    for name, expected in (
        ("mse", (error**2).mean()),
        ("l1", error.mean()),
        ("residual", (error**2).sum() / (2 * 3)),
    ):
        value = recon.build("loss", name)(x, t)
        assert value.dtype == dtype.to_real()
        assert float(value) == pytest.approx(expected, rel=1e-5)


def test_residual_loss_is_the_papers():
    """1/(2N) sum |R(y) - (y - x)|^2 for a model that gives y - R(y)."""
    model = recon.build("model", "dncnn", layers=3, features=2, batch_norm=False).double()
    clean, noisy = randn(4, 1, 6, 5), randn(4, 1, 6, 5, seed=1)
    paper = (model.noise(noisy) - (noisy - clean)).square().sum() / (2 * 4)
    torch.testing.assert_close(recon.build("loss", "residual")(model(noisy), clean), paper)


def test_half_precision_predictions_are_compared_in_single_precision():
    x = torch.full((1, 1, 100, 100), 300.0, dtype=torch.float16)
    value = recon.build("loss", "residual")(x, torch.zeros_like(x))
    assert value.dtype == torch.float32
    assert float(value) == pytest.approx(300**2 * 1e4 / 2)  # 65504 is the largest float16


@pytest.mark.parametrize("name", ["mse", "l1", "residual", "ssim"])
def test_nothing_is_broadcast(name):
    with pytest.raises(UsageError, match="shape"):
        recon.build("loss", name)(torch.zeros(2, 1, 9, 9), torch.zeros(2, 1, 9, 1))


def test_ssim_loss_is_fastmris():
    z, y, x = np.meshgrid(np.arange(4), np.arange(64), np.arange(48), indexing="ij")
    target = (1e-4 * (1.2 + np.sin(0.21 * x + 0.1 * z) * np.cos(0.17 * y))).astype(np.float32)
    prediction = (target * (1 + 0.05 * np.sin(0.9 * x - 0.4 * y + z))).astype(np.float32)
    value = recon.build("loss", "ssim")(torch.tensor(prediction)[None], torch.tensor(target)[None])
    assert float(value) == pytest.approx(GOLDEN["ssimloss"], abs=1e-6)


class TestCrossEntropy:
    """The label 255, weights, and batches without labels."""

    def data(self):
        labels = torch.randint(0, 5, (2, 1, 6, 7), generator=torch.Generator().manual_seed(0))
        labels[0, 0, :3] = 255
        return randn(2, 5, 6, 7), labels

    @pytest.mark.parametrize("weight", [None, [1.0, 2.0, 0.5, 3.0, 1.5]])
    @pytest.mark.parametrize("label_smoothing", [0.0, 0.2])
    def test_is_torchs_mean_over_labelled_pixels(self, weight, label_smoothing):
        logits, labels = self.data()
        loss = recon.build("loss", "cross_entropy", weight=weight, label_smoothing=label_smoothing)
        w = None if weight is None else torch.tensor(weight, dtype=torch.float64)
        expected = F.cross_entropy(logits, labels[:, 0], weight=w, ignore_index=255, label_smoothing=label_smoothing)
        torch.testing.assert_close(loss(logits, labels), expected)
        torch.testing.assert_close(loss(logits, labels[:, 0].to(torch.uint8)), expected)

    def test_crop_without_labels_has_no_loss_and_no_gradient(self):
        logits, labels = self.data()
        logits.requires_grad_()
        value = recon.build("loss", "cross_entropy")(logits, torch.full_like(labels, 255))
        value.backward()
        assert float(value.detach()) == 0
        assert not logits.grad.any()

    def test_targets_that_are_no_labels_are_refused(self):
        logits, labels = self.data()
        loss = recon.build("loss", "cross_entropy")
        for target in (labels.double(), labels[..., :-1], logits):
            with pytest.raises(UsageError, match="integer labels"):
                loss(logits, target)


class TestMeasurementConsistency:
    """|A x - y|."""

    operator = {"use": "fourier", "mask": [1, 0, 1, 1, 0, 1]}

    @pytest.mark.parametrize("norm", ["l2", "l1"])
    def test_value(self, norm):
        operator = recon.build("operator", self.operator)
        x, y = randn(2, 1, 5, 6), operator(randn(2, 1, 5, 6, seed=1))
        error = np.abs(np.asarray(operator(x)) - np.asarray(y))
        expected = (error**2).mean() if norm == "l2" else error.mean()
        loss = recon.build("loss", "measurement_consistency", norm=norm)
        assert float(loss(x, y, operator)) == pytest.approx(expected)

    def test_gradient_is_the_normal_equations(self):
        operator = recon.build("operator", self.operator)
        x = randn(2, 1, 5, 6, dtype=torch.complex128).requires_grad_()
        y = operator(randn(2, 1, 5, 6, seed=1, dtype=torch.complex128))
        recon.build("loss", "measurement_consistency")(x, y, operator).backward()
        torch.testing.assert_close(x.grad, 2 * operator.adjoint(operator(x.detach()) - y) / y.numel())

    def test_what_is_not_measured_makes_no_difference(self):
        operator = recon.build("operator", self.operator)
        x, y = randn(1, 1, 5, 6, dtype=torch.complex128), randn(1, 1, 5, 6, seed=1, dtype=torch.complex128)
        unseen = randn(1, 1, 5, 6, seed=2, dtype=torch.complex128)
        unseen = unseen - operator.adjoint(operator(unseen))
        loss = recon.build("loss", "measurement_consistency")
        torch.testing.assert_close(loss(x + unseen, y, operator), loss(x, y, operator))

    def test_another_shape_is_refused(self):
        operator = recon.build("operator", self.operator)
        with pytest.raises(UsageError, match="shape"):
            recon.build("loss", "measurement_consistency")(randn(2, 1, 5, 6), randn(2, 2, 5, 6), operator)


class Recorder(OperatorModel):
    """An operator model that keeps what it was given."""

    def forward(self, y, operator):
        self.y, self.operator = y, operator
        return operator.adjoint(y)


class TestMeasurementSplitting:
    """One part of the measurement in, the other part judges."""

    columns = torch.tensor([1, 0, 1, 1, 0, 1, 1, 1, 1, 0, 1, 1]).bool()

    def operator(self, **params):
        return recon.build("operator", "fourier", mask=self.columns, **params)

    def generator(self, seed=0):
        return torch.Generator().manual_seed(seed)

    def test_parts_are_disjoint_and_make_up_the_mask(self):
        loss = recon.build("loss", "measurement_splitting", fraction=0.3)
        mask = torch.rand(200, 300, generator=self.generator(5)) < 0.5
        seen, held = loss.split(mask, self.generator())
        assert not (seen & held).any()
        assert torch.equal(seen | held, mask)
        assert float(held.sum() / mask.sum()) == pytest.approx(0.3, abs=0.01)
        assert not torch.equal(held, loss.split(mask, self.generator(1))[1])
        assert torch.equal(held, loss.split(mask, self.generator(0))[1])

    def test_centre_is_never_held_out(self):
        loss = recon.build("loss", "measurement_splitting", fraction=0.9, keep_center=4)
        for shape, inside in (((20, 31), (slice(8, 12), slice(13, 17))), ((1, 31), (slice(0, 1), slice(13, 17)))):
            held = loss.split(torch.ones(shape).bool(), self.generator())[1]
            assert not held[inside].any()
            outside = torch.ones(shape).bool()
            outside[inside] = False
            assert held[outside].float().mean() > 0.7

    def test_centre_of_a_mask_per_item_or_channel_is_that_of_its_grid(self):
        loss = recon.build("loss", "measurement_splitting", fraction=0.9, keep_center=4)
        held = loss.split(torch.ones(9, 5, 20, 31).bool(), self.generator())[1]
        assert not held[:, :, 8:12, 13:17].any()
        assert held[:, :, :8].float().mean() > 0.8
        held = loss.split(torch.ones(9, 31).bool(), self.generator(), axes=1)[1]
        assert not held[:, 13:17].any()
        assert held[:, :13].float().mean() > 0.8

    @pytest.mark.parametrize("norm", ["l2", "l1"])
    def test_value_and_what_the_model_sees(self, norm):
        operator = self.operator()
        y = operator(randn(2, 1, 6, 12, dtype=torch.complex128))
        model = Recorder()
        loss = recon.build("loss", "measurement_splitting", norm=norm)
        value = loss(model, y, operator, self.generator())
        seen, held = loss.split(self.columns, self.generator())
        assert 0 < held.sum() < self.columns.sum()
        assert torch.equal(model.operator.mask, seen)
        assert torch.equal(model.y, y * seen)
        # the zero-filled image's k-space is zero where samples are held out: the whole of y is the error there
        error = y[..., held].abs()
        torch.testing.assert_close(value, error.square().mean() if norm == "l2" else error.mean())

    def test_all_coils_are_split_alike(self):
        operator = recon.build("operator", "multicoil_fourier", maps={"coils": 3}, mask=self.columns)
        y = operator(randn(2, 1, 6, 12, dtype=torch.complex128))
        model = Recorder()
        value = recon.build("loss", "measurement_splitting")(model, y, operator, self.generator())
        zero = (model.y == 0).all(dim=(0, 1, 2))
        assert ((model.y == 0).any(dim=(0, 1, 2)) == zero).all()
        assert torch.isfinite(value)

    @pytest.mark.parametrize("mask", ["none", "rule", "resampled"])
    def test_masks_that_are_no_tensors(self, mask):
        rule = {"kind": "random", "acceleration": 2, "center_fraction": 0.2, "seed": 3}
        params = {"none": {}, "rule": {"mask": rule}, "resampled": {"mask": rule, "resample": True}}[mask]
        operator = recon.build("operator", "fourier", **params).sample(self.generator())
        y = operator(randn(1, 1, 16, 24, dtype=torch.complex128))
        model = Recorder()
        value = recon.build("loss", "measurement_splitting")(model, y, operator, self.generator())
        assert float(value) > 0
        assert 0 < int((model.y != 0).sum()) < int((y != 0).sum())

    def test_compositions_are_split_at_their_last_factor(self):
        inner = recon.build("operator", "mask", mask=torch.rand(6, 12, generator=self.generator(3)) < 0.7)
        operator = compose(self.operator(), inner)
        y = operator(randn(1, 1, 6, 12, dtype=torch.complex128))
        model = Recorder()
        recon.build("loss", "measurement_splitting")(model, y, operator, self.generator())
        x = randn(1, 1, 6, 12, seed=4, dtype=torch.complex128)
        seen = recon.build("loss", "measurement_splitting").split(self.columns, self.generator())[0]
        torch.testing.assert_close(model.operator(x), operator(x) * seen)

    def test_masks_drawn_by_a_seed(self):
        operator = recon.build("operator", "random_mask", size=[9, 8], fraction=0.6, seed=2)
        y = operator(randn(2, 1, 9, 8))
        model = Recorder()
        recon.build("loss", "measurement_splitting")(model, y, operator, self.generator())
        x = randn(2, 1, 9, 8, seed=4)
        assert int((model.operator(x) != 0).sum()) < int((operator(x) != 0).sum())
        torch.testing.assert_close(model.operator(y), model.y)

    def test_plain_models_and_gradients(self):
        operator = recon.build("operator", "mask", mask=torch.rand(8, 9, generator=self.generator(3)) < 0.7)
        model = recon.build("model", "srcnn", kernels=[3, 1, 3], features=[3, 2]).double()
        y = operator(randn(2, 1, 8, 9))
        recon.build("loss", "measurement_splitting")(model, y, operator, self.generator()).backward()
        assert all(torch.isfinite(p.grad).all() for p in model.parameters())
        assert model.conv3.bias.grad.any()

    def test_points_fall_by_themselves_in_each_item(self):
        operator = recon.build("operator", "multicoil_fourier", maps={"coils": 3}, mask=self.columns)
        y = operator(randn(2, 1, 6, 12, dtype=torch.complex128))
        model = Recorder()
        recon.build("loss", "measurement_splitting", grid="points")(model, y, operator, self.generator())
        zero = model.y == 0
        assert torch.equal(zero.all(1), zero.any(1))  # all coils alike
        assert not torch.equal(zero[0], zero[1])
        part = zero[:, 0][..., self.columns].float().mean((1, 2))
        assert ((part > 0.1) & (part < 0.7)).all()
        torch.testing.assert_close(model.operator(operator.adjoint(y)) * zero, torch.zeros_like(y))

    def test_gaussian_selection_has_an_exact_share_and_more_low_frequencies(self):
        loss = recon.build("loss", "measurement_splitting", selection="gaussian", keep_center=4)
        mask = torch.ones(3, 1, 60, 80, dtype=torch.bool)
        mask[1, ..., ::2] = False
        seen, held = loss.split(mask, self.generator())
        assert torch.equal(seen | held, mask)
        assert not (seen & held).any()
        assert not held[..., 28:32, 38:42].any()
        allowed = mask.clone()
        allowed[..., 28:32, 38:42] = False
        expected = (0.4 * allowed.sum((1, 2, 3))).round()
        assert torch.equal(held.sum((1, 2, 3)).float(), expected)
        middle = held[0, 0, 15:45, 20:60].float().mean()
        assert float(middle) > 1.7 * 0.4
        assert float(held[0, 0, :8].float().mean()) < 0.5 * 0.4
        assert not torch.equal(held[0], held[2])

    def test_relative_norm_is_that_of_the_reference(self):
        operator = self.operator()
        y = operator(randn(2, 1, 6, 12, dtype=torch.complex128))
        loss = recon.build("loss", "measurement_splitting", norm="l1_l2", grid="points")
        model = Recorder()
        value = loss(lambda part: 0.9 * operator.adjoint(y), y, operator, self.generator())
        # 0.9 F^H y is 0.9 y where k-space was measured: a tenth of each norm, whatever is held out.
        torch.testing.assert_close(value, torch.tensor(0.2, dtype=torch.float64))
        torch.testing.assert_close(
            loss(model, 1e-6 * y, operator, self.generator()), loss(model, y, operator, self.generator())
        )
        assert float(loss(model, torch.zeros_like(y), operator, self.generator())) == 0

    def test_sensitivities_are_estimated_before_the_split(self):
        item = recon.build("dataset", "multicoil_phantom", size=(40, 36), coils=4)[0]
        y = item["measurement"][None]
        operator = recon.build("operator", "fourier")
        model = Recorder()
        loss = recon.build("loss", "measurement_splitting", grid="points", maps="low_resolution_maps", keep_center=4)
        assert float(loss(model, y, operator, self.generator())) > 0
        assert model.operator(item["image"][None]).shape == y.shape

    def test_operators_without_a_mask_are_refused(self):
        operator = recon.build("operator", "radon", size=[8, 8], angles=5)
        with pytest.raises(UsageError, match="mask to split, such as fourier or mask, not Radon"):
            recon.build("loss", "measurement_splitting")(
                Recorder(), torch.zeros(1, 1, 5, 12), operator, self.generator()
            )


def test_fastmri_l1_is_that_of_fastmris_transform():
    """Golden value from the functions of UnetDataTransform; one pixel of the target lies beyond the clamp."""
    golden = json.loads((Path(__file__).parents[2] / "golden" / "fastmri_learned.json").read_text())["unet_loss"]
    x = torch.arange(48, dtype=torch.float64)
    k = torch.exp(1j * (0.3 * x + 0.05 * torch.arange(40, dtype=torch.float64)[:, None] ** 1.5))
    columns = (x % 4 == 0) | ((x >= 20) & (x < 28))
    operator = recon.build("operator", "fourier", mask=columns)
    y = torch.where(columns, torch.stack([k, 0.5 * k, -0.7 * k]), 0)[None]
    r, c = torch.arange(32, dtype=torch.float64)[:, None], torch.arange(30, dtype=torch.float64)
    target = 1.2 + torch.sin(0.21 * r) * torch.cos(0.17 * c)
    target[3, 4] = 40.0
    prediction = target.clamp(max=3) * (1 + 0.05 * torch.sin(0.9 * c - 0.4 * r))
    loss = recon.build("loss", "fastmri_l1")
    value = loss(prediction[None, None], target[None, None], y, operator)
    assert float(value) == pytest.approx(golden["loss"], rel=1e-7)
    # No unit changes it, and each item has its own.
    whole = loss(
        *(torch.stack([v, 1e-4 * v])[:, None] for v in (prediction, target)), torch.cat([y, 1e-4 * y]), operator
    )
    torch.testing.assert_close(whole, value, rtol=1e-6, atol=0)
    with pytest.raises(UsageError, match="batch, 1"):
        loss(torch.zeros(1, 3, 8, 8), torch.zeros(1, 3, 8, 8), y, operator)


def test_ssim_loss_takes_the_volumes_maximum():
    x, t = torch.rand(2, 1, 9, 8), torch.rand(2, 1, 9, 8)
    maximum = torch.tensor([2.0, 3.0])
    value = recon.build("loss", "ssim", data_range="volume_max")(x, t, maximum)
    parts = [
        recon.build("loss", "ssim", data_range=float(m))(x[i : i + 1], t[i : i + 1]) for i, m in enumerate(maximum)
    ]
    torch.testing.assert_close(value, torch.stack(parts).mean())
