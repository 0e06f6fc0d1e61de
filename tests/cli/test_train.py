"""recon train, evaluate, reconstruct, simulate: from a file to a file, and every bad input as one line."""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch

import recon
from recon.cli import main
from recon.engine import load_model
from recon.io import Image, Measurement

TEXT = """\
name: tiny
regime: operator
data:
  train: {use: random_ellipses, size: [16, 16], count: 6}
  validation: {use: random_ellipses, size: [16, 16], count: 2, seed: 1}
forward:
  - {use: downsample, factor: 2}
  - {use: gaussian_noise, sigma: 0.01}
model:
  use: from_adjoint
  model: {use: dncnn, layers: 2, features: 4}
loss: mse
metrics: [psnr, ssim]
training: {steps: 4, batch_size: 2, log_every: 2, validate_every: 2, checkpoint_every: 2, device: cpu}
"""


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "tiny.yaml"
    path.write_text(TEXT)
    return path


@pytest.fixture
def run(file, tmp_path, capsys):
    folder = tmp_path / "run"
    assert main(["train", str(file), "--run", str(folder)]) == 0
    capsys.readouterr()
    return folder


def fails(arguments, capsys, code=2):
    """Return the one line that a failing command prints."""
    assert main([str(word) for word in arguments]) == code
    captured = capsys.readouterr()
    assert captured.err.startswith("recon: ")
    assert captured.err.count("\n") == 1
    assert "Traceback" not in captured.err
    return captured.err


