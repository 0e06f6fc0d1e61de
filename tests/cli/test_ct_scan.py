"""From a CT slice to projections and back to Hounsfield units, on the command line."""

from __future__ import annotations

import json
import math
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pydicom
import pytest
import torch

import recon
from recon import Image
from recon.cli import main
from recon.io.hounsfield import WATER, from_hu
from recon_datasets.dicom_series import write_slices

SIZE = 48
PIXEL = 4.0


def body(slices: int = 1) -> np.ndarray:
    """Stored values (HU + 1024) of a disk of tissue with bone and lung."""
    yy, xx = np.mgrid[:SIZE, :SIZE] - (SIZE - 1) / 2
    hu = np.where(np.hypot(yy, xx) < 20, 40, -1000)
    hu[np.hypot(yy - 6, xx) < 5] = 800
    hu[np.hypot(yy + 8, xx - 4) < 5] = -700
    return np.stack([hu + 1024] * slices)


@pytest.fixture
def slice_(tmp_path):
    return write_slices(tmp_path / "in", body(), spacing=(PIXEL, PIXEL), step=5.0)[0]


@pytest.fixture
def series(tmp_path):
    write_slices(tmp_path / "series", body(3), spacing=(PIXEL, PIXEL), step=5.0)
    return tmp_path / "series"


def complaint(arguments, capsys):
    """Run a command that must fail, and return its one line."""
    capsys.readouterr()
    assert main([str(word) for word in arguments]) == 2
    error = capsys.readouterr().err
    assert error.startswith("recon: ")
    assert error.count("\n") == 1
    return error


def run(*words) -> None:
    assert main([str(word) for word in words]) == 0


def deviation(a: Image, b: Image) -> float:
    """Root mean square difference in HU."""
    return float((a.data - b.data).square().mean().sqrt())


@pytest.mark.parametrize("options", [[], ["--geometry", "fan", "--views", "300"]], ids=["parallel", "fan"])
def test_hounsfield_units_come_back(slice_, tmp_path, options):
    scan, out = tmp_path / "scan.h5", tmp_path / "out.dcm"
    run("simulate", "ct", slice_, *options, "-o", scan)
    run("reconstruct", scan, "--method", "fbp", "-o", out)
    before, after = recon.read(slice_), recon.read(out)
    assert after.unit == "HU"
    assert np.allclose(after.affine, before.affine, atol=1e-4)
    yy, xx = np.mgrid[:SIZE, :SIZE] - (SIZE - 1) / 2
    tissue, bone = (np.hypot(yy, xx) < 18) & (np.hypot(yy, xx) > 14), np.hypot(yy - 6, xx) < 3
    assert float(after.data[tissue].mean()) == pytest.approx(40, abs=5)
    assert float(after.data[bone].mean()) == pytest.approx(800, abs=15)


def test_the_measurement_is_what_it_says(slice_, tmp_path, capsys):
    scan = tmp_path / "scan.h5"
    command = ["simulate", "ct", slice_, "--views", "40", "--arc", "90", "--dose", "0.1", "--photons", "2e6"]
    run(*command, "--electronic", "5", "--set", "bins=90", "--seed", "4", "--water", "0.02", "-o", scan)
    printed = capsys.readouterr().out
    assert "HU to 1/mm with water 0.02" in printed
    assert "parallel beam, 40 views over 90 degrees, 200000 photons a ray (0.1 of the full dose)" in printed
    measurement = recon.read(scan)
    operator = measurement.operator()
    assert tuple(measurement.data.shape) == (1, 1, 40, 90)
    assert operator.pixel == PIXEL
    assert float(operator.theta[-1]) == pytest.approx(math.pi / 2 * 39 / 40)
    assert measurement.metadata["water_per_mm"] == 0.02
    assert measurement.metadata["photons"] == 2e5
    assert measurement.unit == measurement.reference.unit == "1/mm"
    hu = recon.read(slice_)
    assert torch.allclose(measurement.reference.data, from_hu(hu.data, water=0.02), atol=1e-7)
    # The noise is that of so many photons: chi-square of 3600 rays against the model's variance.
    y = operator(measurement.reference.to_batch(2))
    counts = 2e5 * torch.exp(-y)
    score = (measurement.data - y).square() / ((1 + 25 / counts) / counts)
    assert float(score.mean()) == pytest.approx(1, abs=0.15)


