"""FBPConvNet: the published layout, the side that is cropped, sizes, precision."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import recon
from recon.errors import UsageError


def rand(*shape, seed=0, dtype=torch.float32):
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def lively(**params):
    """A small network in double precision whose normalisations are not the identity and whose weights are not tiny."""
    model = recon.build("model", "fbpconvnet", **params).double().eval()
    generator = torch.Generator().manual_seed(1)
    for name, value in model.state_dict().items():
        if not name.endswith("num_batches_tracked"):
            # means below zero, so that no ReLU is silent
            low, high = {"running_var": (0.5, 1.5), "running_mean": (-0.8, -0.2)}.get(name.split(".")[-1], (-0.4, 0.6))
            value.uniform_(low, high, generator=generator)
    return model


def layers(model):
    """All layers in the order in which an image passes them, as (kind, channels in, channels out, output size)."""
    seen = []

    def note(module, inputs, output):
        seen.append((type(module).__name__.strip("_"), inputs[0].shape[1], output.shape[1], output.shape[-1]))

    for module in model.modules():
        if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)):
            module.register_forward_hook(note)
    with torch.no_grad():
        model(torch.zeros(1, 1, 32, 32))
    return seen


def test_layout_is_the_papers():
    model = recon.build("model", "fbpconvnet").eval()
    expected = [("Conv2d", 1, 64, 32), ("Conv2d", 64, 64, 32), ("Conv2d", 64, 64, 32)]
    for size, n in ((16, 128), (8, 256), (4, 512), (2, 1024)):
        expected += [("Conv2d", n // 2, n, size), ("Conv2d", n, n, size)]
    for size, n in ((4, 512), (8, 256), (16, 128), (32, 64)):
        expected += [("Rise", 2 * n, n, size), ("Conv2d", 2 * n, n, size), ("Conv2d", n, n, size)]
    assert layers(model) == [*expected, ("Conv2d", 64, 1, 32)]
    convolutions = [m for m in model.modules() if isinstance(m, (nn.Conv2d, nn.ConvTranspose2d))]
    assert [m.kernel_size for m in convolutions].count((1, 1)) == 1
    assert all(m.bias is not None for m in convolutions)
    # one normalisation behind each but the last
    assert sum(isinstance(m, nn.BatchNorm2d) for m in model.modules()) == len(convolutions) - 1


def test_published_network_has_so_many_parameters():
    model = recon.build("model", "fbpconvnet")
    assert sum(value.numel() for value in model.parameters()) == 34_562_945
    # Without the biases that a normalisation makes superfluous, as others write the network:
    biases = [m.bias for m in model.modules() if isinstance(m, (nn.Conv2d, nn.ConvTranspose2d))]
    assert 34_562_945 - sum(bias.numel() for bias in biases[:-1]) == 34_556_033


def matconvnet_rise(x, weight, bias):
    """vl_nnconvt with upsample 2 and crop [0 1 0 1], written out: every pixel paints a 3x3 patch at twice its place."""
    batch, _, height, width = x.shape
    canvas = torch.zeros(batch, weight.shape[1], 2 * height + 1, 2 * width + 1, dtype=x.dtype)
    for row in range(height):
        for column in range(width):
            patch = torch.einsum("bm,mnij->bnij", x[:, :, row, column], weight)
            canvas[:, :, 2 * row : 2 * row + 3, 2 * column : 2 * column + 3] += patch
    return (canvas + bias[:, None, None])[..., :-1, :-1]


def test_transposed_convolution_loses_its_last_row_and_column():
    rise = lively(features=2, levels=1).rise[0][0]
    x = rand(2, 4, 3, 5, dtype=torch.float64)
    expected = matconvnet_rise(x, rise.weight, rise.bias)
    torch.testing.assert_close(rise(x), expected, rtol=1e-12, atol=1e-12)
    # torch's own way to twice the size loses the first ones: the same image, a pixel further on
    other = F.conv_transpose2d(x, rise.weight, rise.bias, stride=2, padding=1, output_padding=1)
    assert not torch.allclose(other, expected)
    torch.testing.assert_close(other[..., :-1, :-1], expected[..., 1:, 1:])


def test_network_written_out_gives_the_same():
    """The whole network once more, from the state dict alone."""
    model = lively(features=2, levels=2)
    state = model.state_dict()

    def block(x, prefix, up=False):
        weight, bias = state[f"{prefix}.0.weight"], state[f"{prefix}.0.bias"]
        y = matconvnet_rise(x, weight, bias) if up else F.conv2d(x, weight, bias, padding=1)
        mean, var, gain, shift = (
            state[f"{prefix}.1.{name}"][:, None, None] for name in ("running_mean", "running_var", "weight", "bias")
        )
        return ((y - mean) / (var + 1e-5).sqrt() * gain + shift).relu()

    def blocks(x, prefix, count):
        for index in range(count):
            x = block(x, f"{prefix}.{index}")
        return x

    x = rand(2, 1, 8, 12, dtype=torch.float64)
    first = blocks(x, "down.0", 3)
    second = blocks(F.max_pool2d(first, 2), "down.1", 2)
    y = blocks(F.max_pool2d(second, 2), "bottom", 2)
    y = blocks(torch.cat([second, block(y, "rise.0", up=True)], 1), "up.0", 2)
    y = blocks(torch.cat([first, block(y, "rise.1", up=True)], 1), "up.1", 2)
    expected = x + F.conv2d(y, state["last.weight"], state["last.bias"])
    torch.testing.assert_close(model(x), expected, rtol=1e-10, atol=1e-10)


def test_shifting_the_image_by_a_whole_cell_shifts_the_result():
    model = lively(features=2, levels=2)
    x = F.pad(rand(1, 1, 8, 8, dtype=torch.float64), (60, 60, 60, 60))
    # Away from the border, which is 0 for the padding but not for what the layers make of an empty image.
    inside = (..., slice(48, 80), slice(48, 80))
    for shift in ((4, 0), (0, -4), (-4, 4)):
        moved = model(x.roll(shift, (2, 3)))
        torch.testing.assert_close(moved.roll([-n for n in shift], (2, 3))[inside], model(x)[inside])
    assert model(x)[inside].std() > 1e-3
    odd = model(x.roll(1, 3)).roll(-1, 3)
    assert not torch.allclose(odd[inside], model(x)[inside])


def test_sizes_that_do_not_divide_are_continued_by_their_edge():
    model = lively(features=2, levels=2)
    x = rand(1, 1, 10, 13, dtype=torch.float64)
    larger = torch.cat([x, x[..., -1:].expand(-1, -1, -1, 3)], -1)
    larger = torch.cat([larger, larger[..., -1:, :].expand(-1, -1, 2, -1)], -2)
    torch.testing.assert_close(model(x), model(larger)[..., :10, :13])


def test_too_small_an_image_is_refused():
    with pytest.raises(UsageError, match="fewer levels"):
        recon.build("model", "fbpconvnet", features=1)(torch.zeros(1, 1, 16, 16))


def test_initial_weights_are_the_authors():
    torch.manual_seed(0)
    model = recon.build("model", "fbpconvnet", features=16)
    for module in model.modules():
        if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)) and module.weight.numel() > 1000:
            assert float(module.weight.detach().std()) == pytest.approx(0.01, rel=0.1)
            assert not module.bias.any()
    x = rand(1, 1, 32, 32)
    assert float((model.eval()(x) - x).detach().abs().max()) < 0.01  # it starts near the identity


def test_image_keeps_single_precision_under_autocast():
    model = recon.build("model", "fbpconvnet", features=2, levels=1)
    nn.init.zeros_(model.last.weight)
    x = rand(1, 1, 8, 8)
    with torch.autocast("cpu", torch.bfloat16):
        assert model.correction(x).dtype == torch.bfloat16
        assert torch.equal(model(x), x)  # bfloat16 would have rounded it
