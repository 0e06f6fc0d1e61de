"""The FIPS walnut: the real file's geometry by its residual, synthetic files in closed form, bad files refused."""

from __future__ import annotations

import sys

import h5py
import numpy as np
import pytest
import torch

import recon
from recon.errors import FileFormatError, MissingDependencyError, ParameterError
from recon.testing.ellipsoids import values_at
from recon_datasets.fips import FipsReader, write_fips, write_synthetic
from recon_datasets.fips.synthetic import SHAPES, counts


@pytest.fixture(scope="session")
def walnut(shared_data):
    return shared_data / "ct_projections" / "fips_walnut" / "walnut.mat"


def residual(measurement, step=1, **changes):
    """Relative residual of least squares, and its image, from every `step`th view."""
    config = measurement.operator_config
    operator = recon.build("operator", {**config, "angles": config["angles"][::step], **changes})
    y = measurement.data[:, :, ::step]
    x = operator.pinv(y, iterations=20, tolerance=0.0)
    return float((operator(x) - y).norm() / y.norm()), x


@pytest.mark.parametrize("version", ["5", "7.3"])
def test_synthetic_nut_is_found_where_it_is(tmp_path, version):
    path = tmp_path / "nut.mat"
    write_synthetic(path, views=120, version=version)
    assert recon.read(path).data.shape == (1, 1, 120, 574)
    measurement = FipsReader(downsample=8).read(path)
    gap, x = residual(measurement)
    assert gap < 0.003
    operator = measurement.operator()
    columns, rows = operator.grid.coordinates()[:2]
    points = torch.stack(torch.meshgrid(columns, rows, indexing="xy"), -1).numpy()
    truth = torch.from_numpy(values_at(SHAPES, points)).float()[None, None]
    inside = torch.from_numpy(np.hypot(*points.T).T < 18)
    error = (x - truth)[..., inside]
    assert float(error.norm() / truth[..., inside].norm()) < 0.15
    assert float((x.flip(-1) - truth)[..., inside].norm() / truth[..., inside].norm()) > 0.4


def test_real_walnut(walnut):
    """The shift of the detector is what brings the residual down; 120 views show the same nut in the same place."""
    few = FipsReader(sinogram="sinogram120", downsample=8).read(walnut)
    gap, image = residual(few)
    assert gap < 0.012
    assert residual(few, offset=0.0)[0] > 0.025
    many = recon.read(walnut)
    assert many.data.shape == (1, 1, 1200, 574)
    assert many.voxel_size == pytest.approx((0.0733333, 0.0733333))
    many = FipsReader(downsample=8, size=287).read(walnut)
    other = residual(many, step=8)[1]
    kept = slice(40, -40)
    a, b = image[0, 0, kept, kept], other[0, 0, kept, kept]
    alike = torch.corrcoef(torch.stack([a.flatten(), b.flatten()]))[0, 1]
    assert alike > 0.97


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda m: m[:, :100], r"shape \(2296, 100\), not 2296 pixels by 120 views"),
        (lambda m: m.T, r"shape \(120, 2296\)"),
        (lambda m: np.where(m == m.max(), np.nan, m.astype("f4")), "NaN or infinite"),
        (lambda m: -m.astype("f4"), "are negative"),
        (lambda m: 0 * m, "without counts"),
        (lambda m: m.astype(complex), "not a matrix of numbers"),
    ],
)
@pytest.mark.parametrize("version", ["5", "7.3"])
def test_bad_matrices_are_explained(tmp_path, change, message, version):
    path = tmp_path / "nut.mat"
    write_fips(path, {"sinogram120": change(counts(120))}, version)
    with pytest.raises(FileFormatError, match=message) as error:
        FipsReader(sinogram="sinogram120").read(path)
    assert "\n" not in str(error.value)


def test_other_files_are_not_accepted(tmp_path):
    path = tmp_path / "a.mat"
    write_fips(path, {"m": np.ones((3, 4))})
    assert not FipsReader().accepts(path)
    with pytest.raises(FileFormatError, match="no variable 'sinogram1200'; it has m"):
        FipsReader().read(path)
    write_fips(path, {"m": np.ones((3, 4)), "n": np.ones(2)}, "7.3")
    with h5py.File(path, "r+") as file:
        file["group/x"] = 1
        file["elsewhere"] = h5py.ExternalLink("b.h5", "/sinogram120")
    assert not FipsReader().accepts(path)
    path.write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(100))
    with pytest.raises(FileFormatError, match="not a MATLAB file"):
        FipsReader().read(path)


def test_downsampling_must_divide_the_detector():
    with pytest.raises(ParameterError, match="must divide the detector's 2296 pixels"):
        recon.build("reader", {"use": "fips", "downsample": 3})


def test_without_scipy_the_extra_is_named(tmp_path, monkeypatch):
    write_synthetic(tmp_path / "nut.mat")
    find_spec = recon.registry.importlib.util.find_spec
    monkeypatch.setattr(
        recon.registry.importlib.util, "find_spec", lambda name: None if name == "scipy" else find_spec(name)
    )
    monkeypatch.delitem(sys.modules, "recon_datasets.fips.reader", raising=False)
    with pytest.raises(MissingDependencyError, match=r"\[ct\]"):
        recon.read(tmp_path / "nut.mat")


def test_reader_options_on_the_command_line(tmp_path, capsys):
    from recon.cli import main

    write_synthetic(tmp_path / "nut.mat")
    out = tmp_path / "nut.nii.gz"
    reader = ["--reader", "{use: fips, downsample: 56, size: 20}"]
    assert main(["info", str(tmp_path / "nut.mat"), *reader]) == 0
    assert "1 x 1 x 120 x 41" in capsys.readouterr().out
    assert main(["reconstruct", str(tmp_path / "nut.mat"), *reader, "--method", "fbp", "-o", str(out)]) == 0
    assert recon.read(out).data.shape == (20, 20)
    assert main(["info", str(tmp_path / "nut.mat"), "--reader", "{use: fips, downsampling: 56}"]) == 2
    assert "downsample" in capsys.readouterr().err
