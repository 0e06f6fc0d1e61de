"""The data-consistency cascade: steps written out, hard and soft consistency, published weights on a real image."""

import h5py
import numpy as np
import pytest
import torch
import torch.nn.functional as F

import recon
from recon.errors import FileFormatError
from recon.kspace import fft_centred, ifft_centred
from recon_plugins.dc_cascade import DCCascade, state_from_keras

COLUMNS = torch.tensor([1, 0, 1, 1, 0, 1, 1], dtype=torch.bool)


def rand(*shape, seed=0, dtype=torch.complex128):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def fourier(mask=COLUMNS):
    return recon.build("operator", "fourier", mask=mask)


def build(**params):
    torch.manual_seed(0)
    return DCCascade(**{"cascades": 3, "convolutions": 3, "features": 4} | params).double()


@pytest.mark.parametrize("consistency", ["hard", "learned"])
def test_steps_written_out_in_k_space(consistency):
    model, y = build(consistency=consistency, scale=0.5), fourier()(rand(2, 1, 6, 7))
    state = model.state_dict()
    x = ifft_centred(y) / 0.5
    for k in range(3):
        part = torch.cat([x.real, x.imag], 1)
        for layer in (0, 2, 4):
            weight, bias = state[f"networks.{k}.{layer}.weight"], state[f"networks.{k}.{layer}.bias"]
            part = F.conv2d(part, weight, bias, padding=1)
            part = part.relu() if layer < 4 else part
        x = x + torch.complex(*part.chunk(2, 1))
        found = fft_centred(x)
        noise = float(state["log_weights"][k].exp()) if consistency == "learned" else None
        kept = y / 0.5 if noise is None else (found + noise * y / 0.5) / (1 + noise)
        x = ifft_centred(torch.where(COLUMNS, kept, found))
    torch.testing.assert_close(model(y, fourier()), 0.5 * x, rtol=1e-9, atol=1e-10)


def test_coils_are_made_consistent_one_by_one():
    maps = rand(3, 6, 7, seed=2)
    maps = maps / torch.linalg.vector_norm(maps, dim=0)
    operator = recon.build("operator", "multicoil_fourier", maps=maps, mask=COLUMNS)
    model, y = build(cascades=1, scale=1.0), operator(rand(2, 1, 6, 7))
    b = operator.adjoint(y)
    with torch.no_grad():
        x = b + torch.complex(*model.networks[0](torch.cat([b.real, b.imag], 1)).chunk(2, 1))
    coils = torch.where(COLUMNS, y, fft_centred(maps * x))
    expected = (maps.conj() * ifft_centred(coils)).sum(1, keepdim=True)
    torch.testing.assert_close(model(y, operator), expected, rtol=1e-9, atol=1e-10)


def test_what_was_measured_is_kept():
    y = fourier()(rand(2, 1, 6, 7))
    x = build()(y, fourier())
    torch.testing.assert_close(fourier()(x), y, rtol=1e-9, atol=1e-10)


def test_units_do_not_matter_by_default():
    y, model = fourier()(rand(2, 1, 6, 7)), build()
    torch.testing.assert_close(model(1e-6 * y, fourier()), 1e-6 * model(y, fourier()), rtol=1e-9, atol=1e-18)
    assert not model(torch.zeros_like(y), fourier()).isnan().any()


def test_checkpoints_change_no_gradient():
    y, gradients = fourier()(rand(2, 1, 6, 7)), []
    for checkpoint in (False, True):
        model = build(checkpoint=checkpoint, consistency="learned")
        model(y, fourier()).abs().square().sum().backward()
        gradients.append([p.grad for p in model.parameters()])
    for plain, again in zip(*gradients, strict=True):
        torch.testing.assert_close(again, plain, rtol=1e-9, atol=1e-12)


def write_keras(path, layers):
    with h5py.File(path, "w") as file:
        for number, (kernel, bias) in enumerate(layers, start=1):
            file[f"conv2d_{number}/conv2d_{number}/kernel:0"] = kernel
            file[f"conv2d_{number}/conv2d_{number}/bias:0"] = bias
        file.create_group("ifft_simple")


def test_keras_weights_in_the_order_of_their_numbers(tmp_path):
    """Twelve layers, so that 10 comes after 9 and not after 1; kernels are (height, width, in, out)."""
    random = np.random.default_rng(0)
    widths = [(2, 4), (4, 4), (4, 2)] * 4
    layers = [(random.normal(size=(3, 3, m, n)).astype("f4"), random.normal(size=n).astype("f4")) for m, n in widths]
    write_keras(tmp_path / "w.hdf5", layers)
    model = DCCascade(cascades=4, convolutions=3, features=4)
    model.load_state_dict(state_from_keras(tmp_path / "w.hdf5", 3))
    kernel, bias = layers[9]
    assert np.array_equal(model.networks[3][0].weight.detach().numpy()[1, 0], kernel[:, :, 0, 1])
    assert np.array_equal(model.networks[3][0].bias.detach().numpy(), bias)
    with pytest.raises(FileFormatError, match="no cascades of 5"):
        state_from_keras(tmp_path / "w.hdf5", 5)


def test_published_weights_improve_a_real_image(shared_data):
    """Trained on knees of fastMRI; here a brain with a smooth phase: 2.8 dB were measured on a knee."""
    from nibabel import load

    state = state_from_keras(shared_data / "weights" / "cascadenet_fastmri" / "cascadenet_af4.hdf5", 6)
    # fastMRI's values are about 3e-4, and the network saw them multiplied by 1e6.
    model = DCCascade(cascades=5, convolutions=6, features=48, scale=1e-6, output="magnitude")
    model.load_state_dict(state)
    volume = load(shared_data / "mri_images" / "jlf60_t1_axial" / "ilist1.nii.gz")
    image = torch.tensor(np.asarray(volume.dataobj)[:, 9], dtype=torch.float32)[None, None]
    image = 3e-4 * F.interpolate(image, size=(320, 320), mode="bicubic").clamp(min=0)
    place = torch.linspace(-1, 1, 320)
    phase = torch.polar(torch.ones(320, 320), 0.5 + 0.8 * (place[:, None] ** 2 + place**2))
    mask = {"kind": "fastmri_random", "acceleration": 4, "center_fraction": 0.08, "seed": "file1000000.h5"}
    operator = recon.build("operator", "fourier", mask=mask)
    y = operator(image * phase)
    psnr = recon.build("metric", "psnr", data_range="target_max")
    with torch.no_grad():
        gain = psnr(model(y, operator), image) - psnr(operator.adjoint(y).abs(), image)
    assert float(gain) > 2.4