def test_noise_is_seeded_and_follows_the_dose(slice_, tmp_path):
    found = {}
    for name, options in {
        "a": ["--dose", "0.5"],
        "b": ["--dose", "0.5"],
        "c": ["--dose", "0.5", "--seed", "1"],
        "d": ["--photons", "5e4"],
        "none": [],
    }.items():
        run("simulate", "ct", slice_, "--views", "30", *options, "-o", tmp_path / f"{name}.h5")
        found[name] = recon.read(tmp_path / f"{name}.h5").data
    assert torch.equal(found["a"], found["b"])
    assert torch.equal(found["a"], found["d"])  # half of 1e5
    assert not torch.equal(found["a"], found["c"])
    assert not torch.equal(found["a"], found["none"])


def test_a_volume_comes_back_as_a_folder(series, tmp_path):
    scan = tmp_path / "scan.h5"
    run("simulate", "ct", series, "--views", "90", "-o", scan)
    run("reconstruct", scan, "--method", "fbp", "--filter", "hann", "-o", tmp_path / "out")
    before, after = recon.read(series), recon.read(tmp_path / "out")
    assert before.dims == after.dims == ("z", "y", "x")
    assert np.allclose(after.affine, before.affine, atol=1e-4)
    assert deviation(before, after) < 130  # edges of 4 mm pixels; the values inside are tested above
    assert len(list((tmp_path / "out").iterdir())) == 3
    dataset = pydicom.dcmread(sorted((tmp_path / "out").iterdir())[0])
    assert list(dataset.ImageType[:2]) == ["DERIVED", "SECONDARY"]


def test_parameters_of_the_method_are_options(slice_, tmp_path, capsys):
    scan = tmp_path / "scan.h5"
    run("simulate", "ct", slice_, "--views", "90", "-o", scan)
    outputs = {}
    for name, words in {
        "shorthand": ["fbp", "--filter", "hann"],
        "set": ["fbp", "--set", "filter=hann"],
        "config": ["{use: fbp, filter: hann}"],
        "override": ["{use: fbp, filter: cosine}", "--filter", "hann"],
        "default": ["fbp"],
    }.items():
        run("reconstruct", scan, "--method", *words, "-o", tmp_path / f"{name}.nii")
        outputs[name] = recon.read(tmp_path / f"{name}.nii").data
    for name in ("set", "config", "override"):
        assert torch.equal(outputs["shorthand"], outputs[name])
    assert not torch.equal(outputs["shorthand"], outputs["default"])
    base = ["reconstruct", scan, "-o", tmp_path / "x.nii", "--method"]
    assert "filter" in complaint([*base, "adjoint", "--filter", "hann"], capsys)
    assert "did you mean 'filter'" in complaint([*base, "fbp", "--set", "filtr=hann"], capsys)
    assert "hann" in complaint([*base, "fbp", "--filter", "han"], capsys)
    assert "--set takes NAME=VALUE" in complaint([*base, "fbp", "--set", "hann"], capsys)
    run_only = ["reconstruct", scan, "-o", tmp_path / "x.nii", "--run", tmp_path, "--filter", "hann"]
    assert "'filter' is a parameter of a --method" in complaint(run_only, capsys)


