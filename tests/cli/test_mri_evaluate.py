"""recon evaluate --protocol fastmri: the numbers of fastMRI's own evaluation, and what becomes of odd files."""

import csv
import json
import math

import h5py
import numpy as np
import pytest
import torch
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

import recon
from recon.cli import main
from recon.evaluation import FastMRIProtocol, Report, VolumeScores

NAMES = ("fastmri_nmse", "fastmri_psnr", "fastmri_ssim")


def volume(seed, shape=(3, 40, 36)):
    generator = np.random.default_rng(seed)
    smooth = np.cumsum(np.cumsum(generator.standard_normal(shape), 1), 2)
    return (1e-4 * (smooth - smooth.min()) / np.ptp(smooth)).astype(np.float32)


def write(path, name, values, **attributes):
    path.parent.mkdir(exist_ok=True, parents=True)
    with h5py.File(path, "w") as file:
        file[name] = values
        file.attrs.update(attributes)


@pytest.fixture
def files(tmp_path):
    """Four references in two folders, of two acquisitions, one without attributes, and a reconstruction of each."""
    attributes = [{"acquisition": "AXT2", "acceleration": 4}, {"acquisition": "AXT2", "acceleration": 8}, {}]
    attributes += [{"acquisition": "AXFLAIR"}]
    for number, given in enumerate(attributes):
        target = volume(number, (2 + number, 40, 36))
        noise = volume(99 + number, target.shape)
        write(tmp_path / "targets" / f"batch_{number % 2}" / f"file{number}.h5", "reconstruction_rss", target, **given)
        write(tmp_path / "made" / f"file{number}.h5", "reconstruction", target + 0.1 * noise)
    return tmp_path


def evaluate(files, *options):
    arguments = ["--protocol", "fastmri", "--targets", str(files / "targets"), *options]
    return main(["evaluate", str(files / "made"), *arguments])


def table(path):
    return list(csv.DictReader(path.read_text().splitlines()))


def stored(path, name):
    with h5py.File(path) as file:
        return file[name][()]


