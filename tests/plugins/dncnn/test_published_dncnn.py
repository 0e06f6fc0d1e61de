"""Published DnCNN weights give the published figures."""

import numpy as np
import pytest
import torch
from PIL import Image

import recon
from recon_plugins.dncnn import from_published, merge_batch_norm

PAPER = [30.18, 33.06, 30.87, 29.41, 30.28, 29.13, 29.43, 32.44, 30.00, 30.21, 30.10, 30.12]
"""Set12 at sigma 25, image by image, from the paper's table."""


def uniform(count, start=1144108930):
    """MATLAB's rand('seed', 0): Park and Miller's generator."""
    modulus, powers = 2**31 - 1, np.array([16807], dtype=np.uint64)
    while len(powers) < count:
        powers = np.concatenate([powers, powers * powers[-1] % modulus])
    return (powers[:count] * np.uint64(start) % modulus) / modulus


def normal(count):
    """MATLAB's randn('seed', 0): Marsaglia's polar method, of whose pairs only the first number is used."""
    u, v = 2 * uniform(4 * count).reshape(-1, 2).T - 1
    s = u * u + v * v
    inside = s < 1
    return (u * np.sqrt(-2 * np.log(s) / s, where=inside, out=np.zeros_like(s)))[inside][:count]


@pytest.fixture(scope="module")
def set12(shared_data):
    """Clean and noisy images; the noise fills columns first, as MATLAB does."""
    pairs = []
    for path in sorted((shared_data / "natural" / "set12").glob("*.png")):
        clean = np.asarray(Image.open(path).convert("L"))
        noise = normal(clean.size).reshape(clean.shape, order="F")
        noisy = clean / 255 + 25 / 255 * noise
        pairs.append([torch.tensor(x, dtype=torch.float32)[None, None] for x in (clean / 255, noisy)])
    return pairs


def scores(model, pairs):
    psnr = recon.build("metric", "psnr", data_range=1.0, quantise=True)
    model = model.to(memory_format=torch.channels_last)
    with torch.no_grad():
        return [float(psnr(model(noisy), clean)) for clean, noisy in pairs]


def load(path):
    return torch.load(path, map_location="cpu", weights_only=True)


def test_matlab_random_numbers():
    expected = [1.1650, 0.6268, 0.0751, 0.3516, -0.6965, 1.6961, 0.0591, 1.7971, 0.2641, 0.8717]
    np.testing.assert_allclose(normal(10), expected, atol=5e-5)
    np.testing.assert_allclose(uniform(4), [0.2190, 0.0470, 0.6789, 0.6793], atol=5e-5)


@pytest.mark.slow
def test_authors_network_reaches_the_papers_set12(shared_data, set12):
    model = from_published(load(shared_data / "weights" / "dncnn_kair" / "dncnn_25.pth"))
    values = scores(model, set12)
    assert np.round(values, 2).tolist() == PAPER
    assert np.mean(values) == pytest.approx(30.4358, abs=5e-4)


@pytest.mark.slow
def test_network_with_batch_normalisation_and_its_merged_form(shared_data, set12):
    state = load(shared_data / "weights" / "dncnn_saoyan" / "DnCNN-S-25" / "net.pth")
    model = from_published(state, bn_eps=1e-5)
    merged = merge_batch_norm(model)
    _, noisy = set12[0]
    with torch.no_grad():
        torch.testing.assert_close(merged(noisy), model(noisy), atol=1e-5, rtol=0)
    assert np.mean(scores(merged, set12)) == pytest.approx(30.38, abs=0.02)
