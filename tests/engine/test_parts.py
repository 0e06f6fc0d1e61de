"""Schedules, optimisers, averages, checkpoints, progress and reports, each by itself."""

import json
import math

import pytest
import torch
from torch import nn

from recon.engine.checkpoint import CheckpointStore, load_tensors, load_weights, tensor_bytes, verify
from recon.engine.distributed import World
from recon.engine.ema import Ema
from recon.engine.log import MetricsLog, read_metrics
from recon.engine.optim import learning_rate, make_optimizer
from recon.engine.pictures import strip
from recon.engine.plans import OptimizerPlan, SchedulePlan
from recon.engine.progress import Progress
from recon.engine.report import curve
from recon.engine.validation import Picture
from recon.engine.window import LossWindow
from recon.errors import CheckpointError, ParameterError, UsageError

CPU = torch.device("cpu")


def rates(steps, **plan):
    return [learning_rate(SchedulePlan(**plan), 0.5, steps, step) for step in range(steps)]


def test_schedules():
    assert rates(4) == [0.5] * 4
    assert rates(4, warmup=2) == [0.25, 0.5, 0.5, 0.5]
    assert rates(6, name="step", milestones=(2, 5), gamma=0.5) == [0.5, 0.5, 0.25, 0.25, 0.25, 0.125]
    assert rates(6, name="step", every=2, gamma=0.5) == [0.5, 0.5, 0.25, 0.25, 0.125, 0.125]
    cosine = rates(12, name="cosine", warmup=2, floor=0.1)
    expected = [0.5 * (0.1 + 0.9 * 0.5 * (1 + math.cos(math.pi * (t - 2) / 10))) for t in range(2, 12)]
    assert cosine == pytest.approx([0.25, 0.5, *expected])
    assert learning_rate(SchedulePlan(name="cosine", floor=0.1), 0.5, 10, 10) == pytest.approx(0.05)
    line = rates(12, name="linear", warmup=2, floor=0.1)
    assert line == pytest.approx([0.25, 0.5, *(0.5 * (1 - 0.09 * step) for step in range(10))])
    assert learning_rate(SchedulePlan(name="linear", floor=0.1), 0.5, 10, 10) == pytest.approx(0.05)


@pytest.mark.parametrize(
    ("plan", "reference"),
    [
        ({"name": "adamw", "weight_decay": 0.1}, lambda p: torch.optim.AdamW(p, lr=1e-2, weight_decay=0.1)),
        ({"name": "adam", "betas": (0.5, 0.9)}, lambda p: torch.optim.Adam(p, lr=1e-2, betas=(0.5, 0.9))),
        ({"name": "sgd", "momentum": 0.9}, lambda p: torch.optim.SGD(p, lr=1e-2, momentum=0.9)),
        (
            {"name": "sgd", "momentum": 0.9, "nesterov": True},
            lambda p: torch.optim.SGD(p, lr=1e-2, momentum=0.9, nesterov=True),
        ),
        ({"name": "rmsprop", "momentum": 0.9}, lambda p: torch.optim.RMSprop(p, lr=1e-2, momentum=0.9)),
    ],
    ids=lambda value: value.get("name") if isinstance(value, dict) else "",
)
def test_optimisers_are_torchs(plan, reference):
    mine, theirs = nn.Parameter(torch.ones(3)), nn.Parameter(torch.ones(3))
    optimizer, other = make_optimizer(OptimizerPlan(lr=1e-2, **plan), [mine]), reference([theirs])
    for _ in range(5):
        for parameter, step in ((mine, optimizer), (theirs, other)):
            parameter.grad = 2 * parameter.detach()
            step.step()
    assert torch.allclose(mine, theirs, rtol=1e-6)


def test_settings_that_an_optimiser_lacks_are_refused():
    with pytest.raises(ParameterError, match="betas: sgd has no betas; it takes: lr, weight_decay, momentum"):
        make_optimizer(OptimizerPlan(name="sgd", betas=(0.9, 0.99)), [nn.Parameter(torch.ones(1))])


def test_average_follows_its_formula():
    model = nn.Linear(1, 1, bias=False)
    ema, expected = Ema(model, 0.9), model.weight.item()
    for n in range(40):
        with torch.no_grad():
            model.weight.add_(1.0)
        ema.update()
        decay = min(0.9, (1 + n) / (10 + n))
        expected += (1 - decay) * (model.weight.item() - expected)
    assert float(ema.average[0]) == pytest.approx(expected, rel=1e-5)
    live = model.weight.item()
    with ema.applied():
        assert model.weight.item() == pytest.approx(expected, rel=1e-5)
    assert model.weight.item() == live


def test_tensors_survive_whatever_their_kind(tmp_path):
    base = torch.arange(6.0).reshape(2, 3)
    tensors = {
        "complex": torch.tensor([1 + 2j]).conj(),
        "transposed": base.T,
        "a": base,
        "b": base,  # shared memory
        "half": base.half(),
        "count": torch.tensor(3),
    }
    path = tmp_path / "t.safetensors"
    path.write_bytes(tensor_bytes(tensors))
    found = load_tensors(path)
    assert found.keys() == tensors.keys()
    for name, value in tensors.items():
        assert torch.equal(found[name], value)
        assert found[name].dtype == value.dtype


