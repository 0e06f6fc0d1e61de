"""Learned primal-dual: the published layout, its iteration written out, the operator's norm, memory, complex data."""

import copy
import gc
import weakref

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import recon
from recon.errors import UsageError
from recon_plugins.learned_primal_dual import operator_norm
from recon_plugins.learned_primal_dual.norms import _known


def rand(*shape, seed=0, dtype=torch.float64):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def radon(size=(12, 10), angles=7, **params):
    return recon.build("operator", "radon", size=size, angles=angles, **params)


def build(**params):
    torch.manual_seed(0)
    model = recon.build("model", "learned_primal_dual", **params).double()
    with torch.no_grad():
        for value in model.parameters():  # slopes and biases start at zero
            value.add_(0.1 * torch.randn(value.shape, dtype=value.dtype))
    return model


def test_published_layout():
    """As the authors' code builds it: 10 iterations, 5 + 5 memories, 32 features, slopes for each channel."""
    model = recon.build("model", "learned_primal_dual")
    shapes = {name: tuple(value.shape) for name, value in model.named_parameters()}
    assert sum(value.numel() for value in model.parameters()) == 253_220
    for side, inputs in (("dual", 7), ("primal", 6)):
        for step in range(10):
            prefix = f"{side}_steps.{step}"
            widths = (inputs, 32, 32, 5)
            for layer in range(3):
                weight = f"{prefix}.convolutions.{layer}.weight"
                assert shapes.pop(weight) == (widths[layer + 1], widths[layer], 3, 3)
                assert shapes.pop(weight.replace("weight", "bias")) == (widths[layer + 1],)
            assert [shapes.pop(f"{prefix}.activations.{layer}.weight") for layer in range(2)] == [(32,)] * 2
    assert not shapes


def test_initial_weights_are_the_authors():
    torch.manual_seed(0)
    model = recon.build("model", "learned_primal_dual", iterations=1)
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            limit = (6 / (9 * sum(module.weight.shape[:2]))) ** 0.5
            assert 0.95 * limit < float(module.weight.detach().abs().max()) <= limit
            assert not module.bias.any()
        elif isinstance(module, nn.PReLU):
            assert not module.weight.any()


def test_iteration_written_out_gives_the_same():
    model, operator = build(iterations=3, primal=4, dual=2, features=6, scale=0.5), radon()
    state, matrix = model.state_dict(), operator.matrix()
    y = operator(rand(2, 1, 12, 10)) + rand(2, 1, *operator.sinogram_size, seed=1)
    norm = operator_norm(operator, torch.zeros(1, 1, 12, 10, dtype=torch.float64))
    assert norm == pytest.approx(float(torch.linalg.matrix_norm(matrix, 2)), rel=1e-3)

    def step(prefix, x):
        for layer in range(3):
            name = f"{prefix}.convolutions.{layer}"
            x = F.conv2d(x, state[f"{name}.weight"], state[f"{name}.bias"], padding=1)
            if layer < 2:
                slope = state[f"{prefix}.activations.{layer}.weight"][:, None, None]
                x = x.clamp(min=0) + slope * x.clamp(max=0)
        return x

    def times(matrix, x, size):
        return (x.flatten(1) @ matrix.T / norm).reshape(len(x), 1, *size)

    data = y / norm / 0.5
    f, h = torch.zeros(2, 4, 12, 10, dtype=torch.float64), torch.zeros(2, 2, *operator.sinogram_size).double()
    for k in range(3):
        h = h + step(f"dual_steps.{k}", torch.cat([h, times(matrix, f[:, 1], operator.sinogram_size), data], 1))
        f = f + step(f"primal_steps.{k}", torch.cat([f, times(matrix.T, h[:, 0], (12, 10))], 1))
    torch.testing.assert_close(model(y, operator), 0.5 * f[:, :1], rtol=1e-9, atol=1e-9)


def test_units_of_operator_and_image_do_not_matter():
    model = build(iterations=2, features=4, scale=0.02)
    y = rand(1, 1, *radon().sinogram_size)
    x = model(y, radon())
    # The same scan in cm: lines are ten times shorter, attenuations ten times larger, line integrals the same.
    cm = copy.deepcopy(model)
    cm.scale = 0.2
    torch.testing.assert_close(cm(y, radon(pixel=0.1)), 10 * x, rtol=1e-6, atol=1e-8)
    torch.testing.assert_close(model(3 * y, 3 * radon()), x, rtol=1e-6, atol=1e-8)


def test_norm_is_estimated_once_for_an_operator_and_a_size(monkeypatch):
    model, operator = build(iterations=1, features=2), radon()
    calls = []
    original = type(operator).norm
    monkeypatch.setattr(type(operator), "norm", lambda self, **kw: calls.append(self) or original(self, **kw))
    for size in (1, 3, 1):
        model(rand(size, 1, *operator.sinogram_size), operator)
    assert calls == [operator]
    smaller = radon((6, 8))
    model(rand(1, 1, *smaller.sinogram_size), smaller)
    assert calls == [operator, smaller]
    given = build(iterations=1, features=2, norm=operator_norm(operator, torch.zeros(1, 1, 12, 10).double()))
    other = radon()
    y = rand(1, 1, *other.sinogram_size)
    torch.testing.assert_close(given(y, other), model(y, operator))
    assert len(calls) == 2
    assert "norm" not in " ".join(model.state_dict())