def independent(target, guess):
    """Score a volume as fastMRI's evaluation does, with scikit-image."""
    side = target.shape[-1]
    target, guess = (
        x[:, (x.shape[1] - side) // 2 :, (x.shape[2] - side) // 2 :][:, :side, :side].astype(np.float64)
        for x in (target, guess)
    )
    peak = target.max()
    return {
        "fastmri_nmse": ((target - guess) ** 2).sum() / (target**2).sum(),
        "fastmri_psnr": peak_signal_noise_ratio(target, guess, data_range=peak),
        "fastmri_ssim": np.mean(
            [structural_similarity(a, b, data_range=peak) for a, b in zip(target, guess, strict=True)]
        ),
    }


def test_golden_values_of_the_published_evaluation(shared_data):
    golden = json.loads((shared_data / "golden" / "fastmri_golden.json").read_text())["metrics"]
    z, y, x = np.meshgrid(range(4), range(64), range(48), indexing="ij")
    target = (1e-4 * (1.2 + np.sin(0.21 * x + 0.1 * z) * np.cos(0.17 * y))).astype(np.float32)
    guess = (target * (1 + 0.05 * np.sin(0.9 * x - 0.4 * y + z))).astype(np.float32)
    for name, metric in FastMRIProtocol().metrics.items():
        value = float(metric(torch.tensor(guess).double()[None], torch.tensor(target).double()[None]))
        expected = golden[name.removeprefix("fastmri_")]
        # The published numbers were computed in single precision.
        assert value == pytest.approx(expected, rel=1e-6 if name == "fastmri_nmse" else 1e-7)


def test_files_score_as_scikit_image_says(files, capsys):
    assert evaluate(files, "--json", str(files / "scores.json"), "--csv", str(files / "scores.csv")) == 0
    out = capsys.readouterr().out
    report = json.loads((files / "scores.json").read_text())
    expected = {}
    for number in range(4):
        target = stored(files / "targets" / f"batch_{number % 2}" / f"file{number}.h5", "reconstruction_rss")
        guess = stored(files / "made" / f"file{number}.h5", "reconstruction")
        expected[f"file{number}"] = independent(target, guess)
    assert [row["name"] for row in report["volumes"]] == list(expected)
    for row in report["volumes"]:
        for name in NAMES:
            assert row[name] == pytest.approx(expected[row["name"]][name], rel=1e-9)
    both = [expected[name]["fastmri_psnr"] for name in ("file0", "file1")]
    group = report["groups"]["AXT2"]
    assert group["volumes"] == 2
    assert group["fastmri_psnr"]["mean"] == pytest.approx(np.mean(both))
    assert group["fastmri_psnr"]["deviation"] == pytest.approx(np.std(both, ddof=1))
    assert report["groups"]["AXFLAIR"]["fastmri_ssim"]["deviation"] is None
    assert list(report["groups"]) == ["AXFLAIR", "AXT2", "unknown", "all"]
    assert f"{np.mean(both):.2f} ± {2 * np.std(both, ddof=1):.2f}" in next(
        line for line in out.splitlines() if line.startswith("AXT2")
    )
    rows = table(files / "scores.csv")
    assert [row["acceleration"] for row in rows] == ["4.0", "8.0", "", ""]
    assert float(rows[2]["fastmri_nmse"]) == pytest.approx(expected["file2"]["fastmri_nmse"])


@pytest.mark.parametrize(
    ("filters", "names", "note"),
    [
        (["--acquisition", "AXT2"], ["file0", "file1"], "1 volume left out"),
        (["--acceleration", "4"], ["file0"], "2 volumes left out"),
        (["--acquisition", "AXT2", "--acceleration", "8"], ["file1"], "1 volume left out"),
    ],
)
def test_filters_do_not_fail_on_files_that_say_nothing(files, filters, names, note, capsys):
    assert evaluate(files, *filters, "--csv", str(files / "x.csv")) == 0
    assert [row["name"] for row in table(files / "x.csv")] == names
    assert note in capsys.readouterr().out


def test_the_reconstruction_may_tell_its_acceleration(files, capsys):
    with h5py.File(files / "made" / "file2.h5", "a") as file:
        file.attrs["acceleration"] = 6
    assert evaluate(files, "--acceleration", "6") == 0
    assert "unknown           1      4" in capsys.readouterr().out


def test_missing_and_extra_volumes_are_named(files, capsys):
    (files / "made" / "file1.h5").rename(files / "made" / "other.h5")
    assert evaluate(files, "--json", str(files / "x.json")) == 1
    out = capsys.readouterr().out
    assert "missing: 1 volume: file1" in out
    assert "without reference: 1 volume: other" in out
    report = json.loads((files / "x.json").read_text())
    assert report["missing"] == ["file1"]
    assert report["extra"] == ["other"]
    # A filter that leaves the missing one out does not miss it.
    assert evaluate(files, "--acquisition", "AXFLAIR") == 0


def test_renamed_knees_and_single_files(files, capsys):
    made = files / "made" / "file0.h5"
    made.rename(made.with_name("file0_v2.h5"))
    assert evaluate(files) == 0
    one = ["evaluate", str(files / "made" / "file3.h5"), "--protocol", "fastmri", "--targets"]
    assert main([*one, str(files / "targets")]) == 0
    assert main([*one, str(files / "targets" / "batch_1" / "file3.h5")]) == 0
    capsys.readouterr()


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda x: write(x, "reconstruction", volume(1, (4, 40, 36))), "has 4 slices, its reference 3"),
        (lambda x: write(x, "reconstruction", volume(1, (3, 40, 30))), r"cannot be cropped to the reference's width"),
        (lambda x: write(x, "recon", volume(1)), "has no dataset 'reconstruction' but recon"),
        (lambda x: write(x, "reconstruction", volume(1)[0]), "not real (slice, H, W)"),
        (lambda x: write(x, "reconstruction", volume(1) * np.float32(np.nan)), "NaN or infinite"),
        (lambda x: x.write_bytes(x.read_bytes()[:300]), "damaged or cut off?"),
    ],
)
def test_a_bad_volume_does_not_stop_the_others(files, damage, message, capsys):
    damage(files / "made" / "file1.h5")
    assert evaluate(files) == 1
    output = capsys.readouterr()
    (line,) = output.err.splitlines()
    assert line.startswith("recon: ")
    assert "file1.h5" in line
    assert message in line
    assert "all               3" in output.out


