"""Images of a lower dose, against scans at that dose and against real ones."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch

import recon
from recon.errors import ParameterError, UsageError
from recon.io.hounsfield import WATER, from_hu
from recon_plugins.ct_physics import LowDose, ReducedDose, added_variance, photons_for_noise

SIZE = 64
FBP = {"use": "fbp", "filter": "hann"}


def scanner(size: int = SIZE) -> recon.operators.LinearOperator:
    return recon.build("operator", "radon", size=(size, size), angles=90, pixel=200 / size)


def water(size: int = SIZE) -> tuple[torch.Tensor, torch.Tensor]:
    """A disk of water of 160 mm in 1/mm, and the mask of its inner half."""
    along = (torch.arange(size) - (size - 1) / 2) * 200 / size
    radius = torch.hypot(along, along[:, None])
    return torch.where(radius < 80, WATER, 0.0)[None, None], radius < 40


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize(("dose", "electronic"), [(0.25, 0.0), (0.1, 0.0), (0.1, 30.0)])
def test_noise_is_that_of_a_scan_at_the_lower_dose(dose, electronic):
    """A full-dose scan and what is added must together have the noise of a scan with fewer photons."""
    radon, (x, inside), fbp = scanner(), water(), recon.build("method", FBP)
    photons, scans = 1e5, 12
    y = radon(x).expand(scans, -1, -1, -1)
    full = fbp(LowDose(photons=photons, electronic=electronic)(y, generator=seeded(1)), radon)
    low = fbp(LowDose(photons=dose * photons, electronic=electronic)(y, generator=seeded(2)), radon)
    reduce = ReducedDose(projector=radon, dose=dose, photons=photons, electronic=electronic, method=fbp)
    reduced = reduce(full, generator=seeded(3))

    def sigma(images: torch.Tensor) -> float:
        """Deviation between scans, in the inner disk."""
        return float(images.var(0)[0, inside].mean().sqrt())

    # 12 scans x 500 correlated pixels tell a deviation to about 3 %.
    assert sigma(reduced) == pytest.approx(sigma(low), rel=0.08)
    if not electronic:
        assert sigma(reduced) / sigma(full) == pytest.approx(math.sqrt(1 / dose), rel=0.08)
    else:
        assert sigma(reduced) / sigma(full) > 1.2 * math.sqrt(1 / dose)  # electronic noise grows faster
    difference = (reduced - full)[:, 0, inside].mean(0).abs().mean()
    assert float(difference) < sigma(reduced)  # no bias is added


def test_added_variance_is_the_difference_of_two_doses():
    y = torch.linspace(0, 6, 7, dtype=torch.float64)
    counts = 1e5 * torch.exp(-y)
    for dose, electronic in ((0.5, 0.0), (0.1, 30.0)):
        variances = [(1 + electronic**2 / n) / n for n in (dose * counts, counts)]
        found = added_variance(y, dose, 1e5, electronic=electronic)
        assert torch.allclose(found, variances[0] - variances[1])
    assert torch.equal(added_variance(y, 1.0, 1e5), torch.zeros(7, dtype=torch.float64))
    assert added_variance(torch.tensor([500.0]), 0.5, 1e5).isfinite().all()


def test_photons_are_read_off_the_noise():
    radon, (x, inside), fbp = scanner(), water(), recon.build("method", FBP)
    y = radon(x).expand(16, -1, -1, -1)
    scans = fbp(LowDose(photons=3e4)(y, generator=seeded(4)), radon)
    sigma = float(scans.var(0)[0, inside].mean().sqrt())
    found = photons_for_noise(x, radon, inside, sigma, generator=seeded(5), method=fbp)
    assert found == pytest.approx(3e4, rel=0.25)
    with pytest.raises(UsageError, match="boolean mask"):
        photons_for_noise(x, radon, torch.zeros(SIZE, SIZE, dtype=torch.bool), sigma, generator=seeded())


def test_gradient_passes_and_bad_doses_do_not():
    x = torch.full((1, 1, 8, 8), 0.02, requires_grad=True)
    config = {"use": "reduced_dose", "projector": {"use": "radon", "size": [8, 8], "angles": 6}, "photons": 1e4}
    recon.build("operator", {**config, "dose": 0.5})(x, generator=seeded()).sum().backward()
    assert torch.equal(x.grad, torch.ones_like(x))
    for dose in (0, 1, 1.5):
        with pytest.raises(ParameterError, match="dose"):
            recon.build("operator", {**config, "dose": dose})


@pytest.mark.slow
def test_noise_lies_where_that_of_a_real_quarter_dose_scan_lies(shared_data: Path):
    """The map of the noise's deviation over the body, and its texture, against a published low-dose pair."""
    folder = shared_data / "ct_images" / "ldct_l506_npy"
    if not folder.is_dir():
        pytest.skip("the pairs are not here")
    low, full = (torch.from_numpy(np.load(folder / f"L506_167_{n}.npy")) * 4096 - 1024 for n in ("input", "target"))
    real = low - full
    radon = recon.build("operator", "radon", size=(512, 512), angles=500, pixel=0.7)
    x = from_hu(full)[None, None].clamp(min=0).float()
    reduced = ReducedDose(
        projector=radon, dose=0.25, photons=1e5, method=recon.build("method", {"use": "fbp", "filter": "cosine"})
    )
    added = (reduced(x, generator=seeded()) - x)[0, 0] * 1000 / WATER

    def blocks(image: torch.Tensor) -> torch.Tensor:
        return image.unfold(0, 16, 16).unfold(1, 16, 16).flatten(2)

    body = blocks(full).amin(-1) > -200
    theirs, ours = blocks(real).std(-1)[body], blocks(added.double()).std(-1)[body]
    assert float(theirs.max() / theirs.min()) > 2  # the noise does vary over the body
    assert float(torch.corrcoef(torch.stack([theirs, ours]))[0, 1]) > 0.65
    # Up to the unknown number of photons; a deviation over 256 correlated pixels is itself uncertain by a tenth.
    assert float((ours * theirs.mean() / ours.mean() / theirs).std()) < 0.17

    def frequency(image: torch.Tensor) -> float:
        """Mean radial frequency of the noise's spectrum in the middle of the body."""
        middle = image[200:328, 200:328]
        spectrum = torch.fft.fftshift(torch.fft.fft2(middle - middle.mean()).abs() ** 2)
        along = torch.arange(128) - 64
        radius = torch.hypot(along.double(), along[:, None].double())
        weight = torch.where((radius > 0) & (radius < 64), spectrum / radius.clamp(min=1), 0)
        return float((weight * radius).sum() / weight.sum())

    assert frequency(added.double()) == pytest.approx(frequency(real), rel=0.2)
