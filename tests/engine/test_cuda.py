"""What only a CUDA device can show. Run with -m cuda."""

import pytest
import torch
from torch import nn

from recon.engine import Callback, SamplingPlan

pytestmark = [pytest.mark.cuda, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")]


class NoWaiting(Callback):
    """Has CUDA raise an error when the host waits for the device between two log points."""

    def step_start(self, trainer, step):
        torch.cuda.set_sync_debug_mode("error")

    def step_end(self, trainer, step):
        torch.cuda.set_sync_debug_mode("default")


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
@pytest.mark.parametrize("source", ["resident", "streamed"])
def test_the_host_never_waits_between_log_points(trainer, precision, source):
    sampling = SamplingPlan(crop=(8, 8), augment="dihedral", source=source, workers=1)
    plan = {"device": "cuda", "precision": precision, "optimizer": "adamw", "log_every": 6}
    model = nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 1, 3, padding=1))
    trainer(None, plan, model=model, sampling=sampling, callbacks=[NoWaiting()]).fit()


def test_sources_agree_on_the_device(trainer):
    found = []
    for source in ("resident", "streamed"):
        sampling = SamplingPlan(crop=(8, 8), augment="dihedral", source=source, workers=1)
        run = trainer(None, {"device": "cuda"}, sampling=sampling)
        run.fit()
        found.append([batch["image"].cpu() for batch in run.source.stream(0, 4, [0])])
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))


def test_resume_goes_on(trainer, tmp_path):
    trainer(tmp_path, {"device": "cuda", "precision": "fp16"}).fit()
    assert trainer(tmp_path, {"device": "cuda", "precision": "fp16", "steps": 14}).fit(resume=True).step == 14