def test_train_says_where_the_results_are(file, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["train", str(file)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("run runs/tiny-")
    assert lines[1].startswith("best psnr ")
    assert (tmp_path / lines[2].removeprefix("report ")).exists()


def test_train_resume_by_run_folder(run, capsys):
    assert main(["train", str(run), "--resume", "--set", "training.steps=6"]) == 0
    assert [path.name for path in sorted((run / "checkpoints").glob("step-*"))] == ["step-00000004", "step-00000006"]
    assert (run / "experiment.yaml").read_text().startswith(TEXT)  # as it was given first
    assert "steps: 6" in (run / "resolved.yaml").read_text()
    environment = json.loads((run / "environment.json").read_text())
    assert [part["seed"] for part in environment["resumed"]] == [0]


def test_train_bad_input(file, run, tmp_path, capsys):
    assert "shipped: " in fails(["train", tmp_path / "none.yaml"], capsys)
    assert "did you mean 'dncnn'" in fails(["train", "dncn"], capsys)
    assert "--set training.stepz=3" in fails(["train", file, "--set", "training.stepz=3"], capsys)
    assert "pass --resume to go on with it" in fails(["train", run], capsys)
    assert "already in use" in fails(["train", file, "--run", run], capsys)
    assert "--resume needs the run folder" in fails(["train", file, "--resume"], capsys)
    assert "no run to resume" in fails(["train", file, "--run", tmp_path / "new", "--resume"], capsys)


def test_train_unknown_component_and_wrong_parameter(tmp_path, capsys):
    path = tmp_path / "bad.yaml"
    path.write_text(TEXT.replace("use: dncnn", "use: dncn"))
    assert "bad.yaml:11: model.model.use: " in fails(["train", path], capsys)
    path.write_text(TEXT.replace("layers: 2", "layers: zwei"))
    assert "bad.yaml:11: model.model.layers: " in fails(["train", path], capsys)
    path.write_text(TEXT.replace("use: random_ellipses, size: [16, 16], count: 6", "use: image_folder, root: missing"))
    assert "bad.yaml:4: data.train: " in fails(["train", path], capsys)
    assert not list(tmp_path.glob("runs*"))  # nothing is made for a run that cannot start


def test_train_nan_is_a_failed_run(file, tmp_path, capsys):
    # A learning rate at which float32 overflows.
    overrides = ["--set", "training.optimizer={name: sgd, lr: 1e30}", "--set", "training.steps=8"]
    line = fails(["train", file, "--run", tmp_path / "run", *overrides], capsys, code=1)
    assert "at step" in line
    assert "lower training.optimizer.lr or set training.clip" in line
    assert list((tmp_path / "run" / "nonfinite").glob("*.safetensors"))


def test_train_corrupt_checkpoint(run, capsys):
    for path in (run / "checkpoints").glob("*/*.safetensors"):
        path.write_bytes(path.read_bytes()[:100])
    arguments = ["train", run, "--resume", "--set", "training.steps=6"]
    assert main([str(word) for word in arguments]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert lines[-1].startswith("recon: all checkpoints in ")
    assert lines[-1].endswith("are damaged: start anew in another run folder")
    assert main(["evaluate", str(run)]) == 2
    assert "no whole checkpoint" in capsys.readouterr().err.splitlines()[-1]


def test_train_out_of_memory_is_a_failed_run(file, tmp_path, capsys, monkeypatch):
    def full(self, batch, step, micro):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(recon.Trainer, "_backward", full)
    line = fails(["train", file, "--run", tmp_path / "run"], capsys, code=1)
    assert "raise training.accumulate" in line


def test_ctrl_c_in_a_real_process(file, tmp_path):
    folder = tmp_path / "run"
    process = subprocess.Popen(
        [sys.executable, "-m", "recon", "train", str(file), "--run", str(folder), "--set", "training.steps=1000000"],
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    deadline = time.monotonic() + 120
    while not (folder / "metrics.jsonl").exists() and time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert errors.startswith("recon: interrupted after step ")
    assert errors.count("\n") == 1
    assert (folder / "report.html").exists()
    assert not list(folder.rglob(".*"))


def test_evaluate_prints_conventions_and_writes_json(run, capsys):
    assert main(["evaluate", str(run)]) == 0
    printed = capsys.readouterr().out
    assert "PSNR in dB per item, data range 1" in printed
    content = json.loads((run / "evaluation.json").read_text())
    records = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    best = max(record["validation/psnr"] for record in records if "validation/psnr" in record)
    assert content["metrics"]["psnr"]["mean"] == pytest.approx(best, rel=1e-6)  # the same noise as in training
    assert len(content["metrics"]["psnr"]["values"]) == 2


def test_evaluate_a_classical_method(tmp_path, capsys):
    path = tmp_path / "ct.yaml"
    path.write_text(TEXT.replace("{use: downsample, factor: 2}", "{use: radon, angles: 20}"))
    assert main(["evaluate", str(path), "--method", "fbp", "--json", str(tmp_path / "fbp.json")]) == 0
    assert json.loads((tmp_path / "fbp.json").read_text())["metrics"]["psnr"]["mean"] > 10


def test_evaluate_bad_input(file, run, tmp_path, capsys):
    assert "give a run folder, or a method" in fails(["evaluate", file], capsys)
    assert "unknown method 'fpb'; did you mean 'fbp'" in fails(["evaluate", file, "--method", "fpb"], capsys)
    assert "not valid YAML" in fails(["evaluate", file, "--method", "{use: "], capsys)
    assert "names no metrics" in fails(["evaluate", run, "--set", "metrics=[]"], capsys)


@pytest.fixture
def image(tmp_path):
    dataset = recon.build("dataset", "random_ellipses", size=(16, 16), count=2)
    data = torch.cat([dataset[0]["image"], dataset[1]["image"]])
    affine = [[-2.0, 0, 0, 5], [0, -2, 0, 7], [0, 0, 4, -3], [0, 0, 0, 1]]
    path = tmp_path / "image.nii.gz"
    recon.write(Image(data=data, affine=affine, dims=("z", "y", "x")), path)
    return path


def test_from_an_image_to_a_measurement_and_back(image, tmp_path, capsys):
    scan, out = tmp_path / "scan.h5", tmp_path / "out.nii.gz"
    config = "[{use: radon, angles: 60}, {use: gaussian_noise, sigma: 0.001}]"
    assert main(["simulate", str(image), "--operator", config, "-o", str(scan)]) == 0
    assert isinstance(recon.read(scan), Measurement)
    assert main(["reconstruct", str(scan), "--method", "fbp", "-o", str(out)]) == 0
    before, after = recon.read(image), recon.read(out)
    assert after.shape == before.shape
    assert (after.affine == before.affine).all()
    assert float((after.data - before.data).norm() / before.data.norm()) < 0.5


def test_simulation_is_seeded(image, tmp_path):
    config = "[{use: fourier, mask: {kind: random}, resample: true}, {use: gaussian_noise, sigma: 0.1}]"
    found = []
    for number, seed in enumerate((0, 0, 1)):
        path = tmp_path / f"{number}.h5"
        assert main(["simulate", str(image), "--operator", config, "--seed", str(seed), "-o", str(path)]) == 0
        found.append(recon.read(path))
    assert torch.equal(found[0].data, found[1].data)
    assert not torch.equal(found[0].data, found[2].data)
    # The file's operator has the mask that was drawn: nothing was measured where it is off.
    operator = found[2].operator()
    noiseless = operator(found[2].reference.to_batch(2))
    assert torch.equal(noiseless == 0, operator(torch.randn(2, 1, 16, 16)) == 0)


def test_reconstruct_with_a_trained_model(run, image, tmp_path):
    scan, out = tmp_path / "scan.h5", tmp_path / "out.nii.gz"
    assert main(["simulate", str(image), "--operator", str(run), "-o", str(scan)]) == 0
    assert main(["reconstruct", str(scan), "--run", str(run), "-o", str(out)]) == 0
    measurement, model = recon.read(scan), load_model(run)
    with torch.no_grad():
        expected = model(measurement.data, measurement.operator())
    assert torch.allclose(recon.read(out).data, expected[:, 0], atol=1e-6)


def test_reconstruct_bad_input(image, run, tmp_path, capsys):
    out = tmp_path / "out.nii.gz"
    assert "holds an image, not a measurement" in fails(["reconstruct", image, "--method", "fbp", "-o", out], capsys)
    assert "does not exist" in fails(["reconstruct", tmp_path / "no.h5", "--method", "fbp", "-o", out], capsys)
    scan = tmp_path / "scan.h5"
    assert main(["simulate", str(image), "--operator", "{use: downsample, factor: 2}", "-o", str(scan)]) == 0
    capsys.readouterr()
    assert "line integrals are needed (radon" in fails(["reconstruct", scan, "--method", "fbp", "-o", out], capsys)
    assert "no whole checkpoint" in fails(["reconstruct", scan, "--run", tmp_path, "-o", out], capsys)
    assert not out.exists()


def test_simulate_takes_the_pixel_from_the_image(tmp_path, capsys):
    def simulated(sizes, config):
        affine = np.diag([*sizes, 3.0, 1.0])
        recon.write(recon.Image(data=torch.ones(1, 12, 12), affine=affine), tmp_path / "image.nii")
        command = ["simulate", str(tmp_path / "image.nii"), "--operator", config, "-o", str(tmp_path / "scan.h5")]
        return command, tmp_path / "scan.h5"

    for config, expected in (("{use: radon, angles: 4}", 0.5), ("{use: radon, angles: 4, pixel: 2.0}", 2.0)):
        command, scan = simulated((0.5, 0.5), config)
        assert main(command) == 0
        measurement = recon.read(scan)
        assert measurement.operator().pixel == expected
        # Straight through the middle of twelve pixels of ones: a line integral in mm.
        assert float(measurement.data[0, 0, 0].max()) == pytest.approx(12 * expected, rel=1e-5)
    # Pixels that are not square are given as (height, width); view 0 looks along the columns.
    command, scan = simulated((0.5, 0.8), "{use: radon, angles: 4}")
    assert main(command) == 0
    assert tuple(recon.read(scan).operator().pixel) == (0.8, 0.5)
    assert float(recon.read(scan).data[0, 0, 0].max()) == pytest.approx(12 * 0.8, rel=1e-5)
    capsys.readouterr()


def test_simulate_bad_input(image, tmp_path, capsys):
    out = tmp_path / "out.h5"
    assert "does not exist" in fails(["simulate", image, "--operator", "none.yaml", "-o", out], capsys)
    assert "unknown operator 'radn'" in fails(["simulate", image, "--operator", "radn", "-o", out], capsys)
    assert "missing" in fails(["simulate", image, "--operator", "radon", "-o", out], capsys)
    assert not out.exists()
