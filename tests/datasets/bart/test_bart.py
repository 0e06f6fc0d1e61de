"""BART's cfl files: order of axes, round trips, real data, bad input."""

import numpy as np
import pytest
import torch

import recon
from recon import Image
from recon.errors import FileFormatError, UsageError
from recon.io import Measurement
from recon.kspace import root_sum_of_squares
from recon.testing import conformance_tests
from recon_datasets.bart import BartReader, read_cfl, write_cfl

test_conformance = conformance_tests("bart")


def numbers(*shape):
    values = np.arange(np.prod(shape) * 2, dtype=np.float32) + 1
    return values.view(np.complex64).reshape(shape)


def bart_file(path, sizes, values=None):
    """Write a file by the format's definition, without the code under test."""
    dimensions = list(sizes) + [1] * (16 - len(sizes))
    values = numbers(int(np.prod(sizes))) if values is None else values
    path.with_suffix(".hdr").write_text("# Dimensions\n" + " ".join(map(str, dimensions)) + " \n# Creator\nBART\n")
    path.with_suffix(".cfl").write_bytes(values.astype("<c8").tobytes())
    return path.with_suffix(".cfl")


def test_the_first_axis_is_the_fastest(tmp_path):
    array = read_cfl(bart_file(tmp_path / "a", [2, 3, 4]))
    assert array.shape == (2, 3, 4, *[1] * 13)
    flat = numbers(24)
    assert array[1, 0, 0].item() == flat[1]
    assert array[0, 1, 0].item() == flat[2]
    assert array[0, 0, 1].item() == flat[6]


def test_kspace_of_slices_and_echoes(tmp_path):
    """x 6, y 5, coils 3, echoes 2, slices 4."""
    sizes = [6, 5, 1, 3, 1, 2, 1, 1, 1, 1, 1, 1, 1, 4]
    m = recon.read(bart_file(tmp_path / "a", sizes))
    assert m.data.shape == (8, 3, 5, 6)
    assert (m.dims, m.batch) == (("contrast", "z", "y", "x"), (2, 4))
    full = read_cfl(tmp_path / "a.cfl").squeeze()  # x, y, coil, echo, slice
    for echo in range(2):
        for number in range(4):
            expected = full[:, :, :, echo, number].transpose(2, 1, 0)
            assert np.array_equal(m.data[echo * 4 + number].numpy(), expected)
    recon.write(m, tmp_path / "b.cfl")
    assert (tmp_path / "b.cfl").read_bytes() == (tmp_path / "a.cfl").read_bytes()
    assert (tmp_path / "b.hdr").read_text().split("\n")[1].split()[:14] == [str(size) for size in sizes]
    assert sorted(file.name for file in tmp_path.iterdir()) == ["a.cfl", "a.hdr", "b.cfl", "b.hdr"]


def test_volumes_images_and_sensitivities(tmp_path):
    volume = recon.read(bart_file(tmp_path / "v", [6, 5, 4, 2]))
    assert volume.data.shape == (1, 2, 4, 5, 6)
    assert volume.operator_config == {"use": "fourier", "dimensions": 3}
    image = recon.read(bart_file(tmp_path / "i", [6, 5, 4]))
    assert (image.dims, image.shape) == (("z", "y", "x"), (4, 5, 6))
    sets = recon.read(bart_file(tmp_path / "s", [6, 5, 1, 1, 2]))
    assert (sets.dims, sets.shape) == (("channel", "y", "x"), (2, 5, 6))
    maps = bart_file(tmp_path / "m", [6, 5, 1, 3, 2])
    assert recon.read(maps).dims == ("channel", "coil", "y", "x")
    single = bart_file(tmp_path / "k", [6, 5])
    assert recon.read(single, reader={"use": "bart", "content": "kspace"}).data.shape == (1, 1, 5, 6)
    coils = recon.read(bart_file(tmp_path / "c", [6, 5, 1, 3]), reader={"use": "bart", "content": "image"})
    assert coils.dims == ("coil", "y", "x")
    with pytest.raises(FileFormatError, match="2 sets of sensitivities"):
        BartReader(content="kspace").read(maps)


