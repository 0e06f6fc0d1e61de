"""Whatever goes wrong, on any road to it, is one line that tells the fix, and an exit code that scripts can rely on."""

import dataclasses
import errno

import pytest
import torch
from PIL.Image import Image as Pillow
from pydicom import dcmread

import recon
from recon.cli import bench, main
from recon.engine.checkpoint import CheckpointStore
from recon.engine.report import write_report
from recon.errors import CheckpointError, is_out_of_memory
from recon.experiment import ForwardModel
from recon.experiment.source import Source
from recon_datasets.dicom_series import write_slices

DENOISER = """\
name: denoiser
regime: operator
data: {train: {use: random_ellipses, size: [16, 16], count: 4}}
forward: {use: gaussian_noise, sigma: 0.1}
model: {use: dncnn, layers: 2, features: 2}
loss: mse
training: {steps: 2, batch_size: 2, log_every: 1, device: cpu}
"""


def complaint(arguments, capsys, code=2):
    """Run a command that must fail, and return its one line."""
    assert main([str(word) for word in arguments]) == code
    error = capsys.readouterr().err
    assert error.startswith("recon: ")
    assert error.count("\n") == 1
    return error


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "denoiser.yaml"
    path.write_text(DENOISER)
    return path


@pytest.fixture
def run(file, tmp_path, capsys):
    assert main(["train", str(file), "--run", str(tmp_path / "run")]) == 0
    capsys.readouterr()
    return tmp_path / "run"


@pytest.fixture
def image(tmp_path):
    recon.write(recon.Image(data=torch.rand(2, 16, 16, generator=torch.Generator().manual_seed(0))), tmp_path / "x.nii")
    return tmp_path / "x.nii"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["inof", "x.nii"], "unknown verb 'inof'; did you mean 'info'?"),
        (["--nothing"], "unrecognized arguments: --nothing; see recon --help"),
        (["info"], "required: path; see recon info --help"),
        (["view", "x.nii", "-o", "x.png", "--window", "3"], "there is no window '3'"),
        (["bench", "model", "dncnn", "--shape", "1,a"], "'a' is not a whole number above 0"),
        (["bench", "model", "dncnn", "--repeat", "0"], "'0' is not a whole number above 0"),
        (["bench", "model", "dncnn", "--device", "gpu"], "unknown device 'gpu'"),
        (["bench", "model", "dncnn", "--shape", "1,8"], "does not take a float32 tensor of shape (1, 1, 8)"),
    ],
)
def test_usage(arguments, message, capsys):
    assert message in complaint(arguments, capsys)


def test_a_folder_that_is_no_run_folder(tmp_path, capsys):
    assert "is not a run folder: it holds no resolved.yaml" in complaint(["train", tmp_path], capsys)


def test_a_run_folder_that_cannot_be_made(file, capsys):
    assert f"{file}: File exists" in complaint(["train", file, "--run", file], capsys)


def test_a_full_disk_is_a_failed_run(monkeypatch, capsys):
    def full(arguments):
        raise OSError(errno.ENOSPC, "No space left on device", "/data/x")

    monkeypatch.setattr(bench, "run", full)
    assert "/data/x: No space left on device" in complaint(["bench", "operator", "radon"], capsys, code=1)


def test_what_cannot_be_written_is_called_by_its_own_name(image, tmp_path, monkeypatch, capsys):
    def refuse(self, temporary, **options):
        raise PermissionError(errno.EACCES, "Permission denied", str(temporary))

    monkeypatch.setattr(Pillow, "save", refuse)
    target = tmp_path / "x.png"
    assert f"recon: {target}: Permission denied" in complaint(["view", image, "-o", target], capsys)
    assert sorted(tmp_path.iterdir()) == [image]


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"),
        OSError(errno.ENOMEM, "Cannot allocate memory"),
    ],
)
def test_out_of_memory_in_any_verb(error, monkeypatch, capsys):
    def full(arguments):
        raise error

    monkeypatch.setattr(bench, "run", full)
    assert "use smaller images, a smaller batch" in complaint(["bench", "operator", "radon"], capsys, code=1)


def test_other_errors_are_not_lack_of_memory():
    assert not is_out_of_memory(RuntimeError("shapes differ"))
    assert not is_out_of_memory(ValueError("out of memory"))


def test_a_missing_section_is_named(file, capsys):
    file.write_text(DENOISER.replace("loss: mse\n", ""))
    assert "denoiser.yaml: loss: missing" in complaint(["train", file], capsys)


