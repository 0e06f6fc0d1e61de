"""The shipped experiments of learned MRI train for a few steps, small; what they feed their networks is fastMRI's."""

import pytest
import torch

import recon
from recon.experiment import Experiment
from recon_datasets.fastmri import write_synthetic

PLAN = ["steps=3", "log_every=1", "validate_every=3", "device=cpu", "schedule=constant", "batch_size=2"]
SMALL_MODL = ["model.iterations=2", "model.cg_iterations=4", "model.model.model.features=4"]
SMALL_VARNET = ["num_cascades=2", "chans=2", "pools=2", "sens_chans=2", "sens_pools=2"]


def run(name, folder, *overrides):
    overrides = [*(f"training.{item}" for item in PLAN), *overrides]
    trainer = Experiment.load(name, overrides=overrides).trainer(folder / "run")
    before = {key: value.clone() for key, value in trainer.model.state_dict().items()}
    result = trainer.fit()
    losses = [record["loss"] for record in result.records if "loss" in record]
    assert len(losses) == 3
    after = trainer.model.state_dict()
    changed = sum(not torch.equal(after[key], value) for key, value in before.items())
    assert changed >= len(before) / 2
    assert result.best is not None
    return trainer, losses


def write_files(folder, coils, **params):
    """Write volumes of two widths to train on, one to validate."""
    overrides = ["data.workers=0"]
    for part, shapes in {"train": ((48, 40), (48, 44)), "validation": ((48, 40),)}.items():
        (folder / part).mkdir()
        for number, shape in enumerate(shapes):
            write_synthetic(folder / part / f"{number}.h5", coils=coils, shape=shape, size=(32, 32), slices=3, **params)
        overrides.append(f"data.{part}.root={folder / part}")
    return overrides


@pytest.mark.parametrize("name", ["modl", "ssdu"])
def test_multicoil_experiments(name, tmp_path):
    data = [f"data.{part}={{use: sample, modality: mri, split: {part}, size: 32}}" for part in ("train", "validation")]
    trainer, losses = run(name, tmp_path, *data, *SMALL_MODL)
    assert all(0 < loss < 5 for loss in losses)
    batch = trainer.source.batch(0, 0)
    if name == "ssdu":
        assert batch.keys() == {"measurement"}
        assert batch["measurement"].shape == (2, 8, 32, 32)


def test_ssdu_draws_another_split_at_every_step(tmp_path):
    data = [f"data.{part}={{use: sample, modality: mri, split: {part}, size: 32}}" for part in ("train", "validation")]
    overrides = [*(f"training.{item}" for item in PLAN), *data, *SMALL_MODL]
    runs = []
    for _ in range(2):
        trainer = Experiment.load("ssdu", overrides=overrides).trainer()
        seen = []
        trainer.model.register_forward_pre_hook(lambda module, inputs, seen=seen: seen.append(inputs[0][:, :1] != 0))
        trainer.fit()
        runs.append([mask for mask in seen if len(mask) == 2])
    assert len(runs[0]) == 3
    assert not torch.equal(runs[0][0], runs[0][1])
    assert not torch.equal(runs[0][0][0], runs[0][0][1])  # of the two items
    assert all(torch.equal(a, b) for a, b in zip(*runs, strict=True))


def test_ssdu_on_undersampled_files_estimates_sensitivities(tmp_path):
    mask = torch.zeros(40, dtype=torch.bool)
    mask[::3] = mask[12:28] = True
    for part in ("train", "validation"):
        (tmp_path / part).mkdir()
        write_synthetic(tmp_path / part / "a.h5", coils=3, shape=(48, 40), size=(32, 32), mask=mask, reference=False)
    roots = [
        f"data.{part}={{use: fastmri, root: {tmp_path / part}, scale: 1.0e+4}}" for part in ("train", "validation")
    ]
    maps = "{use: low_resolution_maps}"
    overrides = [
        "data.simulate=false",
        "data.workers=0",
        "forward=fourier",
        f"loss.0.maps={maps}",
        f"model.maps={maps}",
    ]
    _, losses = run("ssdu", tmp_path, *roots, *overrides, *SMALL_MODL)
    assert all(0 < loss < 5 for loss in losses)


