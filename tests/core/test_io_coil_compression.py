"""Virtual coils."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

import recon
from recon.errors import UsageError
from recon.io.coil_compression import CoilCompression, compress_geometric, compress_svd
from recon.kspace import fft_centred, ifft_centred, root_sum_of_squares


def kspace(rank: int | None = None, coils: int = 8, batch: int = 2) -> Tensor:
    """k-space of coils on a ring about an object; with a rank, only so many independent ones of them."""
    maps = recon.build("operator", "multicoil_fourier", maps={"coils": coils}).maps.maps(
        (33, 28), dtype=torch.complex128
    )
    generator = torch.Generator().manual_seed(0)
    if rank is not None:
        mix = torch.randn(coils, rank, generator=generator, dtype=torch.complex128)
        maps = torch.einsum("dc,c...->d...", mix, maps[:rank])
    image = torch.zeros(batch, 1, 33, 28, dtype=torch.complex128)
    image[..., 4:28, 5:24] = torch.rand(batch, 1, 24, 19, generator=generator, dtype=torch.float64) + 0.5
    return fft_centred(maps * image)


def loss(compression: CoilCompression, y: Tensor) -> float:
    """Share of energy that compressing and expanding loses."""
    back = compression.expand(compression.compress(y))
    return float((back - y).abs().square().sum() / y.abs().square().sum())


BOTH = pytest.mark.parametrize("find", [compress_svd, compress_geometric])


@BOTH
def test_orthonormal(find) -> None:
    compression = find(kspace(), coils=5)
    assert compression.coils == 5
    product = compression.matrix @ compression.matrix.mH
    assert float((product - torch.eye(5)).abs().max()) < 1e-12


@BOTH
def test_all_coils_lose_nothing(find) -> None:
    y = kspace()
    assert loss(find(y, coils=8), y) < 1e-24
    # Nor does the magnitude change: the coils are only turned.
    combined = root_sum_of_squares(ifft_centred(find(y, coils=8).compress(y)))
    assert torch.allclose(combined, root_sum_of_squares(ifft_centred(y)), rtol=1e-10)


@BOTH
def test_finds_the_rank(find) -> None:
    y = kspace(rank=3)
    compression = find(y, energy=1 - 1e-10)
    assert compression.coils == 3
    assert loss(compression, y) < 1e-9


@BOTH
@pytest.mark.parametrize("share", [0.5, 0.9, 0.99])
def test_share_of_energy(find, share: float) -> None:
    y = kspace()
    compression = find(y, energy=share)
    assert compression.energy >= share
    assert find(y, coils=max(1, compression.coils - 1)).energy < share or compression.coils == 1
    if find is compress_svd:
        assert 1 - loss(compression, y) == pytest.approx(compression.energy, rel=1e-10)


def test_svd_is_the_singular_value_decomposition() -> None:
    y = kspace()
    left, values, _ = torch.linalg.svd(y.movedim(1, 0).reshape(8, -1), full_matrices=False)
    compression = compress_svd(y, coils=3)
    assert float((compression.matrix.mH @ compression.matrix - left[:, :3] @ left[:, :3].mH).abs().max()) < 1e-10
    assert compression.energy == pytest.approx(float((values[:3] ** 2).sum() / (values**2).sum()), rel=1e-10)


def test_geometric_loses_less() -> None:
    """What GCC is for: at equal numbers of coils it keeps more, as only few sensitivities are at work at a position."""
    y = kspace()
    for coils in (2, 3, 4):
        assert loss(compress_geometric(y, coils=coils), y) < 0.8 * loss(compress_svd(y, coils=coils), y)


def test_geometric_follows_the_axis() -> None:
    y = kspace()
    one = compress_geometric(y, coils=3, readout=-1)
    other = compress_geometric(y.mT, coils=3, readout=-2)
    assert len(one.matrix) == 28
    assert torch.allclose(one.expand(one.compress(y)), other.expand(other.compress(y.mT)).mT)


def test_aligned_coils_are_smooth() -> None:
    """Virtual sensitivities change from position to position less than a tenth of what unaligned ones do."""
    y = kspace(coils=8)
    compression = compress_geometric(y, coils=4)

    def roughness(matrix: Tensor) -> float:
        return float((matrix[1:] - matrix[:-1]).abs().square().mean())

    rough = torch.stack(
        [
            torch.linalg.svd(part.flatten(1), full_matrices=False)[0][:, :4].mH
            for part in ifft_centred(y.mT, 1).movedim(-1, 0).movedim(2, 1)
        ]
    )
    assert roughness(compression.matrix) < 0.1 * roughness(rough)


def test_the_window_widens_what_is_looked_at() -> None:
    y = kspace()
    everything = compress_geometric(y, coils=3, window=200)
    plain = compress_svd(y, coils=3)
    projection = everything.matrix.mH @ everything.matrix
    assert float((projection - plain.matrix.mH @ plain.matrix).abs().max()) < 1e-10


@BOTH
def test_single_precision_of_small_values(find) -> None:
    """k-space of clinical files is of the order of 1e-5 and its energy beyond single precision's reach if summed."""
    y = (kspace() * 1e-22).to(torch.complex64)
    compression = find(y, coils=6)
    assert compression.compress(y).dtype == torch.complex64
    assert loss(compression, y * 1e22) < 1e-3
    assert find(torch.zeros_like(y), coils=2).energy == 1.0


@BOTH
def test_impossible(find) -> None:
    y = kspace()
    for arguments, message in (
        ({"coils": 9}, "8 coils make from 1 to 8 virtual ones, not 9"),
        ({}, "either the number"),
        ({"coils": 2, "energy": 0.9}, "either the number"),
        ({"energy": 1.5}, "at most 1"),
    ):
        with pytest.raises(UsageError, match=message):
            find(y, **arguments)
    with pytest.raises(UsageError, match="compression is of 8 coils and the data have 7"):
        find(y, coils=2).compress(y[:, :7])


def test_positions_must_fit() -> None:
    y = kspace()
    with pytest.raises(UsageError, match="33 positions along the readout and the data have 32"):
        compress_geometric(y, coils=2).compress(y[:, :, 1:])
    with pytest.raises(UsageError, match="readout must be an axis"):
        compress_geometric(y, coils=2, readout=-3)


def test_real_brain(shared_data) -> None:
    """Seven fully sampled coils of a real brain: four geometric ones keep 99 % of the energy."""
    with np.load(shared_data / "mri_kspace" / "moco_brain7" / "brain_slice.npz") as file:
        name = next(key for key in file.files if file[key].ndim == 3)
        images = torch.from_numpy(file[name]).movedim(-1, 0)[None]
    y = fft_centred(images.to(torch.complex64))
    compression = compress_geometric(y, coils=4)
    assert loss(compression, y) < 0.01
    before, after = (root_sum_of_squares(ifft_centred(k)) for k in (y, compression.compress(y)))
    assert float(torch.linalg.vector_norm(after - before) / torch.linalg.vector_norm(before)) < 0.05
