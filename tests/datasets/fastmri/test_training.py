"""Training on fastMRI files whose widths differ."""

import pytest
import torch
from torch import nn

import recon
from recon.cli import main
from recon.engine import Trainer
from recon.engine.plans import SamplingPlan
from recon.errors import UsageError
from recon.interfaces import OperatorModel
from recon.kspace import crop_centred, root_sum_of_squares
from recon_datasets.fastmri import FastMRI, write_synthetic

MASK = {"kind": "fastmri_random", "acceleration": 2, "center_fraction": 0.2}


@pytest.fixture
def mixed(tmp_path):
    """Five files of two coil counts, three widths, two sizes of the reference."""
    kinds = [((32, 24), 3, (20, 20)), ((32, 30), 3, (20, 20)), ((32, 24), 3, (20, 20)), ((32, 30), 4, (20, 20)),
             ((36, 26), 3, (24, 22))]  # fmt: skip
    (tmp_path / "multicoil_train").mkdir()
    for number, (shape, coils, size) in enumerate(kinds):
        path = tmp_path / "multicoil_train" / f"file{number}.h5"
        write_synthetic(path, slices=2, coils=coils, shape=shape, size=size, seed=number)
    return tmp_path / "multicoil_train"


class Scaled(OperatorModel):
    """A weight times the middle of the root sum of squares of the zero-filled images, which the reference shows."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(()))
        self.seen = []

    def forward(self, y, operator):
        if self.training:
            self.seen.append(tuple(y.shape))
        size = {24: (20, 20), 30: (20, 20), 26: (24, 22)}[y.shape[-1]]
        return self.weight * root_sum_of_squares(crop_centred(operator.adjoint(y), size))


@pytest.mark.parametrize("workers", [0, 2])
def test_coil_images_of_mixed_widths_train_in_buckets(mixed, workers):
    def train(sampling):
        model = Scaled()
        trainer = Trainer(
            model=model,
            train_data=FastMRI(root=mixed, form="coils", scale=1e4),
            validation_data=FastMRI(root=mixed, form="coils", scale=1e4),
            loss=nn.L1Loss(),
            metrics=[recon.build("metric", "fastmri_nmse")],
            plan={"steps": 10, "batch_size": 2, "log_every": 5, "validate_every": 10, "device": "cpu"},
            regime="operator",
            operator=recon.build("operator", "fourier", mask=MASK, resample=True),
            sampling=sampling,
        )
        trainer.fit()
        return model

    model = train(SamplingPlan(bucket=True, workers=workers))
    assert set(model.seen) == {(2, 3, 32, 24), (2, 3, 32, 30), (2, 4, 32, 30), (2, 3, 36, 26)}
    assert model.weight.item() != 1
    if not workers:
        with pytest.raises(UsageError, match=r"set data\.crop or data\.bucket"):
            train(SamplingPlan(source="streamed", workers=0))


def test_kspace_of_mixed_widths_trains_with_the_items_own_masks(mixed):
    """Supervised, with the operator of each item: what a variational network takes."""
    model = Scaled()
    trainer = Trainer(
        model=model,
        train_data=FastMRI(root=mixed, mask=MASK, scale=1e4),
        loss=nn.L1Loss(),
        plan={"steps": 10, "batch_size": 2, "device": "cpu"},
        regime="pairs",
        operator=recon.build("operator", "fourier"),
        sampling=SamplingPlan(bucket=True, workers=0),
    )
    trainer.fit()
    assert len(set(model.seen)) == 4


def test_an_experiment_file_says_it_in_one_line(mixed, tmp_path):
    (tmp_path / "buckets.yaml").write_text(
        f"""
name: buckets
regime: pairs
data:
  train: {{use: fastmri, root: {mixed}, form: unet, mask: {MASK}}}
  bucket: true
  workers: 0
model: {{use: unet, chans: 2, num_pool_layers: 1}}
loss: l1
training: {{steps: 4, batch_size: 3, device: cpu}}
"""
    )
    assert main(["train", str(tmp_path / "buckets.yaml"), "--run", str(tmp_path / "run")]) == 0