def test_single_coil_references_are_the_emulated_ones(tmp_path):
    values = volume(0)
    with h5py.File(tmp_path / "knee.h5", "w") as file:
        file["kspace"] = np.zeros((3, 40, 36), np.complex64)
        file["reconstruction_esc"], file["reconstruction_rss"] = values, values + 1
    write(tmp_path / "made" / "knee.h5", "reconstruction", values)
    report = FastMRIProtocol().evaluate(tmp_path / "made", tmp_path / "knee.h5")
    assert report.volumes[0].values["fastmri_nmse"] == 0
    assert report.volumes[0].values["fastmri_ssim"] == pytest.approx(1)
    assert math.isinf(report.volumes[0].values["fastmri_psnr"])
    assert json.loads(report.to_json())["volumes"][0]["fastmri_psnr"] is None  # JSON has no infinity
    assert "inf" in report.table()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["made", "--protocol", "fastmri"], "name them with --targets"),
        (["made", "--targets", "targets"], "--targets is for files of reconstructions"),
        (["made", "--protocol", "fastmri", "--targets", "targets", "--method", "fbp"], "reconstruct them first"),
        (["made", "--protocol", "fastmri", "--targets", "none"], "none does not exist"),
        (["none", "--protocol", "fastmri", "--targets", "targets"], "none does not exist"),
        (["made", "--protocol", "fastmri", "--targets", "empty"], "holds no file ending in .h5"),
        (["made", "--protocol", "fastmri", "--targets", "others"], "has the name of a reference"),
        (["made", "--protocol", "fastmri", "--targets", "twice"], "have one name"),
        (["made", "--protocol", "fastmri", "--targets", "targets", "--acceleration", "16"], "3 do not tell"),
        (["made", "--protocol", "fastmri", "--targets", "targets", "--acquisition", "AXT3"], "acquisition AXT3"),
        (["made", "--protocol", "fastmri", "--targets", "targets", "--acceleration", "x"], "'x' is not a number"),
        (["made", "--protocol", "fastmri", "--targets", "targets", "--json", "no/x.json"], "make it first"),
    ],
)
def test_bad_usage_is_one_line(files, arguments, message, monkeypatch, capsys):
    with h5py.File(files / "targets" / "batch_1" / "file1.h5", "a") as file:
        del file.attrs["acceleration"]
    (files / "empty").mkdir()
    write(files / "others" / "x.h5", "reconstruction_rss", volume(0))
    write(files / "twice" / "a" / "x.h5", "reconstruction_rss", volume(0))
    write(files / "twice" / "b" / "x.h5", "reconstruction_rss", volume(0))
    monkeypatch.chdir(files)
    assert main(["evaluate", *arguments]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_a_table_of_one_group_says_it_once():
    scores = [VolumeScores(name, 2, "AXT2", None, {"fastmri_ssim": 0.9}) for name in "ab"]
    lines = Report(conventions={"fastmri_ssim": "x"}, volumes=scores).table().splitlines()
    assert [line.split()[0] for line in lines[:2]] == ["acquisition", "AXT2"]
    assert "0.9000 ± 0.0000" in lines[1]
    assert not any(line.startswith("all") for line in lines)


def test_the_metric_of_a_volume_is_that_of_its_slices():
    target, guess = torch.tensor(volume(0)), torch.tensor(volume(1))
    metric = recon.build("metric", "fastmri_ssim")
    peak = float(target.max())
    slices = recon.build("metric", "ssim", variant="uniform7", data_range=peak)
    alone = torch.stack([slices(a[None, None], b[None, None]) for a, b in zip(guess, target, strict=True)])
    assert float(metric(guess[None], target[None])) == pytest.approx(float(alone.mean()), abs=1e-6)
    # The gradient takes the same values through convolutions.
    differentiable = metric(guess[None].requires_grad_(), target[None]).detach()
    assert float(differentiable) == pytest.approx(float(alone.mean()), abs=1e-6)