def test_units_can_be_chosen(slice_, tmp_path, capsys):
    scan = tmp_path / "scan.h5"
    run("simulate", "ct", slice_, "--views", "60", "-o", scan)
    base = ["reconstruct", scan, "--method", "fbp"]
    run(*base, "-o", tmp_path / "hu.nii")
    run(*base, "--unit", "1/mm", "-o", tmp_path / "mu.nii")
    run(*base, "--water", "0.02", "-o", tmp_path / "other.nii")
    hu, mu, other = (recon.read(tmp_path / f"{name}.nii").data for name in ("hu", "mu", "other"))
    assert torch.allclose(hu, (mu / WATER - 1) * 1000, atol=0.01)
    assert torch.allclose(other, (mu / 0.02 - 1) * 1000, atol=0.01)
    assert "CT in HU" in complaint([*base, "--unit", "1/mm", "-o", tmp_path / "mu.dcm"], capsys)
    # A measurement that does not know water stays in 1/mm.
    measurement = recon.read(scan)
    plain = recon.Measurement(data=measurement.data, operator_config=measurement.operator_config, unit="1/mm")
    recon.write(plain, tmp_path / "plain.h5")
    base[1] = tmp_path / "plain.h5"
    run(*base, "-o", tmp_path / "plain.nii")
    assert torch.allclose(recon.read(tmp_path / "plain.nii").data, mu)
    assert "does not tell the attenuation of water" in complaint([*base, "--unit", "HU", "-o", "x.nii"], capsys)
    assert not Path("x.nii").exists()


def test_images_that_do_not_tell_their_unit(tmp_path, capsys):
    image = Image(data=torch.from_numpy(body()[0] - 1024).float(), affine=np.diag([PIXEL, PIXEL, 5, 1]))
    path, scan = tmp_path / "image.nii", tmp_path / "scan.h5"
    recon.write(image, path)
    base = ["simulate", "ct", path, "--views", "8", "-o", scan]
    assert "add --unit HU or --unit 1/mm" in complaint(base, capsys)
    run(*base, "--unit", "HU")
    assert torch.allclose(recon.read(scan).reference.data, from_hu(image.data), atol=1e-6)
    # The general form converts what says that it is in HU, and only for operators that want 1/mm.
    run("simulate", path, "--operator", "{use: radon, angles: 8}", "--unit", "HU", "-o", tmp_path / "same.h5")
    assert torch.equal(recon.read(tmp_path / "same.h5").data, recon.read(scan).data)
    run("simulate", path, "--operator", "{use: radon, angles: 8}", "-o", tmp_path / "raw.h5")
    assert torch.equal(recon.read(tmp_path / "raw.h5").reference.data, image.data)
    run("simulate", path, "--operator", "fourier", "--unit", "HU", "-o", tmp_path / "mri.h5")
    assert torch.equal(recon.read(tmp_path / "mri.h5").reference.data, image.data)


def test_padding_outside_of_the_field_of_view_is_air(tmp_path, capsys):
    stored = body()
    stored[0, :4] = -1976  # -3000 HU
    path = write_slices(tmp_path / "in", stored, spacing=(PIXEL, PIXEL))[0]
    run("simulate", "ct", path, "--views", "4", "-o", tmp_path / "scan.h5")
    assert f"{4 * SIZE} values below -1024 HU" in capsys.readouterr().out
    assert float(recon.read(tmp_path / "scan.h5").reference.data.min()) >= -1e-9


