"""The trainer against loops written by hand, and what it promises about the device."""

import json

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from recon.engine import Callback, LossTerm, SamplingPlan, Trainer, TrainingPlan
from recon.engine.keys import BatchOrder, Keys, Purpose
from recon.errors import UsageError
from recon.interfaces import OperatorModel
from recon.operators import LinearOperator


def test_equals_a_loop_written_by_hand(images, noise):
    """Adam, accumulation, clipping and a schedule, in a few lines of plain torch."""
    torch.manual_seed(0)
    mine, theirs = nn.Conv2d(1, 1, 3, padding=1), nn.Conv2d(1, 1, 3, padding=1)
    theirs.load_state_dict(mine.state_dict())
    data = images(7)
    plan = {
        "steps": 9,
        "batch_size": 4,
        "accumulate": 2,
        "clip": 0.05,
        "optimizer": {"name": "adam", "lr": 0.01},
        "schedule": {"name": "step", "milestones": [5]},
        "device": "cpu",
    }
    Trainer(model=mine, train_data=data, loss=nn.MSELoss(), operator=noise(sigma=0.2), plan=plan, seed=4).fit()

    order, keys = BatchOrder(size=7, batch_size=4, seed=4), Keys(4, torch.device("cpu"))
    optimizer = torch.optim.Adam(theirs.parameters(), lr=0.01, fused=True)
    for step in range(9):
        optimizer.zero_grad()
        for micro in range(2):
            x = torch.stack([data[i]["image"] for i in order.indices(step)[2 * micro : 2 * micro + 2].tolist()])
            generator = keys.generator(Purpose.SIMULATE, step, micro)
            y = x + 0.2 * torch.randn(x.shape, generator=generator)
            (nn.functional.mse_loss(theirs(y), x) / 2).backward()
        nn.utils.clip_grad_norm_(theirs.parameters(), 0.05)
        optimizer.param_groups[0]["lr"] = 0.01 if step < 5 else 0.01 * 0.1
        optimizer.step()
    for a, b in zip(mine.parameters(), theirs.parameters(), strict=True):
        assert torch.equal(a, b)


class Readings(TorchDispatchMode):
    """Notes every operation through which the host would wait for a device."""

    WAITS = ("aten._local_scalar_dense", "aten.nonzero", "aten.equal", "aten.is_nonzero", "aten.masked_select")

    def __init__(self):
        super().__init__()
        self.found = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if str(func).startswith(self.WAITS):
            self.found.append(str(func))
        return func(*args, **(kwargs or {}))


class Scales(LinearOperator):
    """A random family: y = s x with a new s at every draw."""

    def __init__(self, *, scale=1.0):
        super().__init__()
        self.scale = scale

    def forward(self, x):
        return x * self.scale

    adjoint = forward

    def sample(self, generator):
        return self.with_(scale=torch.rand((), generator=generator) + 0.5)


class Unrolled(OperatorModel):
    """One gradient step with a learnt size."""

    def __init__(self):
        super().__init__()
        self.size = nn.Parameter(torch.tensor(0.1))

    def forward(self, y, operator):
        return operator.adjoint(y) * self.size


@pytest.mark.parametrize("plan", [{"precision": "fp32"}, {"precision": "bf16", "accumulate": 2}], ids=str)
def test_the_host_never_waits_between_log_points(trainer, noise, plan):
    class Count(Callback):
        """Counts what happens from after one log point to before the next."""

        def fit_start(self, trainer):
            self.mode = Readings()

        def step_start(self, trainer, step):
            self.mode.__enter__()

        def step_end(self, trainer, step):
            self.mode.__exit__(None, None, None)

    count = Count()
    operator = noise() @ Scales()
    plan = plan | {"log_every": 6, "validate_every": 6, "checkpoint_every": 6, "optimizer": "adamw"}
    losses = [nn.MSELoss(), LossTerm(nn.L1Loss(), 0.5)]
    trainer(None, plan, model=Unrolled(), operator=operator, loss=losses, callbacks=[count]).fit()
    assert count.mode.found == []
    with count.mode:
        torch.ones(1).item()
    assert count.mode.found != []  # the count counts


def test_only_overridden_callbacks_are_called(trainer):
    calls = []

    class Some(Callback):
        def step_end(self, trainer, step):
            calls.append(step)

    run = trainer(callbacks=[Some(), Callback()])
    run.fit()
    assert calls == list(range(1, 13))
    assert [len(getattr(run.hooks, n)) for n in ("fit_start", "step_start", "backward_end", "step_end", "log")] == [
        0, 0, 0, 1, 0,
    ]  # fmt: skip


def test_all_callbacks_come_in_order(trainer, tmp_path):
    calls = []

    def named(name):
        return lambda self, trainer, *_: calls.append(name)

    names = ("fit_start", "step_start", "backward_end", "step_end", "log", "checkpoint", "fit_end")
    every = type("Every", (Callback,), {name: named(name) for name in names})
    trainer(tmp_path, {"steps": 1, "schedule": "constant"}, callbacks=[every()]).fit()
    assert calls == [
        "fit_start", "step_start", "backward_end", "step_end", "log", "log", "checkpoint", "checkpoint", "fit_end",
    ]  # fmt: skip