def test_checkpoints_that_are_not_whole(tmp_path):
    store = CheckpointStore(tmp_path / "c")
    assert store.newest("step") is None
    folder = store.write("step", 1, {"a": b"data"})
    assert verify(folder)["step"] == 1
    (folder / "a").write_bytes(b"Data")
    with pytest.raises(CheckpointError, match="a is not as it was written"):
        verify(folder)
    (folder / "a").unlink()
    with pytest.raises(CheckpointError, match="a is missing"):
        verify(folder)
    (folder / "manifest.json").write_text("{")
    with pytest.raises(CheckpointError, match=r"manifest\.json is not readable"):
        verify(folder)
    (folder / "manifest.json").unlink()
    with pytest.raises(CheckpointError, match="no manifest"):
        verify(folder)


def test_means_leave_out_steps_that_were_skipped():
    window = LossWindow(["loss", "gradient_norm"], 1, 4, CPU)
    for step, norm in enumerate([float("inf"), 2.0, float("nan"), 4.0]):
        window.put(step, 0, torch.tensor(1.0 + step), first=True)
        window.put(step, 1, torch.tensor(norm), first=True)
    rows = window.read(4, World(0, 1, CPU))
    assert rows.dtype == torch.float64
    assert window.first_bad(rows, 4) is None
    assert window.means(rows, accumulate=2) == {"loss": 1.25, "gradient_norm": 1.5}


def test_two_checkpoints_and_one_best_are_kept(tmp_path):
    store = CheckpointStore(tmp_path)
    for step in range(1, 6):
        store.write("step", step, {"a": b""})
        store.write("best", step, {"a": b""})
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["best-00000005", "step-00000004", "step-00000005"]


def test_checkpoints_of_later_steps_go(tmp_path):
    store = CheckpointStore(tmp_path)
    for step in (10, 20, 30):
        store.write("step", step, {"a": b"a"})
    store.write("best", 30, {"a": b"a"})
    (tmp_path / "step-00000030" / "a").write_bytes(b"damaged")
    assert store.newest("step") == tmp_path / "step-00000020"  # what a run goes on from
    store.write("step", 25, {"a": b"a"})
    store.write("best", 25, {"a": b"a"})
    assert sorted(p.name for p in tmp_path.iterdir()) == ["best-00000025", "step-00000020", "step-00000025"]


def test_weights_of_another_network_are_explained(tmp_path):
    path = tmp_path / "w.safetensors"
    path.write_bytes(tensor_bytes({"weight": torch.zeros(2, 2), "extra": torch.zeros(1)}))
    with pytest.raises(CheckpointError) as error:
        load_weights(nn.Linear(2, 3), path)
    for words in ("weight is (2, 2) in the file and (3, 2)", "not in the file, such as bias", "such as extra"):
        assert words in str(error.value)
    path.write_bytes(b"rubbish")
    with pytest.raises(CheckpointError, match="is damaged"):
        load_weights(nn.Linear(2, 3), path)
    with pytest.raises(CheckpointError, match="does not exist"):
        load_tensors(tmp_path / "none")


def test_metrics_are_rewound_and_survive_a_cut_line(tmp_path):
    path = tmp_path / "m.jsonl"
    log = MetricsLog(path)
    for step in (1, 2, 3):
        log.add({"step": step, "loss": 0.5})
    with path.open("a") as stream:
        stream.write('{"step": 4, "lo')
    assert [record["step"] for record in read_metrics(path)] == [1, 2, 3]
    again = MetricsLog(path)
    again.rewind(2)
    assert [json.loads(line)["step"] for line in path.read_text().splitlines()] == [1, 2]


def test_tensorboard_gets_the_numbers(tmp_path):
    pytest.importorskip("tensorboard", reason="tensorboard is not installed")
    log = MetricsLog(None, tensorboard=tmp_path)
    log.add({"step": 1, "loss": 0.5})
    log.close()
    assert next(tmp_path.glob("events.*")).stat().st_size > 0


def test_shares_of_the_processes():
    worlds = [World(rank, 2, CPU) for rank in range(2)]
    assert [list(world.micros(4)) for world in worlds] == [[0, 1], [2, 3]]
    with pytest.raises(UsageError, match="multiple of the 2 processes: set it to 4"):
        worlds[0].micros(3)


def test_progress_is_quiet_without_a_terminal_and_shows_one_line_with_it(capsys):
    with Progress(0, 5, batch_size=2) as bar:
        bar.step(1)
    assert capsys.readouterr().err == ""
    with Progress(0, 5, batch_size=2, enabled=True) as bar:
        bar.note("loss 0.5")
        bar.step(3)
    assert "loss 0.5" in capsys.readouterr().err


def test_curves():
    drawn = curve([(0, 1.0), (10, 100.0), (20, float("nan"))], "loss <a>")
    assert "loss &lt;a&gt; (log)" in drawn
    assert drawn.count("<polyline") == 1
    assert "nan" not in drawn
    assert "no finite values" in curve([(0, float("nan"))], "x")
    assert "(log)" not in curve([(0, -1.0), (1, 100.0)], "x")


def test_pictures_of_all_kinds():
    gray, colour = torch.rand(1, 5, 6), torch.rand(3, 5, 6)
    assert strip(Picture(gray, gray, gray)).shape == (5, 26, 3)
    assert strip(Picture(None, colour, colour)).shape == (5, 16, 3)
    volume = torch.rand(2, 4, 5, 6, dtype=torch.complex64)
    assert strip(Picture(torch.rand(1, 3, 3), volume, None)).shape == (5, 13, 3)