def test_chains_of_operators_are_kept(slice_, tmp_path, capsys):
    """Views left out merge into the projector; what does not merge is a chain."""
    scan, dropped = tmp_path / "scan.h5", "{use: sparse_views, views: 40, every: 2}"
    noise = "{use: low_dose, photons: 1.0e+6}"
    run("simulate", slice_, "--operator", f"[{{use: radon, angles: 40}}, {dropped}, {noise}]", "-o", scan)
    run("reconstruct", scan, "--method", "fbp", "-o", tmp_path / "x.dcm")
    direct = tmp_path / "direct.h5"
    run("simulate", slice_, "--operator", f"[{{use: radon, angles: 20}}, {noise}]", "-o", direct)
    assert recon.read(scan).operator_config["use"] == "radon"
    assert torch.equal(recon.read(scan).data, recon.read(direct).data)
    run("reconstruct", direct, "--method", "fbp", "-o", tmp_path / "y.dcm")
    assert deviation(recon.read(tmp_path / "x.dcm"), recon.read(tmp_path / "y.dcm")) < 1
    chained = tmp_path / "chain.h5"
    run("simulate", slice_, "--operator", "[{use: downsample, factor: 2}, {use: radon, angles: 12}]", "-o", chained)
    config = recon.read(chained).operator_config
    assert config["use"] == "chain"
    assert [part["use"] for part in config["operators"]] == ["downsample", "radon"]
    x = recon.read(chained).reference.to_batch()
    assert torch.allclose(recon.read(chained).operator()(x), recon.read(chained).data)
    capsys.readouterr()
    run("info", chained)
    shown = capsys.readouterr().out
    assert "use: chain" in shown
    assert "use: downsample" in shown
    run("reconstruct", chained, "--method", "adjoint", "-o", tmp_path / "z.nii")


def test_outputs_that_a_writer_refuses_cost_no_reconstruction(series, slice_, tmp_path, capsys, monkeypatch):
    scan = tmp_path / "scan.h5"
    run("simulate", "ct", series, "--views", "8", "-o", scan)
    measured = []
    monkeypatch.setattr("recon.cli.reconstruct.track", lambda parts, _: measured.append(parts) or parts)
    monkeypatch.setattr("recon.cli.simulate.track", lambda parts, _: measured.append(parts) or parts)
    base = ["reconstruct", scan, "--method", "fbp"]
    assert "holds one slice, this image has 3: give the name" in complaint([*base, "-o", tmp_path / "x.dcm"], capsys)
    assert "a PNG holds a slice" in complaint([*base, "-o", tmp_path / "x.png"], capsys)
    assert "does not tell units" in complaint([*base, "-o", tmp_path / "x.h5"], capsys)
    assert "CT in HU" in complaint([*base, "--unit", "1/mm", "-o", tmp_path / "x"], capsys)
    assert "does not tell" not in complaint([*base, "--unit", "HU", "-o", tmp_path / "x.png"], capsys)
    assert "not a measurement" in complaint(["simulate", "ct", slice_, "-o", tmp_path / "x.nii"], capsys)
    assert measured == []
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_file()) == ["scan.h5"]
    run(*base, "-o", tmp_path / "x")
    assert len(measured) == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--views", "0"], "not a whole number above 0"),
        (["--arc", "400"], "at most 360 degrees"),
        (["--arc", "x"], "'x' is not a number"),
        (["--dose", "0"], "--dose 0: give a number above 0"),
        (["--dose", "nan"], "'nan' is not a number"),
        (["--photons", "-5"], "--photons"),
        (["--electronic", "3"], "say how many there are"),
        (["--dose", "0.1", "--electronic=-3"], "not below 0"),
        (["--geometry", "cone"], "invalid choice"),
        (["--set", "bin=90"], "did you mean 'bins'"),
        (["--water", "0.2"], "looks like 1/cm"),
        (["--unit", "1/mm"], "says that it is in HU"),
        (["--operator", "radon"], "leave --operator out"),
    ],
)
def test_bad_options(slice_, tmp_path, capsys, options, message):
    assert message in complaint(["simulate", "ct", slice_, "-o", tmp_path / "x.h5", *options], capsys)
    assert not (tmp_path / "x.h5").exists()


def test_bad_words(slice_, tmp_path, capsys):
    tail = ["-o", tmp_path / "x.h5"]
    assert "required: --operator" in complaint(["simulate", slice_, *tail], capsys)
    assert "give one image" in complaint(["simulate", "mr", slice_, *tail, "--operator", "radon"], capsys)
    scan = ["simulate", slice_, "--operator", "radon", "--views", "8", "--dose", "0.5", *tail]
    assert "--views, --dose describe a CT scan: recon simulate ct" in complaint(scan, capsys)


