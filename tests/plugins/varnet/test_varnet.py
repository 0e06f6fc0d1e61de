"""The variational network against fastMRI's own output, layout and behaviour."""

import json
from pathlib import Path

import pytest
import torch

import recon
from recon.errors import UsageError
from recon.kspace import fft_centred, ifft_centred
from recon.operators.algebra import Identity
from recon_plugins.varnet.norm_unet import NormUNet
from recon_plugins.varnet.sensitivity import central_block

GOLDEN = json.loads((Path(__file__).parents[2] / "golden" / "fastmri_learned.json").read_text())["varnet"]
SMALL = {"num_cascades": 2, "sens_chans": 4, "sens_pools": 3, "chans": 4, "pools": 3}


def filled(model):
    """Fill the weights by the formula of the golden file, which sorts the state dict's keys."""
    state = model.state_dict()
    for i, key in enumerate(sorted(state)):
        n = torch.arange(state[key].numel(), dtype=torch.float64)
        scale = (1.5 / (state[key].numel() / state[key].shape[0])) ** 0.5
        value = torch.ones(1) if key.endswith("dc_weight") else torch.sin(0.7 * n + i) * scale
        state[key] = value.reshape(state[key].shape)
    model.load_state_dict(state)
    return model.eval()


def small(**params):
    return recon.build("model", "varnet", **SMALL | params)


def golden_case(name):
    """Return k-space, operator and parameters of a golden case, float64."""
    case = GOLDEN["cases"][name]
    height, width = case["size"]
    x = torch.arange(width, dtype=torch.float64)
    rows = torch.arange(height, dtype=torch.float64)[:, None]
    k = torch.exp(1j * (0.3 * x + 0.05 * rows**1.5))
    items = range(len(case["columns"]))
    k = torch.stack([torch.stack([k * c for c in case["coils"]]) * torch.exp(0.01j * b * x) for b in items])
    masks = [
        [(i - b) % step == 0 or first <= i < last for i in range(width)]
        for b, (step, first, last) in enumerate(case["columns"])
    ]
    operator = recon.build("operator", "fourier", mask=torch.tensor(masks)[:, None, None])
    return torch.where(operator.mask, k, 0), operator, {"num_low_frequencies": case["num_low_frequencies"]}


@pytest.mark.parametrize("checkpoint", [False, True])
@pytest.mark.parametrize("name", GOLDEN["cases"])
def test_output_is_fastmris(name, checkpoint):
    y, operator, params = golden_case(name)
    model = filled(small(**params, checkpoint=checkpoint)).double()
    with torch.set_grad_enabled(checkpoint):
        x = model(y, operator).detach()
    golden = GOLDEN["cases"][name]
    assert x.shape == (len(y), 1, *y.shape[2:])
    assert float(x.mean()) == pytest.approx(golden["mean"], abs=1e-9)
    assert float(x.std()) == pytest.approx(golden["std"], abs=1e-9)
    for point, value in golden["pts"].items():
        item, row, column = map(int, point.split(","))
        assert float(x[item, 0, row, column]) == pytest.approx(value, abs=1e-8), point


def test_output_is_fastmris_in_single_precision():
    y, operator, params = golden_case("given")
    with torch.no_grad():
        x = filled(small(**params))(y.to(torch.complex64), operator)
    assert x.dtype == torch.float32
    for point, value in GOLDEN["cases"]["given"]["pts"].items():
        _, row, column = map(int, point.split(","))
        assert float(x[0, 0, row, column]) == pytest.approx(value, rel=2e-6), point


def test_layout_is_fastmris():
    state = small().state_dict()
    assert {key: list(value.shape) for key, value in state.items()} == GOLDEN["state_dict"]


@pytest.mark.parametrize("cascades", [8, 12])
def test_parameter_counts(cascades):
    with torch.device("meta"):
        model = recon.build("model", "varnet", num_cascades=cascades)
    assert sum(p.numel() for p in model.parameters()) == GOLDEN["parameters"][str(cascades)]


def rand(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.complex128)


def fourier(mask=None):
    return recon.build("operator", "fourier", **({} if mask is None else {"mask": mask}))