def test_an_override_of_an_unknown_section_is_named():
    source = Source("name: x\n", "x.yaml", ["trainig.steps=3"])
    assert source.where(("trainig",)) == "--set trainig.steps=3"
    assert source.where(("training",)) == "x.yaml"
    assert source.where(("name",)) == "x.yaml:1"


def test_forward_models(tmp_path):
    (tmp_path / "picture.png").write_bytes(b"\x89PNG\xff")
    for text, message in (
        (str(tmp_path / "picture.png"), "is not a YAML file"),
        ("{use: radon", "{use: radon: not valid YAML: expected ',' or '}', but got '<stream end>'"),
    ):
        with pytest.raises(recon.ReconError) as caught:
            ForwardModel.load(text)
        assert str(caught.value).endswith(message) or message in str(caught.value)
        assert "\n" not in str(caught.value)


def test_a_denoiser_needs_no_operator(image, run, tmp_path, capsys):
    scan, out = tmp_path / "scan.h5", tmp_path / "out.nii"
    assert main(["simulate", str(image), "--operator", str(run), "-o", str(scan)]) == 0
    assert main(["reconstruct", str(scan), "--run", str(run), "-o", str(out)]) == 0
    assert recon.read(out).shape == (2, 16, 16)
    assert "does not tell its operator" in complaint(["reconstruct", scan, "--method", "adjoint", "-o", out], capsys)


def test_a_model_that_needs_the_operator_says_so(image, file, tmp_path, capsys):
    file.write_text(
        DENOISER.replace("{use: dncnn, layers", "{use: from_adjoint, model: {use: dncnn, layers")
        .replace("features: 2}", "features: 2}}")
        .replace("{use: gaussian_noise, sigma: 0.1}", "[{use: downsample, factor: 2}, {use: upsample, factor: 2}]")
    )
    run, scan = tmp_path / "run", tmp_path / "scan.h5"
    assert main(["train", str(file), "--run", str(run)]) == 0
    assert main(["simulate", str(image), "--operator", str(run), "-o", str(scan)]) == 0
    arguments = ["reconstruct", scan, "--run", run, "-o", tmp_path / "out.nii"]
    assert main([str(word) for word in arguments]) == 0  # the file tells its chain of operators
    recon.write(dataclasses.replace(recon.read(scan), operator_config=None), scan)
    capsys.readouterr()
    assert "name it (--operator)" in complaint(arguments, capsys)
    # The same words as for recon simulate name it.
    assert main([*map(str, arguments), "--operator", str(run)]) == 0
    assert recon.read(tmp_path / "out.nii").shape == (2, 16, 16)


def test_measurements_that_do_not_fit_the_network(image, run, tmp_path, capsys):
    scan, out = tmp_path / "scan.h5", tmp_path / "out.nii"
    assert main(["simulate", str(image), "--operator", "fourier", "-o", str(scan)]) == 0
    capsys.readouterr()
    error = complaint(["reconstruct", scan, "--run", run, "-o", out], capsys)
    assert "does not take a complex64 tensor of shape (1, 1, 16, 16)" in error
    assert not out.exists()


@pytest.mark.parametrize(("name", "message"), [("x.foo", "no writer for"), ("no/x.nii", "make it first")])
def test_the_output_is_checked_before_the_work(name, message, tmp_path, capsys):
    # The input does not even exist: the name of the output is what is looked at first.
    arguments = ["reconstruct", tmp_path / "none.h5", "--method", "adjoint", "-o", tmp_path / name]
    assert message in complaint(arguments, capsys)
    arguments = ["simulate", tmp_path / "none.nii", "--operator", "fourier", "-o", tmp_path / name]
    assert message in complaint(arguments, capsys)


def test_damaged_checkpoints_are_not_missing_ones(run):
    for path in (run / "checkpoints").glob("*/manifest.json"):
        path.write_text("{")
    with pytest.raises(CheckpointError, match="all are damaged, train in another run folder"):
        CheckpointStore(run / "checkpoints").weights()
    with pytest.raises(CheckpointError, match="train the run first"):
        CheckpointStore(run / "nothing").weights()


def test_a_slice_cut_off_in_its_header_is_damaged(tmp_path, capsys):
    write_slices(tmp_path / "series", torch.zeros(1, 4, 4, dtype=torch.int32).numpy(), spacing=(1.0, 1.0))
    path = next((tmp_path / "series").iterdir())
    header = dcmread(path)
    del header.PhotometricInterpretation
    header.save_as(path)
    assert "RECON-DICOM-DAMAGED" in complaint(["info", path], capsys)


def test_small_samples_are_legible_in_the_report(run):
    # 16 pixels of a phantom are not shown as 16 pixels of the screen.
    assert "width: 100%; max-width: 48rem" in write_report(run).read_text()
