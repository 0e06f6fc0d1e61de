"""NaN losses, full memory, unusable devices: one clear line, nothing bad kept."""

import json

import pytest
import torch
from torch import nn

from recon.engine import Callback
from recon.engine.checkpoint import load_tensors, verify
from recon.errors import NonFiniteError, OutOfMemoryError, UsageError


class Breaks(nn.Module):
    """Mean squared error that is NaN on batches with a marked item."""

    def __init__(self, marks):
        super().__init__()
        self.marks, self.calls = marks, 0

    def forward(self, prediction, target):
        loss = (prediction - target).square().mean()
        if self.training:
            self.calls += 1
            if self.calls in self.marks:
                loss = loss * self.marks[self.calls]
        return loss


@pytest.mark.parametrize("accumulate", [1, 2])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_bad_loss_stops_at_the_next_log_point(trainer, tmp_path, accumulate, value):
    loss = Breaks({7 * accumulate: value})  # the seventh step is step 6
    broken = trainer(tmp_path, {"accumulate": accumulate, "checkpoint_every": 3}, loss=loss, validation_data=None)
    word = "NaN" if value != value else "infinite"
    with pytest.raises(NonFiniteError, match=f"loss 'breaks' became {word} at step 6; .*lower training.optimizer.lr"):
        broken.fit()
    kept = sorted(path.name for path in (tmp_path / "checkpoints").iterdir())
    assert kept == ["step-00000003", "step-00000006"]
    for name in kept:
        verify(tmp_path / "checkpoints" / name)
        for tensor in load_tensors(tmp_path / "checkpoints" / name / "model.safetensors").values():
            assert tensor.isfinite().all()


def test_no_checkpoint_is_written_after_a_bad_step(trainer, tmp_path):
    # Step 8 is a checkpoint, step 10 the next log point: the loss of step 6 must be found at the former.
    broken = trainer(tmp_path, {"checkpoint_every": 4, "log_every": 10}, loss=Breaks({7: float("nan")}))
    with pytest.raises(NonFiniteError, match="step 6"):
        broken.fit()
    assert sorted(p.name for p in (tmp_path / "checkpoints").glob("step-*")) == ["step-00000004"]


def test_the_batch_that_did_it_is_saved(trainer, tmp_path):
    seen = {}

    class Watch(nn.Module):
        def forward(self, prediction, target, measurement):
            loss = (prediction - target).square().mean()
            if self.training and target.shape[0] == 2:
                seen.setdefault("x", []).append(target.clone())
                seen.setdefault("y", []).append(measurement.clone())
                if len(seen["x"]) == 6:
                    return loss * float("nan")
            return loss

    with pytest.raises(NonFiniteError, match=r"its batch is in .*step-00000002\.safetensors"):
        trainer(tmp_path, {"accumulate": 2}, loss=Watch(), validation_data=None).fit()
    batch = load_tensors(tmp_path / "nonfinite" / "step-00000002.safetensors")
    assert torch.equal(batch["image"], torch.cat(seen["x"][4:6]))
    assert torch.equal(batch["measurement"], torch.cat(seen["y"][4:6]))


def test_weights_are_checked_before_they_are_kept(trainer, tmp_path):
    class Poison(Callback):
        def backward_end(self, trainer, step):
            if step == 3:
                trainer.trained[0].grad.fill_(float("nan"))

    broken = trainer(tmp_path, {"clip": None, "validate_every": 100}, callbacks=[Poison()])
    with pytest.raises(NonFiniteError, match="a weight became NaN or infinite at step 3"):
        broken.fit()
    assert not list((tmp_path / "checkpoints").glob("step-*"))


def test_a_bad_run_can_be_resumed_from_its_last_good_checkpoint(trainer, tmp_path):
    with pytest.raises(NonFiniteError):
        trainer(tmp_path, loss=Breaks({7: float("nan")})).fit()
    assert trainer(tmp_path, loss=Breaks({})).fit(resume=True).step == 12


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:119] . DefaultCPUAllocator: can't allocate memory: you tried ..."),
        MemoryError(),
    ],
)
def test_out_of_memory_tells_the_fix(trainer, tmp_path, error):
    class Full(nn.Module):
        def forward(self, prediction, target):
            raise error

    message = (
        "out of memory at step 0 with micro-batches of 2: raise training.accumulate .now 2., which keeps the batch"
    )
    with pytest.raises(OutOfMemoryError, match=message):
        trainer(tmp_path, {"accumulate": 2}, loss=Full()).fit()


def test_a_real_lack_of_memory_is_recognised(trainer):
    class Huge(nn.Module):
        def forward(self, prediction, target):
            return torch.empty(2**52).sum() + prediction.sum()

    with pytest.raises(OutOfMemoryError, match=r"raise training\.accumulate"):
        trainer(loss=Huge()).fit()


def test_other_errors_pass_unchanged(trainer):
    class Wrong(nn.Module):
        def forward(self, prediction, target):
            raise RuntimeError("shapes do not fit")

    with pytest.raises(RuntimeError, match="shapes do not fit"):
        trainer(loss=Wrong()).fit()


@pytest.mark.parametrize("device", ["cuda:99", "gpu", "meta"])
def test_unusable_devices(trainer, device):
    with pytest.raises(UsageError, match="device"):
        trainer(None, {"device": device}).fit()


def test_a_crash_while_writing_leaves_no_checkpoint(trainer, tmp_path, monkeypatch):
    def fails(path, data):
        with path.open("wb") as stream:
            stream.write(data[: len(data) // 2])
        raise OSError("No space left on device")

    run = trainer(tmp_path, {"log_every": 100})
    monkeypatch.setattr("pathlib.Path.write_bytes", fails)
    with pytest.raises(OSError, match="No space left"):
        run.fit()
    assert list((tmp_path / "checkpoints").iterdir()) == []


def test_manifest_tells_what_the_checkpoint_is(trainer, tmp_path):
    trainer(tmp_path).fit()
    folder = tmp_path / "checkpoints" / "step-00000012"
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["step"] == 12
    assert manifest["format"] == 1
    assert set(manifest["sha256"]) == {"model.safetensors", "ema.safetensors", "state.pt"}


def test_nothing_to_train(trainer):
    with pytest.raises(UsageError, match="no trainable parameters"):
        trainer(model=nn.ReLU()).fit()