def test_items_of_a_batch_have_masks_of_their_own():
    masks = torch.zeros(2, 1, 1, 24, dtype=torch.bool)
    masks[..., 10:14] = masks[0, ..., ::3] = masks[1, ..., 1::2] = True
    k, model = rand(2, 3, 20, 24), filled(small().double())
    whole = model(torch.where(masks, k, 0), fourier(masks))
    for item in range(2):
        alone = model(torch.where(masks[item], k[item], 0)[None], fourier(masks[item, 0, 0]))
        torch.testing.assert_close(whole[item : item + 1], alone, rtol=1e-9, atol=1e-9)


def test_full_sampling_is_a_mask_of_ones():
    """Where fastMRI's search for the centre finds a single line; here it is all of k-space."""
    k, model = rand(2, 3, 19, 24), filled(small().double())
    full = model(k, fourier())
    torch.testing.assert_close(model(k, fourier(torch.ones(24))), full, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(model(k, fourier(torch.ones(19, 24))), full, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    ("mask", "lines", "columns"),
    [
        ([0, 1, 0, 1, 1, 1, 0, 1], None, range(3, 5)),  # 1 line left of the centre (index 4), 2 lines from it on
        ([0, 0, 1, 1, 1, 1, 1, 0], None, range(2, 6)),
        ([1, 0, 1, 0, 1, 0, 1, 0], None, range(4, 5)),  # nothing to the left: a single line
        ([0, 0, 1, 1, 1, 1, 1, 0, 0], None, range(3, 7)),  # begins at (9 - 4 + 1) // 2
        ([1] * 8, None, range(8)),
        ([1, 0, 1, 0, 1, 0, 1, 0], 3, range(3, 6)),
        ([1, 0, 1, 0, 1, 0, 1, 0], 99, range(8)),
    ],
)
def test_centre_of_columns(mask, lines, columns):
    mask = torch.tensor(mask, dtype=torch.bool)
    block = central_block(mask, (6, len(mask)), lines, torch.device("cpu"))
    assert block.reshape(-1).nonzero().flatten().tolist() == list(columns)


def test_centre_of_a_plane_is_the_square_without_a_gap():
    mask = torch.zeros(12, 16, dtype=torch.bool)
    mask[3:9, 4:12] = True
    block = central_block(mask, (12, 16), None, torch.device("cpu"))[0, 0]
    expected = torch.zeros_like(mask)
    expected[3:9, 5:11] = True
    assert torch.equal(block, expected)


def test_sensitivities_see_the_centre_alone_and_have_unit_norm():
    mask = torch.zeros(24, dtype=torch.bool)
    mask[::3] = mask[10:14] = True
    model, k = filled(small().double()), rand(1, 3, 20, 24)
    y = torch.fft.ifftshift(torch.where(mask, k, 0), (-2, -1))
    maps = model.maps(y, mask)
    other = torch.where(mask, rand(1, 3, 20, 24, seed=1), 0)
    other[..., 10:14] = k[..., 10:14]
    torch.testing.assert_close(model.maps(torch.fft.ifftshift(other, (-2, -1)), mask), maps)
    torch.testing.assert_close(maps.abs().square().sum(1), torch.ones(1, 20, 24, dtype=torch.float64))
    open_ = filled(small(mask_center=False).double())
    assert not torch.allclose(open_.maps(torch.fft.ifftshift(other, (-2, -1)), mask), open_.maps(y, mask))


def test_cascade_written_out_with_centred_transforms():
    """Index 0 for the centre changes nothing: one cascade as the paper writes it."""
    model, k, y, maps = (
        filled(small().double()),
        rand(2, 3, 18, 21),
        rand(2, 3, 18, 21, seed=1),
        rand(2, 3, 18, 21, seed=2),
    )
    cascade = model.cascades[1]
    cascade.dc_weight.data.fill_(0.7)
    mask = torch.arange(21) % 3 == 0
    shift = lambda x: torch.fft.ifftshift(x, (-2, -1))  # noqa: E731
    out = torch.fft.fftshift(cascade(shift(k), shift(y), torch.fft.ifftshift(mask), shift(maps)), (-2, -1))
    image = cascade.model((maps.conj() * ifft_centred(k)).sum(1, keepdim=True))
    expected = k - 0.7 * (mask * (k - y)) - fft_centred(maps * image)
    torch.testing.assert_close(out, expected, rtol=1e-10, atol=1e-10)


def test_scale_of_the_data_is_that_of_the_image():
    model, k = filled(small().double()), rand(1, 3, 20, 24)
    mask = torch.arange(24) % 2 == 0
    y = torch.where(mask, k, 0)
    torch.testing.assert_close(model(1e-7 * y, fourier(mask)), 1e-7 * model(y, fourier(mask)), rtol=1e-8, atol=1e-16)


def test_an_empty_slice_gives_zeros_and_finite_gradients():
    model = filled(small())
    x = model(torch.zeros(1, 3, 20, 24, dtype=torch.complex64), fourier(torch.arange(24) % 2 == 0))
    assert not x.any()
    x.square().sum().backward()
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)


