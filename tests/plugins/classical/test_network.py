from __future__ import annotations

import pickle
from pathlib import Path

import pytest
import torch

import recon
from recon.engine.checkpoint import load_model
from recon.errors import CheckpointError
from recon.experiment import Experiment
from recon_plugins.classical import NetworkMethod

DENOISE = """
name: denoise
regime: operator
data: {train: {use: random_ellipses, size: [16, 16], count: 4}}
forward: {use: gaussian_noise, sigma: 0.1}
model: {use: dncnn, layers: 3, features: 4}
loss: mse
training: {steps: 2, batch_size: 2}
"""

UNDERSAMPLED = """
name: undersampled
regime: operator
data: {train: {use: random_ellipses, size: [16, 16], count: 4}}
forward: {use: fourier, mask: {acceleration: 2}}
model: {use: from_adjoint, model: {use: complex_channels, model: {use: dncnn, layers: 3, features: 4, channels: 2}}}
loss: mse
training: {steps: 2, batch_size: 2}
"""


def trained(folder: Path, text: str) -> Path:
    file = folder / "experiment.yaml"
    file.write_text(text)
    Experiment.load(file).trainer(folder / "run").fit()
    return folder / "run"


def test_applies_the_trained_model(tmp_path: Path) -> None:
    run = trained(tmp_path, DENOISE)
    method = recon.build("method", "network", run=str(run))
    operator = recon.build("operator", "gaussian_noise", sigma=0.1)
    y = torch.randn(2, 1, 9, 12, generator=torch.Generator().manual_seed(0))
    x = method(y, operator)
    with torch.no_grad():
        assert torch.equal(x, load_model(run)(y))
    assert not x.requires_grad
    assert torch.equal(method(y.double(), operator), x)
    data = pickle.dumps(method)
    assert len(data) < 1000
    assert torch.equal(pickle.loads(data)(y, operator), x)
    assert "run=" in repr(method)


def test_hands_the_operator_to_models_that_use_it(tmp_path: Path) -> None:
    run = trained(tmp_path, UNDERSAMPLED)
    operator = recon.build("operator", "fourier", mask={"acceleration": 2})
    y = operator(torch.randn(2, 1, 16, 12, generator=torch.Generator().manual_seed(0)))
    with torch.no_grad():
        expected = load_model(run, which="last")(y, operator)
    assert torch.equal(NetworkMethod(run=run, weights="last", output="magnitude")(y, operator), expected.abs())


def test_a_folder_without_a_run_is_refused_at_the_first_call(tmp_path: Path) -> None:
    method = NetworkMethod(run=tmp_path)
    with pytest.raises(CheckpointError, match="recon train"):
        method(torch.zeros(1, 1, 4, 4), recon.build("operator", "gaussian_noise", sigma=0.1))