def test_norms_do_not_keep_operators_alive():
    operator = radon()
    operator_norm(operator, torch.zeros(1, 1, 12, 10))
    alive, count = weakref.ref(operator), len(_known)
    del operator
    gc.collect()
    assert alive() is None
    assert len(_known) < count


def test_checkpoints_change_no_gradient():
    gradients = []
    for checkpoint in (False, True):
        model, operator = build(iterations=3, features=4, checkpoint=checkpoint), radon()
        y = rand(2, 1, *operator.sinogram_size).requires_grad_()
        model(y, operator).square().sum().backward()
        gradients.append([y.grad, *(value.grad for value in model.parameters())])
    for plain, again in zip(*gradients, strict=True):
        torch.testing.assert_close(again, plain, rtol=1e-10, atol=1e-12)


def test_gradient_passes_through_the_operator():
    model, operator = build(iterations=2, features=2), radon((5, 4), 3)
    y = rand(1, 1, *operator.sinogram_size).requires_grad_()
    assert torch.autograd.gradcheck(lambda y: model(y, operator), (y,))


def test_complex_network_sees_real_and_imaginary_part():
    operator = recon.build("operator", "fourier", mask=[1, 0, 1, 1, 0, 1])
    model = build(iterations=2, features=4, complex=True)
    y = operator(rand(2, 1, 5, 6, dtype=torch.complex128))
    x = model(y, operator)
    assert x.dtype == torch.complex128
    assert x.shape == (2, 1, 5, 6)
    assert not torch.allclose(model(y * 1j, operator), 1j * x)  # it is a real network
    # A first dual step from nothing: the channels are [h = 0, B f = 0, real, imaginary part of the data].
    first = model.dual_steps[0].convolutions[0]
    seen = []
    first.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    model(y, operator)
    assert not seen[0][:, :12].any()
    norm = operator_norm(operator, x)
    torch.testing.assert_close(seen[0][:, 12:], torch.cat([y.real, y.imag], 1) / norm)


def test_volumes():
    model = build(iterations=1, features=2, dims=3, complex=True)
    operator = recon.build("operator", "fourier", dimensions=3)
    assert model(operator(rand(1, 1, 4, 5, 6, dtype=torch.complex128)), operator).shape == (1, 1, 4, 5, 6)


@pytest.mark.parametrize(
    ("params", "operator", "message"),
    [
        ({}, {"use": "fourier"}, "complex=True"),
        ({"complex": True, "dims": 3}, {"use": "fourier"}, "3 axes"),
        ({"complex": True}, {"use": "multicoil_fourier", "maps": {"coils": 3}}, "data_channels"),
    ],
)
def test_what_does_not_fit_is_refused(params, operator, message):
    model = recon.build("model", "learned_primal_dual", iterations=1, features=2, **params)
    operator = recon.build("operator", operator)
    with pytest.raises(UsageError, match=message):
        model(operator(rand(1, 1, 6, 6, dtype=torch.complex64)), operator)


def test_operator_stays_in_full_precision_under_autocast():
    model = recon.build("model", "learned_primal_dual", iterations=1, features=2)
    operator = radon()
    seen = []
    operator.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0].dtype))
    with torch.autocast("cpu", torch.bfloat16):
        x = model(rand(1, 1, *operator.sinogram_size, dtype=torch.float32), operator)
    assert x.dtype == torch.float32
    assert set(seen) <= {torch.float32}


def test_a_few_steps_beat_filtered_back_projection():
    """Trained for seconds on ellipses seen from 12 views, it is nearer to new ones than FBP is."""
    operator = radon((24, 24), 12)
    noise = recon.build("operator", "gaussian_noise", sigma=1.0)
    dataset = recon.build("dataset", "random_ellipses", size=(24, 24), count=24, seed=0)
    images = torch.stack([dataset[index]["image"] for index in range(24)])
    y = noise(operator(images), generator=torch.Generator().manual_seed(0))
    torch.manual_seed(0)
    model = recon.build("model", "learned_primal_dual", iterations=3, features=12)
    optimiser = torch.optim.Adam(model.parameters(), 5e-3, betas=(0.9, 0.99))
    for step in range(40):
        part = torch.arange(step % 4, 20, 4)
        optimiser.zero_grad()
        (model(y[part], operator) - images[part]).square().mean().backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
    with torch.no_grad():
        learned = (model(y[20:], operator) - images[20:]).square().mean()
    fbp = (recon.build("method", "fbp", filter="hann", padding="edge")(y[20:], operator) - images[20:]).square().mean()
    assert float(learned) < 0.7 * float(fbp), (float(learned), float(fbp))