def test_masks_are_where_any_coil_is_not_zero(tmp_path):
    values = read_cfl(bart_file(tmp_path / "full", [6, 5, 1, 2])).copy()
    values[:, 1::2] = 0
    values[2, 0, 0, 0] = 0  # one coil alone
    write_cfl(tmp_path / "a.cfl", values)
    m = recon.read(tmp_path / "a.cfl")
    assert m.operator_config["mask"].tolist() == [[True], [False], [True], [False], [True]]
    torch.testing.assert_close(m.operator()(m.operator().adjoint(m.data)), m.data)


def test_real_brain(shared_data, tmp_path):
    folder = shared_data / "mri_kspace" / "bart_pics_brain"
    m = recon.read(folder / "ksp.cfl")
    assert m.data.shape == (1, 8, 230, 180)
    raw = np.fromfile(folder / "ksp.cfl", dtype="<c8").reshape(8, 230, 180)
    assert np.array_equal(m.data[0].numpy(), raw)
    mask = m.operator_config["mask"]
    assert mask.shape == (230, 180)
    assert np.array_equal(mask.numpy(), (raw != 0).any(0))
    assert 7.5 < mask.numel() / int(mask.sum()) < 8.5
    reference = recon.read(folder / "img.cfl")
    assert (reference.dims, reference.shape) == (("channel", "y", "x"), (2, 230, 180))
    # The zero-filled image shows the head where BART's reconstruction does: same orientation, same centre.
    zero_filled = root_sum_of_squares(m.operator().adjoint(m.data / m.data.abs().max()))[0, 0].double()
    expected = torch.linalg.vector_norm(reference.data, dim=0).double()
    turned = [expected.flip(0), expected.flip(1), expected.roll(8, 0), expected.roll(8, 1)]
    alike = [
        float(torch.corrcoef(torch.stack([zero_filled.ravel(), other.ravel()]))[0, 1]) for other in (expected, *turned)
    ]
    assert alike[0] > 0.85
    assert alike[0] > max(alike[1:]) + 0.05
    recon.write(m, tmp_path / "out.cfl")
    assert (tmp_path / "out.cfl").read_bytes() == (folder / "ksp.cfl").read_bytes()
    write_cfl(tmp_path / "exact.cfl", read_cfl(folder / "img.hdr"))
    assert (tmp_path / "exact.cfl").read_bytes() == (folder / "img.cfl").read_bytes()
    line = (folder / "img.hdr").read_text().split("\n")[1].split()
    assert (tmp_path / "exact.hdr").read_text().split("\n")[1].split() == line


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ("", "no sizes after '# Dimensions'"),
        ("# Dimensions\n", "no sizes after '# Dimensions'"),
        ("# Dimensions\n2 x 3\n", "no sizes after '# Dimensions'"),
        ("# Dimensions\n2 0 3\n", "states sizes"),
        ("# Dimensions\n2 -3\n", "states sizes"),
        ("# Dimensions\n" + "1 " * 17, "states sizes"),
        ("# Dimensions\n99999 99999 99999\n", "cut off, or of another header"),
        ("# Dimensions\n2 3 5\n", "has 192 bytes.* need 240"),
        ("#" * 100_000, "too large for the header"),
    ],
)
def test_bad_headers(tmp_path, header, message):
    path = bart_file(tmp_path / "a", [2, 3, 4])
    path.with_suffix(".hdr").write_text(header)
    with pytest.raises(FileFormatError, match=message) as caught:
        BartReader().read(path)
    assert "\n" not in str(caught.value)


def test_missing_parts_and_values(tmp_path):
    path = bart_file(tmp_path / "a", [2, 3, 4])
    path.with_suffix(".hdr").unlink()
    with pytest.raises(FileFormatError, match=r"a\.hdr does not exist"):
        BartReader().read(path)
    assert not BartReader().accepts(path)
    values = numbers(24).copy()
    values[5] = np.nan
    with pytest.raises(FileFormatError, match="not finite"):
        recon.read(bart_file(tmp_path / "b", [2, 3, 4], values))


def test_what_the_writer_refuses(tmp_path):
    data = torch.zeros(1, 1, 8, 16, dtype=torch.complex64)
    with pytest.raises(UsageError, match="Cartesian k-space"):
        recon.write(Measurement(data=data, operator_config={"use": "radon", "size": [8, 8]}), tmp_path / "a.cfl")
    many = ("a", "b", "c", "d", "e", "f", "g", "y", "x")
    with pytest.raises(UsageError, match="no free axis"):
        recon.write(Image(data=torch.zeros(*[1] * 7, 4, 5), dims=many), tmp_path / "a.cfl")
    assert list(tmp_path.iterdir()) == []
