"""Real processes: two under torchrun do what one does, and signals end a run as they should."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from recon.engine.checkpoint import CheckpointStore, load_tensors
from recon.engine.log import read_metrics

JOB = Path(__file__).with_name("job.py")


def start(run, *, processes=1, **options):
    launcher = []
    if processes > 1:
        launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [sys.executable, *launcher, str(JOB), str(run), json.dumps(options)],
        capture_output=True,
        text=True,
        timeout=300,
        env=environment,
        check=False,
    )


def weights(run, name="model"):
    return load_tensors(CheckpointStore(run / "checkpoints").newest("step") / f"{name}.safetensors")


def history(run):
    return [{k: v for k, v in record.items() if k != "seconds"} for record in read_metrics(run / "metrics.jsonl")]


def assert_ended(found, code):
    assert found.returncode == code, found.stderr
    assert "Traceback" not in found.stderr


@pytest.mark.slow
def test_interrupt_in_a_real_process(tmp_path):
    found = start(tmp_path, signal=[5, "SIGINT", 0])
    assert_ended(found, 130)
    assert found.stderr.count("\n") == 1
    assert "interrupted after step 5" in found.stderr
    assert (tmp_path / "checkpoints" / "step-00000005" / "manifest.json").exists()
    assert not list(tmp_path.rglob(".*"))  # nothing half-written


@pytest.mark.slow
def test_sigterm_in_a_real_process(tmp_path):
    found = start(tmp_path, signal=[6, "SIGTERM", 0])
    assert_ended(found, 143)
    assert "interrupted after step 6" in found.stderr


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_to_the_group_of_a_run_with_workers(tmp_path, number, code):
    """A terminal's Ctrl-C and a cluster's SIGTERM reach the workers of the data loader as well."""
    options = {"plan": {"steps": 1_000_000, "validate_every": 1_000_000}, "workers": 2}
    process = subprocess.Popen(
        [sys.executable, str(JOB), str(tmp_path), json.dumps(options)],
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    deadline = time.monotonic() + 120
    while len(read_metrics(tmp_path / "metrics.jsonl")) < 2 and time.monotonic() < deadline:
        time.sleep(0.05)
    os.killpg(process.pid, number)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == code, errors
    assert "interrupted after step" in errors
    assert errors.count("\n") == 1


@pytest.mark.slow
def test_two_processes_equal_one(tmp_path):
    plan = {"accumulate": 2}
    assert_ended(start(tmp_path / "one", plan=plan), 0)
    assert_ended(start(tmp_path / "two", processes=2, plan=plan), 0)
    for name in ("model", "ema"):
        one, two = weights(tmp_path / "one", name), weights(tmp_path / "two", name)
        assert all(torch.equal(one[key], two[key]) for key in one)
    assert history(tmp_path / "one") == history(tmp_path / "two")


@pytest.mark.slow
def test_two_processes_accumulate(tmp_path):
    plan = {"accumulate": 4, "steps": 6}
    assert_ended(start(tmp_path / "one", plan=plan), 0)
    assert_ended(start(tmp_path / "two", processes=2, plan=plan), 0)
    one, two = weights(tmp_path / "one"), weights(tmp_path / "two")
    # (a + b) + (c + d) against ((a + b) + c) + d
    assert all(torch.allclose(one[key], two[key], rtol=1e-5, atol=1e-7) for key in one)


@pytest.mark.slow
def test_batch_norm_in_two_processes(tmp_path):
    plan = {"accumulate": 2, "steps": 3, "schedule": "constant", "validate_every": 100, "checkpoint_every": 100}
    assert_ended(start(tmp_path / "one", plan=plan, batch_norm=True), 0)
    assert_ended(start(tmp_path / "two", processes=2, plan=plan, batch_norm=True), 0)
    one, two = weights(tmp_path / "one"), weights(tmp_path / "two")
    for key in one:
        if "running" not in key and "tracked" not in key:  # averaged over processes, not gathered one after the other
            assert torch.equal(one[key], two[key]), key


@pytest.mark.slow
@pytest.mark.parametrize("rank", [0, 1])
def test_a_nan_in_either_process_stops_both(tmp_path, rank):
    found = start(tmp_path, processes=2, plan={"accumulate": 2}, nan=[rank, 7])
    assert found.returncode == 1
    assert "became NaN at step 6" in found.stderr
    assert (tmp_path / "nonfinite" / "step-00000006.safetensors").exists()
    assert sorted(p.name for p in (tmp_path / "checkpoints").glob("step-*")) == ["step-00000004"]
    assert load_tensors(tmp_path / "nonfinite" / "step-00000006.safetensors")["image"].shape[0] == 4


@pytest.mark.slow
@pytest.mark.parametrize("rank", [0, 1])
def test_a_signal_to_either_process_stops_both_at_a_log_point(tmp_path, rank):
    plan = {"accumulate": 2, "log_every": 3}
    stopped = start(tmp_path / "two", processes=2, plan=plan, signal=[5, "SIGTERM", rank])
    assert stopped.returncode != 0
    assert "interrupted after step 6" in stopped.stderr
    assert_ended(start(tmp_path / "two", processes=2, plan=plan, resume=True), 0)
    assert_ended(start(tmp_path / "one", plan=plan), 0)
    one, two = weights(tmp_path / "one"), weights(tmp_path / "two")
    assert all(torch.equal(one[key], two[key]) for key in one)


@pytest.mark.slow
def test_accumulate_must_fit_the_processes(tmp_path):
    found = start(tmp_path, processes=2)
    assert found.returncode != 0
    assert "training.accumulate 1 must be a multiple of the 2 processes: set it to 2" in found.stderr
