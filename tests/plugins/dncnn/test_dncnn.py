"""DnCNN: what it computes, its merged form, and readers of published weights."""

import pytest
import torch
from torch import nn

import recon
from recon.errors import CheckpointError, ParameterError, UsageError
from recon_plugins.dncnn import from_published, merge_batch_norm


def rand(*shape, seed=0, dtype=torch.float32):
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def trained_like(**params):
    """A model whose normalisations are not the identity."""
    model = recon.build("model", "dncnn", **params)
    generator = torch.Generator().manual_seed(1)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            for value, low, high in (
                (module.weight, 0.5, 1.5),
                (module.bias, -0.5, 0.5),
                (module.running_mean, -0.5, 0.5),
                (module.running_var, 0.01, 2.0),
            ):
                value.data.uniform_(low, high, generator=generator)
    return model.eval()


def sequential(channels, layers, features, norm):
    """The network as the papers' PyTorch ports write it: one flat sequence."""
    parts = [nn.Conv2d(channels, features, 3, padding=1), nn.ReLU()]
    for _ in range(layers - 2):
        parts.append(nn.Conv2d(features, features, 3, padding=1, bias=not norm))
        parts += [nn.BatchNorm2d(features, eps=1e-4), nn.ReLU()] if norm else [nn.ReLU()]
    return nn.Sequential(*parts, nn.Conv2d(features, channels, 3, padding=1, bias=not norm))


@pytest.mark.parametrize("norm", [True, False])
@pytest.mark.parametrize("channels", [1, 3])
def test_equals_the_plain_sequence_and_reads_its_state(norm, channels):
    reference = sequential(channels, 5, 6, norm).double()
    for module in reference.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.uniform_(-0.3, 0.3)
            module.running_var.uniform_(0.1, 2)
    reference.eval()
    state = {f"module.dncnn.{key}": value for key, value in reference.state_dict().items()}
    model = from_published(state).double()
    model.load_state_dict(from_published(state).double().state_dict())
    y = rand(2, channels, 9, 7, dtype=torch.float64)
    # The reader makes a single-precision model, as published weights are.
    torch.testing.assert_close(model(y), y - reference(y), rtol=1e-5, atol=1e-6)
    assert (model.layers, model.features, model.channels, model.batch_norm) == (5, 6, channels, norm)


def test_published_network_without_the_first_bias():
    reference = nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1, bias=False),
        nn.ReLU(),
        nn.Conv2d(4, 4, 3, padding=1, bias=False),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.Conv2d(4, 1, 3, padding=1, bias=False),
    ).eval()
    state = {key: value for key, value in reference.state_dict().items() if "tracked" not in key}
    y = rand(1, 1, 8, 6)
    torch.testing.assert_close(from_published(state, bn_eps=1e-5)(y), y - reference(y))


def test_merged_network_is_the_same_function():
    model = trained_like(layers=6, features=5, channels=2).double()
    merged = merge_batch_norm(model)
    y = rand(2, 2, 8, 9, dtype=torch.float64)
    torch.testing.assert_close(merged(y), model(y), rtol=1e-12, atol=1e-12)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in merged.modules())
    assert next(merged.parameters()).dtype == torch.float64
    assert not merged.training


def test_merging_twice_is_refused():
    with pytest.raises(UsageError, match="no batch normalisation"):
        merge_batch_norm(recon.build("model", "dncnn", layers=3, batch_norm=False))


@pytest.mark.parametrize(
    ("params", "count"),
    [
        ({}, 556_096),
        ({"batch_norm": False}, 555_137),
        ({"layers": 20, "batch_norm": False}, 665_921),
        ({"layers": 20, "channels": 3, "batch_norm": False}, 668_227),
    ],
)
def test_parameter_counts(params, count):
    assert sum(p.numel() for p in recon.build("model", "dncnn", **params).parameters()) == count


@pytest.mark.parametrize(("layers", "reach"), [(17, 17), (20, 20)])
def test_receptive_field(layers, reach):
    """A pixel sees `layers` pixels to each side: fields of 35 and 41 as in the paper."""
    model = recon.build("model", "dncnn", layers=layers, features=2, batch_norm=False).double()
    for weight in model.parameters():
        weight.data.abs_()  # so that no ReLU is silent
    y = rand(1, 1, 1, 2 * reach + 5, dtype=torch.float64).requires_grad_()
    (gradient,) = torch.autograd.grad(model(y)[0, 0, 0, reach + 2], y)
    seen = gradient[0, 0, 0].nonzero().flatten()
    assert (int(seen.min()), int(seen.max())) == (2, 2 * reach + 2)


def test_initial_weights_are_hes():
    torch.manual_seed(0)
    model = recon.build("model", "dncnn")
    for index, fan_in in ((0, 9), (5, 576), (16, 576)):
        weight = model.body[index].conv.weight.detach()
        assert float(weight.std()) == pytest.approx((2 / fan_in) ** 0.5, rel=0.12)
        assert abs(float(weight.mean())) < 0.1 * float(weight.std())
    assert not model.body[0].conv.bias.any()
    assert all(m.eps == 1e-4 and m.momentum == 0.05 for m in model.modules() if isinstance(m, nn.BatchNorm2d))


def test_image_keeps_single_precision_under_autocast():
    model = recon.build("model", "dncnn", layers=3, features=4, batch_norm=False)
    nn.init.zeros_(model.body[-1].conv.weight)
    y = rand(1, 1, 8, 8) * 0.9 + 0.05
    with torch.autocast("cpu", torch.bfloat16):
        output = model(y)
        assert model.noise(y).dtype == torch.bfloat16
    assert output.dtype == torch.float32
    assert torch.equal(output, y)  # bfloat16 would have rounded it


def test_deep_network_trains():
    """A few steps on one batch lower the error: signs and initial scale are right."""
    torch.manual_seed(0)
    model = recon.build("model", "dncnn", layers=5, features=16)
    optimiser = torch.optim.Adam(model.parameters(), 5e-3)
    x = rand(4, 1, 4, 4).repeat_interleave(4, 2).repeat_interleave(4, 3)
    noisy = x + 0.1 * torch.randn(x.shape, generator=torch.Generator().manual_seed(2))
    for _ in range(100):
        optimiser.zero_grad()
        (model(noisy) - x).square().mean().backward()
        optimiser.step()
    error = float((model(noisy).detach() - x).square().mean())
    assert error < 0.5 * float((noisy - x).square().mean())


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ({"head": torch.zeros(3)}, "not of a DnCNN"),
        ({"model.0.weight": torch.zeros(4, 1, 3, 3)}, "not a sequence"),
        ({"0.weight": torch.zeros(4, 1, 3, 3), "2.weight": torch.zeros(2, 3, 3, 3)}, "not of a DnCNN"),
    ],
)
def test_foreign_weights_are_refused(state, message):
    with pytest.raises(CheckpointError, match=message):
        from_published(state)


def test_one_layer_is_refused():
    with pytest.raises(ParameterError, match="layers"):
        recon.build("model", "dncnn", layers=1)