def test_varnet_on_fastmri_files(tmp_path):
    overrides = write_files(tmp_path, 3)
    small = [f"model.{item}" for item in SMALL_VARNET]
    trainer, losses = run("varnet_fastmri", tmp_path, *overrides, *small, "training.batch_size=1")
    assert all(0 < loss < 1 for loss in losses)  # 1 - SSIM in the volume's range
    sample = trainer.validator.sample(0)
    assert sample.target.shape == (1, 1, 32, 32)
    with torch.no_grad():
        assert trainer.model(sample.measurement, sample.operator).shape == (1, 1, 48, 40)
    item = trainer.validation_data[0]
    volume = torch.stack([trainer.validation_data[index]["target"] for index in range(3)])
    torch.testing.assert_close(sample.maximum[0], volume.max())
    assert item["target"].max() <= sample.maximum[0]
    accelerations = {round(trainer.validator.sample(index).operator.acceleration((48, 40))) for index in range(3)}
    assert accelerations <= set(range(2, 12))


def test_modl_on_fastmri_files_as_its_comment_says(tmp_path):
    roots = write_files(tmp_path, 4)
    data = [
        f"data.{part}={{use: fastmri, root: {tmp_path / part}, form: coils, scale: 1.0e+4}}"
        for part in ("train", "validation")
    ]
    overrides = [
        "data.source=streamed",
        "data.augment=none",
        "model.maps={use: low_resolution_maps}",
        "model.output=magnitude",
        "forward={use: fourier, mask: {kind: fastmri_random, acceleration: 4, center_fraction: 0.2}, resample: true}",
        "training.batch_size=1",
    ]
    _, losses = run("modl", tmp_path, roots[0], *data, *overrides, *SMALL_MODL)
    assert all(0 < loss < 50 for loss in losses)


@pytest.mark.parametrize("name", ["unet_fastmri", "algoperf_fastmri"])
def test_unets_on_fastmri_files(name, tmp_path):
    overrides = write_files(tmp_path, None)
    unet = ["model.crop=[32, 32]", "model.model.model.chans=2", "training.optimizer.lr=1e-4"]
    batch = ["training.batch_size=1"] if name == "unet_fastmri" else []
    trainer, losses = run(name, tmp_path, *overrides, *unet, *batch)
    # In deviations of the zero-filled image: an untrained network's error is about one.
    assert all(0.2 < loss < 5 for loss in losses)
    sample = trainer.validator.sample(0)
    metric = recon.build("metric", "fastmri_ssim")
    with torch.no_grad():
        x = trainer.model(sample.measurement, sample.operator)
    # The raw target, in the volume's range.
    torch.testing.assert_close(sample.target[0], trainer.validation_data[0]["target"])
    assert float(metric(x, sample.target, sample.maximum)) != float(metric(x, sample.target))


def test_recipes_are_the_published_ones():
    """What the files say of length, batch, optimiser and schedule."""
    unet = Experiment.load("unet_fastmri").spec.training
    assert unet.steps == 50 * 34742
    assert unet.schedule.milestones == (40 * 34742,)
    assert (unet.optimizer.name, unet.optimizer.lr, unet.schedule.gamma) == ("rmsprop", 1e-3, 0.1)
    algoperf = Experiment.load("algoperf_fastmri").spec
    assert (algoperf.training.steps, algoperf.training.batch_size) == (18094, 32)
    varnet = Experiment.load("varnet_fastmri")
    assert (varnet.spec.training.optimizer.name, varnet.spec.training.optimizer.lr) == ("adam", 3e-4)
    with torch.device("meta"):
        count = sum(p.numel() for p in varnet.build_model().parameters())
    assert count == 29_936_966
    modl = Experiment.load("modl").build_model()
    assert f"{sum(p.numel() for p in modl.parameters()):,} parameters" in Experiment.load("modl").source.text