def test_checkpoints_change_no_gradient():
    mask = torch.arange(24) % 2 == 0
    y = torch.where(mask, rand(2, 3, 20, 24), 0)
    gradients = []
    for checkpoint in (False, True):
        model = filled(small(checkpoint=checkpoint).double()).train()
        model(y, fourier(mask)).square().sum().backward()
        gradients.append([p.grad for p in model.parameters()])
    for plain, again in zip(*gradients, strict=True):
        torch.testing.assert_close(again, plain, rtol=1e-9, atol=1e-9)


def test_checkpoints_keep_less():
    """What autograd keeps of a cascade are its k-space and maps instead of its U-Net's features."""
    mask = torch.arange(32) % 2 == 0
    y = torch.where(mask, rand(1, 2, 32, 32), 0).to(torch.complex64)
    kept = {}
    for checkpoint in (False, True):
        total = 0

        def pack(x):
            nonlocal total
            total += x.nbytes
            return x

        model = small(num_cascades=6, chans=8, checkpoint=checkpoint)
        with torch.autograd.graph.saved_tensors_hooks(pack, lambda x: x):
            model(y, fourier(mask))
        kept[checkpoint] = total
    assert kept[True] < 0.3 * kept[False], kept


def test_transforms_stay_in_single_precision_under_autocast(monkeypatch):
    seen = []
    original = torch.fft.fft2
    monkeypatch.setattr(torch.fft, "fft2", lambda x, **kw: seen.append(x.dtype) or original(x, **kw))
    model, mask = filled(small()), torch.arange(24) % 2 == 0
    y = torch.where(mask, rand(1, 3, 20, 24), 0).to(torch.complex64)
    convolutions = []
    model.cascades[0].model.unet.conv.layers[0].register_forward_hook(lambda *a: convolutions.append(a[2].dtype))
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        half = model(y, fourier(mask))
    assert convolutions == [torch.bfloat16]
    assert set(seen) == {torch.complex64}
    assert half.dtype == torch.float32
    with torch.no_grad():
        full = model(y, fourier(mask))
    assert float((half - full).norm() / full.norm()) < 0.05


def test_crop_is_the_middle_of_what_is_there():
    mask = torch.arange(25) % 2 == 0
    y = torch.where(mask, rand(1, 2, 20, 25), 0)
    whole = filled(small().double())(y, fourier(mask))
    part = filled(small(crop=(12, 32)).double())(y, fourier(mask))
    assert torch.equal(part, whole[..., 4:16, :])


def test_padding_of_the_unet_is_fastmris():
    """To multiples of 16, the smaller half of the zeros first."""
    seen = []
    model = NormUNet(chans=2, num_pools=2)
    model.unet.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    model(torch.ones(1, 1, 19, 32, dtype=torch.complex64) * torch.arange(32))
    (x,) = seen
    assert x.shape == (1, 2, 32, 32)
    assert not x[..., :6, :].any()
    assert not x[..., 25:, :].any()
    assert x[:, 0, 6:25].all()


def test_operators_without_a_mask_and_volumes_are_refused():
    with pytest.raises(UsageError, match="sampling mask"):
        small()(rand(1, 1, 16, 16), Identity())
    with pytest.raises(UsageError, match=r"\(batch, coil, H, W\)"):
        small()(rand(1, 2, 4, 16, 16), recon.build("operator", "fourier", dimensions=3))
