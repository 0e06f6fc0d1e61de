"""A resumed run is bit-equal to an uninterrupted one."""

import signal

import pytest
import torch

from recon.engine import Callback, SamplingPlan
from recon.engine.checkpoint import load_tensors, read_state
from recon.errors import CheckpointError, UsageError


def files(run, step):
    folder = run / "checkpoints" / f"step-{step:08d}"
    return load_tensors(folder / "model.safetensors"), load_tensors(folder / "ema.safetensors"), folder / "state.pt"


def history(trainer):
    return [{k: v for k, v in record.items() if k != "seconds"} for record in trainer.records]


def assert_same(a, b, step):
    for mine, other in zip(files(a, step)[:2], files(b, step)[:2], strict=True):
        assert mine.keys() == other.keys()
        for name in mine:
            assert torch.equal(mine[name], other[name]), name
    mine, other = read_state(files(a, step)[2]), read_state(files(b, step)[2])
    assert mine["best"] == other["best"]
    assert mine["ema_updates"] == other["ema_updates"]
    assert torch.equal(mine["window"], other["window"])
    for p, q in zip(mine["optimizer"].values(), other["optimizer"].values(), strict=True):
        assert all(torch.equal(torch.as_tensor(p[name]), torch.as_tensor(q[name])) for name in p)


class Stop(Callback):
    """Sends a signal at the end of a step."""

    def __init__(self, step, number=signal.SIGINT):
        self.at, self.number = step, number

    def step_end(self, trainer, step):
        if step == self.at:
            signal.raise_signal(self.number)


@pytest.mark.parametrize("stop", [3, 4, 7, 11])
@pytest.mark.parametrize("accumulate", [1, 2])
def test_interrupted_at_any_step(trainer, tmp_path, stop, accumulate):
    plan = {"accumulate": accumulate}
    whole = trainer(tmp_path / "a", plan)
    whole.fit()
    with pytest.raises(KeyboardInterrupt, match=f"after step {stop}: checkpoint .*--resume"):
        trainer(tmp_path / "b", plan, callbacks=[Stop(stop)]).fit()
    resumed = trainer(tmp_path / "b", plan)
    result = resumed.fit(resume=True)
    assert result.step == 12
    assert history(resumed) == history(whole)
    assert result.best == whole.best
    assert_same(tmp_path / "a", tmp_path / "b", 12)


def test_killed_between_checkpoints(trainer, tmp_path):
    class Crash(Callback):
        def step_end(self, trainer, step):
            if step == 7:
                raise RuntimeError("power cut")

    trainer(tmp_path / "a").fit()
    with pytest.raises(RuntimeError, match="power cut"):
        trainer(tmp_path / "b", callbacks=[Crash()]).fit()
    resumed = trainer(tmp_path / "b")
    resumed.fit(resume=True)
    assert_same(tmp_path / "a", tmp_path / "b", 12)


def test_streamed_data_resume_alike(trainer, tmp_path):
    sampling = SamplingPlan(crop=(8, 8), augment="dihedral", source="streamed", workers=2)
    trainer(tmp_path / "a").fit()
    with pytest.raises(KeyboardInterrupt):
        trainer(tmp_path / "b", sampling=sampling, callbacks=[Stop(5)]).fit()
    trainer(tmp_path / "b", sampling=sampling).fit(resume=True)
    assert_same(tmp_path / "a", tmp_path / "b", 12)


def test_a_finished_run_goes_on_with_more_steps(trainer, tmp_path):
    constant = {"schedule": "constant"}
    trainer(tmp_path / "a", constant | {"steps": 20}).fit()
    trainer(tmp_path / "b", constant).fit()
    longer = trainer(tmp_path / "b", constant | {"steps": 20})
    assert longer.fit(resume=True).step == 20
    assert_same(tmp_path / "a", tmp_path / "b", 20)


def test_a_finished_run_that_is_resumed_stays_as_it_is(trainer, tmp_path):
    first = trainer(tmp_path / "a")
    first.fit()
    again = trainer(tmp_path / "a")
    assert again.fit(resume=True).step == 12
    assert history(again) == history(first)


def test_sigterm_leaves_with_143(trainer, tmp_path, caplog):
    with pytest.raises(SystemExit) as leaving:
        trainer(tmp_path, callbacks=[Stop(3, signal.SIGTERM)]).fit()
    assert leaving.value.code == 143
    assert "after step 3" in caplog.text
    assert (tmp_path / "checkpoints" / "step-00000003" / "manifest.json").exists()


def test_signal_handlers_are_given_back(trainer):
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    trainer().fit()
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


def test_a_used_run_folder_is_not_overwritten(trainer, tmp_path):
    trainer(tmp_path).fit()
    with pytest.raises(UsageError, match="already in use: pass --resume"):
        trainer(tmp_path).fit()
    with pytest.raises(UsageError, match="no run to resume"):
        trainer(tmp_path / "other").fit(resume=True)


def test_a_damaged_checkpoint_is_passed_over(trainer, tmp_path, caplog):
    trainer(tmp_path / "a").fit()
    trainer(tmp_path / "b").fit()
    newest = tmp_path / "b" / "checkpoints" / "step-00000012" / "state.pt"
    data = bytearray(newest.read_bytes())
    data[len(data) // 2] ^= 1
    newest.write_bytes(data)
    assert trainer(tmp_path / "b").fit(resume=True).step == 12
    lines = [record.getMessage() for record in caplog.records if "passed over" in record.getMessage()]
    assert len(lines) == 1
    assert "state.pt is not as it was written" in lines[0]
    assert_same(tmp_path / "a", tmp_path / "b", 12)


def test_when_all_checkpoints_are_damaged(trainer, tmp_path):
    trainer(tmp_path).fit()
    for path in (tmp_path / "checkpoints").glob("step-*/model.safetensors"):
        path.write_bytes(b"rubbish")
    with pytest.raises(CheckpointError, match=r"all checkpoints .* are damaged"):
        trainer(tmp_path).fit(resume=True)


def test_another_model_is_explained(trainer, tmp_path):
    trainer(tmp_path).fit()
    other = torch.nn.Sequential(torch.nn.Conv2d(1, 5, 3, padding=1))
    with pytest.raises(CheckpointError, match=r"0.weight is \(4, 1, 3, 3\) in the file and \(5, 1, 3, 3\)"):
        trainer(tmp_path, model=other).fit(resume=True)


def test_another_optimiser_is_explained(trainer, tmp_path):
    trainer(tmp_path).fit()
    with pytest.raises(CheckpointError, match="written with optimiser adamw, not sgd"):
        trainer(tmp_path, {"optimizer": {"name": "sgd", "momentum": 0.9}, "steps": 20}).fit(resume=True)
