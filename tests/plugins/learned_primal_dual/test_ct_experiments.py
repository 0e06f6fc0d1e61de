"""The shipped experiments of learned tomography train for a few steps, small."""

import pytest
import torch

from recon.experiment import Experiment

SMALL = {
    "fbpconvnet_sparse_view": ["model.model.model.features=2"],
    "unet_low_dose": ["model.model.model.model.chans=2", "forward.0.angles=24"],
    "learned_primal_dual": ["model.iterations=2", "model.features=4"],
}


@pytest.mark.parametrize("name", SMALL)
def test_a_few_steps(name, tmp_path):
    data = [f"data.{part}={{use: sample, modality: ct, split: {part}, size: 32}}" for part in ("train", "validation")]
    plan = ["steps=3", "log_every=1", "validate_every=3", "schedule=constant", "device=cpu", "batch_size=2"]
    overrides = [*data, *SMALL[name], "forward.0.pixel=12", *(f"training.{item}" for item in plan)]
    trainer = Experiment.load(name, overrides=overrides).trainer(tmp_path / "run")
    before = {key: value.clone() for key, value in trainer.model.state_dict().items()}
    result = trainer.fit()
    losses = [record["loss"] for record in result.records if "loss" in record]
    assert len(losses) == 3
    # In units of water's attenuation: an untrained network is within a few times of it.
    assert all(0 < loss < 50 for loss in losses)
    after = trainer.model.state_dict()
    changed = [key for key, value in before.items() if not torch.equal(after[key], value)]
    assert len(changed) > len(before) / 2
