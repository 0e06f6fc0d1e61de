"""`recon demo`: what it writes, what it refuses, and what it claims."""

import re

import nibabel
import numpy as np
import pytest

import recon
from recon.cli import main


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """Run the demonstration once, with hardly any training."""
    folder = tmp_path_factory.mktemp("demo") / "out"
    assert main(["demo", "--steps", "2", "-o", str(folder)]) == 0
    return folder


def test_writes_everything(demo):
    for study, methods in (
        ("mri", ("reference", "zero_filled", "total_variation", "tv_u_net")),
        ("ct", ("reference", "filtered_back_projection", "total_variation", "fbp_u_net")),
    ):
        count = len(recon.build("dataset", "sample", modality=study, split="test"))
        names = {path.name for path in (demo / study / "nifti").iterdir()}
        assert names == {f"{method}_{index + 1:02d}.nii.gz" for method in methods for index in range(count)}
        assert (demo / study / "comparison.png").stat().st_size > 10_000
        assert (demo / study / "run" / "resolved.yaml").is_file()
    assert (demo / "comparison.png").is_file()


@pytest.mark.parametrize("study", ["mri", "ct"])
def test_nifti_has_the_samples_geometry_and_values(demo, study):
    dataset = recon.build("dataset", "sample", modality=study, split="test")
    file = nibabel.load(demo / study / "nifti" / "reference_02.nii.gz")
    np.testing.assert_allclose(file.affine, dataset.affine, atol=1e-5)
    np.testing.assert_allclose(file.header.get_zooms()[:2], dataset.spacing, rtol=1e-6)
    assert file.header.get_xyzt_units()[0] == "mm"
    image = dataset[1]["image"][0].numpy()
    expected = (image / 0.0192 - 1) * 1000 if study == "ct" else image
    # NIfTI runs (x, y, z), tensors (y, x).
    np.testing.assert_allclose(np.asarray(file.dataobj)[..., 0].T, expected, atol=1e-2 if study == "ct" else 1e-6)


def test_report_needs_nothing_else(demo):
    page = (demo / "report.html").read_text(encoding="utf-8")
    sources = re.findall(r'(?:src|href)\s*=\s*"([^"]*)"', page)
    assert sources
    assert all(source.startswith("data:") for source in sources)
    assert "@import" not in page
    assert "url(" not in page
    assert page.count("<table>") == 4
    assert "7 held-out images of 2 people" in page
    assert "6 held-out images of 3 people" in page


def test_path_of_the_report_comes_last_and_old_results_are_replaced(tmp_path, capsys):
    folder = tmp_path / "out"
    arguments = ["demo", "--steps", "1", "--only", "mri", "-o", str(folder)]
    assert main(arguments) == 0
    lines = capsys.readouterr().out.strip().splitlines()
    assert lines[-1] == str(folder.resolve() / "report.html")
    assert any("Total variation" in line for line in lines)
    (folder / "stale").touch()
    assert main(arguments) == 0
    assert not (folder / "stale").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_refuses_a_folder_that_is_not_its_own(tmp_path, capsys):
    (tmp_path / "thesis.txt").touch()
    assert main(["demo", "-o", str(tmp_path)]) == 2
    assert "choose another with -o" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_refuses_no_steps(capsys):
    assert main(["demo", "--steps", "0"]) == 2
    assert "--steps must be 1 or more" in capsys.readouterr().err


def test_same_seed_same_images(demo, tmp_path):
    assert main(["demo", "--steps", "2", "--only", "ct", "-o", str(tmp_path / "again")]) == 0
    one, other = (
        nibabel.load(folder / "ct/nifti/fbp_u_net_01.nii.gz").get_fdata() for folder in (demo, tmp_path / "again")
    )
    np.testing.assert_array_equal(one, other)


def test_nobody_trained_on_is_tested():
    from recon.demo.study import STUDIES
    from recon.experiment import Experiment

    for study in STUDIES:
        data = Experiment.load(study.experiment).resolved["data"]
        held_out = set(recon.build("dataset", study.data).subjects)
        assert held_out
        for part in ("train", "validation"):
            assert not held_out & set(recon.build("dataset", data[part]).subjects)


@pytest.mark.slow
@pytest.mark.parametrize("key", ["mri", "ct"])
def test_the_network_beats_every_classical_method_on_people_it_never_saw(tmp_path, key):
    from recon.demo.compare import compare, train
    from recon.demo.study import STUDIES

    study = next(study for study in STUDIES if study.key == key)
    experiment, seconds = train(study, tmp_path / "run", [])
    result = compare(study, experiment, tmp_path / "run", seconds)
    for column in result.columns[:-1]:
        assert result.learned.mean("psnr") > column.mean("psnr") + 0.1
        assert result.learned.mean("ssim") > column.mean("ssim")