def test_losses_of_one_class_are_logged_apart(trainer):
    run = trainer(loss=[nn.L1Loss(), LossTerm(nn.L1Loss(), 2.0), LossTerm(nn.MSELoss(), 0.0, "mse")])
    run.fit()
    record = next(r for r in run.records if "loss" in r)
    assert record["loss/l1loss"] == record["loss/l1loss_2"] > 0
    assert record["loss"] == pytest.approx(3 * record["loss/l1loss"])
    assert {"loss", "loss/l1loss", "loss/l1loss_2", "loss/mse"} <= set(record)


def test_logged_losses_are_means_over_the_window(trainer):
    seen = []

    class Watch(nn.Module):
        def forward(self, prediction, target):
            loss = (prediction - target).abs().mean()
            if self.training:
                seen.append(float(loss.detach()))
            return loss

    run = trainer(None, {"accumulate": 2, "log_every": 5}, loss=Watch(), validation_data=None)
    run.fit()
    assert [r["step"] for r in run.records] == [5, 10, 12]
    for record, (start, stop) in zip(run.records, [(0, 5), (5, 10), (10, 12)], strict=True):
        part = seen[2 * start : 2 * stop]
        assert record["loss"] == pytest.approx(sum(part) / len(part), rel=1e-6)


def test_run_folder_holds_everything(trainer, tmp_path):
    run = trainer(tmp_path)
    result = run.fit()
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert lines == run.records == result.records
    assert [r["step"] for r in lines if "validation/psnr" in r] == [4, 8, 12]
    environment = json.loads((tmp_path / "environment.json").read_text())
    assert environment["distributions"]["torch"] == torch.__version__
    assert environment["seed"] == 3
    assert isinstance(environment["plugins"], dict)
    assert len(list((tmp_path / "samples").glob("step-00000012-*.png"))) == 3
    report = (tmp_path / "report.html").read_text()
    assert report.count("<svg") >= 5
    assert "data:image/png;base64," in report
    assert "http" not in report.replace("http://www.w3.org", "")  # self-contained


def test_best_weights_are_kept_by_the_first_metric(trainer, tmp_path):
    run = trainer(tmp_path)
    result = run.fit()
    best = max((r["validation/psnr"], -r["step"]) for r in run.records if "validation/psnr" in r)
    assert (result.best.value, -result.best.step) == best
    assert [p.name for p in (tmp_path / "checkpoints").glob("best-*")] == [f"best-{result.best.step:08d}"]
    assert len(list((tmp_path / "checkpoints").glob("step-*"))) == 2


def test_without_metrics_the_loss_decides(trainer):
    run = trainer(metrics={})
    best = run.fit().best
    assert best.metric == "loss"
    assert best.value == min(r["validation/loss"] for r in run.records if "validation/loss" in r)


def test_validation_sees_the_same_noise_every_time(trainer):
    frozen = nn.Sequential(nn.Conv2d(1, 1, 1))
    run = trainer(None, {"optimizer": {"name": "sgd", "lr": 1e-30}, "ema": None}, model=frozen)
    run.fit()
    values = {r["validation/psnr"] for r in run.records if "validation/psnr" in r}
    assert len(values) == 1


def test_averaged_weights_are_validated_and_training_goes_on_with_the_others(trainer, tmp_path):
    run = trainer(tmp_path)
    run.fit()
    live = {name: value.clone() for name, value in run.model.state_dict().items()}
    averaged = run.ema.state_dict()
    assert not torch.equal(live["0.weight"], averaged["0.weight"])
    assert all(torch.equal(value, run.model.state_dict()[name]) for name, value in live.items())
    run.model.load_state_dict(averaged)
    assert run.records[-1]["validation/psnr"] == pytest.approx(
        run.validator.run(run.make_network(run.model.eval())).means["psnr"]
    )


def test_dropout_differs_between_steps_and_not_between_runs(trainer, model):
    a, b, c = trainer(model=model()), trainer(model=model()), trainer(model=model(), seed=4)
    for run in (a, b, c):
        torch.manual_seed(torch.seed() % 2**31)  # what others drew before does not matter
        run.fit()
    assert [r.get("loss") for r in a.records] == [r.get("loss") for r in b.records]
    assert [r.get("loss") for r in a.records] != [r.get("loss") for r in c.records]


def test_bf16_runs_the_network_in_16_bits_and_the_loss_in_32(trainer):
    seen = {}

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(1, 1, 3, padding=1)

        def forward(self, y):
            x = self.conv(y)
            seen["inside"] = x.dtype
            return x

    class Loss(nn.Module):
        def forward(self, prediction, target):
            seen["loss"] = prediction.dtype
            seen["autocast"] = torch.is_autocast_enabled("cpu")
            return (prediction - target).square().mean()

    run = trainer(None, {"precision": "bf16"}, model=Net(), loss=Loss())
    run.fit()
    assert seen == {"inside": torch.bfloat16, "loss": torch.float32, "autocast": False}
    assert run.trained[0].dtype == torch.float32