def test_an_image_may_be_called_ct(tmp_path, monkeypatch):
    recon.write(Image(data=torch.rand(8, 8)), tmp_path / "x.nii")
    (tmp_path / "x.nii").rename(tmp_path / "ct")
    monkeypatch.chdir(tmp_path)
    run("simulate", "ct", "--operator", "{use: radon, angles: 4}", "-o", "x.h5")


def test_bad_values(tmp_path, capsys):
    data = torch.zeros(8, 8)
    data[2, 3] = math.nan
    recon.write(Image(data=data), tmp_path / "x.nii")
    base = ["simulate", tmp_path / "x.nii", "--operator", "{use: radon, angles: 4}", "-o", tmp_path / "x.h5"]
    assert "holds 1 values that are not finite" in complaint(base, capsys)
    config = {"use": "radon", "size": [8, 8], "angles": 4, "bins": 12}
    for y, message in (
        (torch.full((1, 1, 4, 12), math.inf), "bad.h5: 48 measured values of item 0 are not finite"),
        (torch.zeros(1, 1, 5, 12), "the data have the shape (1, 5, 12) an item, the operator measures (any, 4, 12)"),
    ):
        recon.write(recon.Measurement(data=y, operator_config=config), tmp_path / "bad.h5")
        command = ["reconstruct", tmp_path / "bad.h5", "--method", "fbp", "-o", tmp_path / "out.nii"]
        assert message in complaint(command, capsys)
    assert not (tmp_path / "out.nii").exists()


def test_a_progress_bar_only_on_a_terminal(series, tmp_path, capsys, monkeypatch):
    from recon import reconstruction

    monkeypatch.setattr(reconstruction, "PART_BYTES", 1)  # slices go one by one
    run("simulate", "ct", series, "--views", "8", "-o", tmp_path / "scan.h5")
    assert capsys.readouterr().err == ""
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    run("reconstruct", tmp_path / "scan.h5", "--method", "adjoint", "-o", tmp_path / "x.nii")
    assert "reconstructing" in capsys.readouterr().err


@pytest.mark.filterwarnings("default")
def test_a_warning_is_one_line(slice_, tmp_path, capsys):
    scan = tmp_path / "scan.h5"
    run("simulate", "ct", slice_, "--views", "30", "--set", "bins=24", "-o", scan)
    error = capsys.readouterr().err
    assert re.match(r"recon: warning: the detector is too small for the object: \d+\.\d% of its mass", error)
    assert error.count("\n") == 1
    run("reconstruct", scan, "--method", "fbp", "-o", tmp_path / "x.nii")
    error = capsys.readouterr().err
    assert error.startswith("recon: warning: the object reaches beyond the detector in 100% of the views")
    assert error.count("\n") == 1


def recon_command(*words) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "recon", *map(str, words)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_real_slice_there_and_back(shared_data: Path, tmp_path):
    """A clinical slice, 512 x 512: noiseless views, Hounsfield units, and its place in the patient."""
    source = shared_data / "ct_images" / "ct100_dicom" / "ID_0002_AGE_0074_CONTRAST_1_CT.dcm"
    if not source.is_file():
        pytest.skip("the slice is not here")
    scan, out = tmp_path / "scan.h5", tmp_path / "out.dcm"
    run("simulate", "ct", source, "--views", "500", "-o", scan)
    run("reconstruct", scan, "--method", "fbp", "-o", out)
    facts = json.loads(recon_command("info", out, "--json"))
    assert facts["unit"] == "HU"
    before, after = recon.read(source), recon.read(out)
    assert np.allclose(after.affine, before.affine, atol=1e-4)
    inside = before.data > -200
    error = (after.data - before.data)[inside]
    assert abs(float(error.mean())) < 2
    assert float(error.square().mean().sqrt()) < 20