def test_fp16_scales_the_loss(trainer, tmp_path):
    run = trainer(tmp_path, {"precision": "fp16"}, model=nn.Conv2d(1, 1, 3, padding=1))
    run.fit()
    assert run.scaler.get_scale() >= 1
    assert (
        trainer(tmp_path, {"precision": "fp16", "steps": 14}, model=nn.Conv2d(1, 1, 3, padding=1)).fit(resume=True).step
        == 14
    )


def test_losses_get_what_they_name(trainer, noise):
    class Odd(nn.Module):
        def forward(self, model, measurement, operator, generator):
            assert isinstance(generator, torch.Generator)
            return (model(measurement, operator) - operator(measurement)).square().mean()

    trainer(loss=Odd()).fit()


def test_measurements_regime_has_no_target(trainer, noise):
    class Data:
        def __len__(self):
            return 4

        def __getitem__(self, index):
            y = torch.rand(1, 6, 6, generator=torch.Generator().manual_seed(index))
            return {"measurement": y, "image": torch.full((1, 6, 6), float("nan"))}

    class Consistency(nn.Module):
        def forward(self, prediction, measurement, operator):
            return (operator(prediction) - measurement).square().mean()

    shared = {"train_data": Data(), "validation_data": None, "regime": "measurements", "sampling": None}
    run = trainer(loss=Consistency(), **shared)
    run.fit()
    assert all(torch.isfinite(torch.tensor(r["loss"])) for r in run.records)
    with pytest.raises(UsageError, match="regime 'measurements' has none"):
        trainer(loss=nn.MSELoss(), **shared)


def test_pairs_need_no_operator(trainer):
    class Pairs:
        def __len__(self):
            return 4

        def __getitem__(self, index):
            x = torch.rand(1, 6, 6, generator=torch.Generator().manual_seed(index))
            return {"image": x, "measurement": x + 1}

    trainer(train_data=Pairs(), validation_data=Pairs(), regime="pairs", operator=None, sampling=None).fit()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"operator": None}, "needs a forward operator"),
        ({"regime": "pears"}, "unknown regime 'pears'; one of pairs, operator, measurements"),
        ({"loss": []}, "no loss"),
        ({"validation_data": []}, "validation set is empty"),
        ({"train_data": []}, "training set is empty"),
    ],
)
def test_what_cannot_work_is_refused(trainer, changes, message):
    with pytest.raises(UsageError, match=message):
        trainer(**changes).fit()


def test_a_loss_that_asks_for_too_much(trainer):
    class Strange(nn.Module):
        def forward(self, prediction, target, weather):
            return prediction.sum()

    with pytest.raises(UsageError, match="asks for weather; the engine can hand it: prediction"):
        trainer(loss=Strange())


def test_a_loss_that_is_no_scalar(trainer):
    with pytest.raises(UsageError, match="a loss must return a scalar"):
        trainer(loss=nn.MSELoss(reduction="none")).fit()


def test_the_plan_is_checked():
    with pytest.raises(ValueError, match="not a multiple of accumulate 3"):
        TrainingPlan(steps=5, batch_size=4, accumulate=3)
    with pytest.raises(ValueError, match="milestones or every"):
        TrainingPlan(steps=5, batch_size=4, schedule={"name": "step"})
    with pytest.raises(ValueError, match="leaves no steps"):
        TrainingPlan(steps=5, batch_size=4, schedule={"name": "cosine", "warmup": 5})
    with pytest.raises(ValueError, match="stepz"):
        TrainingPlan(steps=5, batch_size=4, stepz=3)


def test_drop_last_is_honoured(trainer, images):
    run = trainer(train_data=images(5), sampling=SamplingPlan(drop_last=True))
    result = run.fit()
    assert result.step == 12  # an epoch is one batch of four; nothing is skipped
    assert run.records[-1]["step"] == 12
    assert next(r for r in result.records if "epoch" in r)["epoch"] == 5


def test_parts_keep_their_mode_over_a_validation(trainer, model):
    """A frozen part of the model or of a loss that was put into evaluation mode stays there."""
    seen = []

    class Perceptual(nn.Module):
        def __init__(self):
            super().__init__()
            self.features = nn.Sequential(nn.Dropout(0.5)).eval()

        def forward(self, prediction, target):
            seen.append((self.training, self.features[0].training))
            return (prediction - target).square().mean()

    class Frozen(Callback):
        def step_start(self, trainer, step):
            if step == 0:
                trainer.model[1].eval()

        def step_end(self, trainer, step):
            modes.append((trainer.model.training, trainer.model[1].training))

    modes = []
    trainer(None, {"validate_every": 4}, loss=Perceptual(), callbacks=[Frozen()]).fit()
    assert seen[:4] == [(True, False)] * 4
    assert seen[4:7] == [(False, False)] * 3
    assert seen[7:11] == [(True, False)] * 4
    assert modes == [(True, False)] * 12
