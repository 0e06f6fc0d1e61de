"""Experiment files: what they mean, and how every mistake is reported."""

from pathlib import Path

import pytest
import torch
import yaml

from recon.errors import ExperimentError, FileFormatError, UsageError
from recon.experiment import Experiment, ForwardModel
from recon.experiment.experiment import SHIPPED, shipped
from recon.experiment.source import Source
from recon_datasets.fastmri import write_synthetic

TEXT = """\
name: small
regime: operator
data:
  train: {use: random_ellipses, size: [16, 16], count: 6}
  validation: {use: random_ellipses, size: [16, 16], count: 2, seed: 1}
forward:
  - {use: downsample, factor: 2}
  - {use: gaussian_noise, sigma: 1e-2}
model:
  use: from_adjoint
  model: {use: dncnn, layers: 2, features: 4}
loss:
  - mse
  - {loss: {use: l1}, weight: 0.5}
metrics: [psnr, psnr, {use: ssim, variant: uniform7}]
training:
  steps: 2
  batch_size: 2
  device: cpu
"""


@pytest.fixture
def load(tmp_path):
    def loader(text=TEXT, **options):
        path = tmp_path / "e.yaml"
        path.write_text(text)
        return Experiment.load(path, **options)

    return loader


def problem(load, text=TEXT, **options):
    with pytest.raises(ExperimentError) as error:
        load(text, **options)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_a_file_becomes_a_trainer(load, tmp_path):
    experiment = load()
    trainer = experiment.trainer(tmp_path / "run")
    result = trainer.fit()
    assert result.step == 2
    assert [term.name for term in trainer.losses.terms] == ["mse", "l1"]
    assert list(trainer.metrics) == ["psnr", "psnr_2", "ssim"]


def test_operators_act_in_the_order_of_the_file_and_take_the_size_of_the_image(load):
    operator = load().build_operator((16, 20))
    assert [type(part).__name__ for part in operator.operators] == ["GaussianNoise", "Downsample"]
    y = operator(torch.rand(1, 1, 16, 20), generator=torch.Generator())
    assert y.shape == (1, 1, 8, 10)
    chain = ForwardModel([{"use": "downsample", "factor": 2}, {"use": "upsample", "factor": 2}])
    assert chain.sized
    assert chain.build((12, 8))(torch.rand(1, 1, 12, 8)).shape == (1, 1, 12, 8)


def test_numbers_like_1e_3_are_numbers(load):
    assert load().resolved["forward"][1]["sigma"] == 0.01


def test_the_model_is_initialised_by_the_seed_alone(load):
    experiment = load()
    torch.manual_seed(1)
    first = experiment.build_model().state_dict()
    torch.manual_seed(2)
    second = experiment.build_model().state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)
    other = load(overrides=["seed=5"]).build_model().state_dict()
    assert not all(torch.equal(first[name], other[name]) for name in first)


@pytest.mark.parametrize(
    ("old", "new", "line", "words"),
    [
        ("regime: operator", "regime: operatr", 2, ["regime: ", "'pairs', 'operator' or 'measurements'"]),
        ("steps: 2", "stepz: 2", 17, ["training.stepz: unknown key; did you mean 'steps'?"]),
        ("steps: 2", "steps: 0", 17, ["training.steps: ", "greater than 0, got 0"]),
        ("steps: 2", "steps: many", 17, ["training.steps: ", "got 'many'"]),
        ("loss:\n  - mse\n", "losss:\n  - mse\n", 12, ["losss: unknown key; did you mean 'loss'?"]),
        ("use: dncnn", "use: dncn", 11, ["model.model.use: ", "unknown model 'dncn'; did you mean 'dncnn'?"]),
        ("layers: 2", "layerz: 2", 11, ["model.model.layerz: ", "unknown parameter; did you mean 'layers'?"]),
        ("layers: 2", "layers: 1", 11, ["model.model.layers: ", "greater than or equal to 2, got 1"]),
        ("factor: 2", "factor: two", 7, ["forward.0.factor: operator 'downsample': ", "got 'two'"]),
        ("use: gaussian_noise", "use: gausian_noise", 8, ["forward.1.use: ", "did you mean 'gaussian_noise'?"]),
        ("- mse", "- mze", 13, ["loss.0: unknown loss 'mze'; did you mean 'mse'?"]),
        ("weight: 0.5", "wait: 0.5", 14, ["loss.1.wait: unknown key; did you mean 'weight'?"]),
        ("use: l1", "used: l1", 14, ["loss.1.loss: ", "a component is given as a name or as {use: name"]),
        ("variant: uniform7", "variant: u7", 15, ["metrics.2.variant: ", "got 'u7'"]),
        ("count: 6", "cont: 6", 4, ["data.train.cont: ", "did you mean 'count'?"]),
        ("name: small", "name: 'a/b'", 1, ["name: "]),
        ("  batch_size: 2\n", "", 16, ["training.batch_size: missing"]),
        ("batch_size: 2", "batch_size: 3\n  accumulate: 2", 16, ["not a multiple of accumulate 2"]),
    ],
)
def test_mistakes_name_file_line_and_field(load, old, new, line, words):
    assert old in TEXT
    text = problem(load, TEXT.replace(old, new, 1))
    assert f"e.yaml:{line}: " in text
    for word in words:
        assert word in text


def test_all_mistakes_are_reported_at_once(load):
    text = problem(load, TEXT.replace("layers: 2", "layers: 1").replace("factor: 2", "faktor: 2"))
    assert "model.model.layers" in text
    assert "forward.0.faktor" in text


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "an experiment is a mapping"),
        ("- a", "an experiment is a mapping"),
        ("name: [", "e.yaml:1: not valid YAML"),
        ("name: a\nname: b", "e.yaml:2: name: stands twice"),
        ("model: {use: a, use: b}", "e.yaml:1: model.use: stands twice"),
        ("name: !!python/object/apply:os.system ['true']", "plain values only"),
        ("\tname: a", "e.yaml:1: not valid YAML"),
    ],
)
def test_what_is_no_experiment_file(load, text, words):
    assert words in problem(load, text)


def test_overrides_win_and_are_typed(load):
    overrides = ["training.steps=7", "model.model.layers=3", "loss.1.weight=2", "data.crop=[8, 8]"]
    overrides.append("training.clip=1e-1")
    spec = load(overrides=overrides).spec
    assert (spec.training.steps, spec.model["model"]["layers"], spec.loss[1].weight) == (7, 3, 2.0)
    assert (spec.data.crop, spec.training.clip) == ((8, 8), 0.1)


def test_an_override_may_give_a_parameter_to_a_bare_name(load):
    assert load(overrides=["loss.0.use=l1"]).spec.loss[0].loss == {"use": "l1"}
    assert load(overrides=["model=dncnn", "model.layers=4"]).resolved["model"]["layers"] == 4


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("training.stepz=3", "--set training.stepz=3: training.stepz: unknown key; did you mean 'steps'?"),
        ("training.steps=-3", "--set training.steps=-3: training.steps: "),
        ("training.steps", "write --set section.key=value"),
        ("=3", "write --set section.key=value"),
        ("training.steps.x=3", "training.steps is 2, which has no parts"),
        ("loss.7.weight=3", "loss is a list of 2"),
        ("training.steps=[", "not valid YAML"),
        ("model.use=dncn", "--set model.use=dncn: model.use: unknown model 'dncn'"),
    ],
)
def test_a_wrong_override_is_named(load, override, words):
    assert words in problem(load, overrides=[override])


def test_nothing_in_a_file_is_evaluated(load):
    text = problem(load, TEXT.replace("use: dncnn", "use: torch.nn:Conv2d"))
    assert "unknown model 'torch.nn:Conv2d'" in text


def test_relative_paths_start_from_the_file(load, tmp_path, monkeypatch):
    (tmp_path / "pictures").mkdir()
    monkeypatch.chdir("/")
    text = TEXT.replace("{use: random_ellipses, size: [16, 16], count: 6}", "{use: image_folder, root: pictures}")
    assert load(text).resolved["data"]["train"]["root"] == str(tmp_path / "pictures")


def test_missing_files_are_reported_with_their_line(load):
    text = TEXT.replace("{use: random_ellipses, size: [16, 16], count: 6}", "{use: image_folder, root: nowhere}")
    experiment = load(text)
    with pytest.raises(FileFormatError, match=r"e\.yaml:4: data\.train: .*nowhere"):
        experiment.trainer()


def test_the_resolved_experiment_is_complete_and_repeats_the_run(load, tmp_path):
    experiment = load(overrides=["training.steps=3"])
    experiment.trainer(tmp_path / "run").fit()
    resolved = yaml.safe_load((tmp_path / "run" / "resolved.yaml").read_text())
    assert resolved["model"]["use"] == "adapters/from_adjoint"
    assert resolved["model"]["model"]["bn_eps"] == 1e-4  # defaults are written out
    assert resolved["training"]["steps"] == 3
    assert set(resolved["distributions"]) == {"recon-toolkit", "torch"}
    again = Experiment.load(tmp_path / "run")
    assert again.fingerprint == experiment.fingerprint
    assert again.resolved == experiment.resolved
    given = (tmp_path / "run" / "experiment.yaml").read_text()
    assert given.startswith(TEXT)
    assert "# --set training.steps=3" in given


def test_the_fingerprint_covers_what_the_weights_depend_on(load):
    base = load().fingerprint
    for same in ("training.steps=9", "name=other", "data.workers=0", "training.log_every=3"):
        assert load(overrides=[same]).fingerprint == base
    for changed in ("seed=1", "model.model.layers=3", "data.train.count=5", "loss.1.weight=2", "forward.1.sigma=0.2"):
        assert load(overrides=[changed]).fingerprint != base


def test_another_experiment_is_not_resumed(load, tmp_path):
    load().trainer(tmp_path / "run").fit()
    before = {path: path.read_bytes() for path in (tmp_path / "run").iterdir() if path.is_file()}
    other = load(overrides=["forward.1.sigma=0.2", "training.steps=4"])
    with pytest.raises(Exception, match="belongs to another experiment"):
        other.trainer(tmp_path / "run").fit(resume=True)
    for name in ("experiment.yaml", "resolved.yaml", "environment.json", "metrics.jsonl"):
        assert (tmp_path / "run" / name).read_bytes() == before[tmp_path / "run" / name]


def test_unknown_experiments(tmp_path):
    with pytest.raises(FileFormatError, match="did you mean 'dncnn'"):
        Experiment.load("dncn")
    with pytest.raises(FileFormatError, match=r"is not a run folder: it holds no resolved\.yaml"):
        Experiment.load(tmp_path)
    (tmp_path / "bytes.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(FileFormatError, match="not readable text"):
        Experiment.load(tmp_path / "bytes.yaml")


def test_measurements_simulated_once_stay_the_same(load):
    experiment = load(overrides=["data.simulate=true", "regime=pairs"])
    first, again = (experiment.build_dataset("train")[3]["measurement"] for _ in range(2))
    assert torch.equal(first, again)
    assert not torch.equal(first, experiment.build_dataset("train")[4]["measurement"])
    assert first.shape == (1, 8, 8)


def test_modcrop_cuts_validation_images(load):
    text = TEXT.replace("size: [16, 16], count: 2", "size: [17, 19], count: 2") + ""
    dataset = load(text, overrides=["data.modcrop=4"]).build_dataset("validation")
    assert dataset[0]["image"].shape == (1, 16, 16)


def test_a_source_finds_lines_through_anchors():
    source = Source("a: &x {b: 1}\nc: *x\n", "f.yaml")
    assert source.where(("a", "b")) == "f.yaml:1"
    assert source.where(("c",)) == "f.yaml:2"


def load_shipped(name, folder, *overrides):
    """Load a shipped experiment; one on fastMRI's files gets files that are made for it."""
    if name.endswith("fastmri"):
        coils = 3 if name == "varnet_fastmri" else None
        for part, shapes in {"train": ((64, 52), (64, 56)), "val": ((64, 60),)}.items():
            (folder / part).mkdir()
            for shape in shapes:
                write_synthetic(folder / part / f"{shape[1]}.h5", coils=coils, shape=shape, size=(40, 40))
            overrides = (*overrides, f"data.{'validation' if part == 'val' else part}.root={folder / part}")
        if coils is None:
            overrides = (*overrides, "model.crop=[40, 40]")
    return Experiment.load(name, overrides=overrides)


@pytest.mark.parametrize("name", shipped())
def test_shipped_experiments_are_valid_and_explained(name, tmp_path):
    experiment = load_shipped(name, tmp_path)
    assert experiment.name == name
    text = (SHIPPED / f"{name}.yaml").read_text()
    assert text.startswith("# ")
    if not name.startswith("demo"):
        assert f"recon train {name}" in text
    assert experiment.build_dataset("validation")[0]


def test_relative_paths_start_from_the_file_or_for_shipped_ones_from_the_working_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    override = "data.train={use: image_folder, root: pictures}"
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "e.yaml").write_text(TEXT)
    for name, folder in (("dncnn", tmp_path), ("sub/e.yaml", tmp_path / "sub")):
        experiment = Experiment.load(name, overrides=[override])
        assert experiment.resolved["data"]["train"]["root"] == str(folder / "pictures")


def test_a_shipped_file_holds_each_regime():
    assert {Experiment.load(name).spec.regime for name in shipped()} == {"pairs", "operator", "measurements"}


def test_training_on_fastmri_files_from_k_space_to_cropped_reference(tmp_path):
    """Widths differ from file to file, masks from step to step; the network sees what fastMRI's does."""
    overrides = ["training.steps=3", "training.device=cpu", "model.model.model.chans=4", "training.log_every=1"]
    trainer = load_shipped("unet_fastmri", tmp_path, *overrides).trainer(tmp_path / "run")
    seen = []
    trainer.model.model.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0].shape))
    result = trainer.fit()
    assert set(seen) == {(1, 1, 40, 40)}
    validation = next(r for r in result.records if "validation/fastmri_ssim" in r)
    # The zero-filled image has the reference's scale: an untrained network's normalised error is about one.
    assert 0 < validation["validation/fastmri_nmse"] < 3
    item = trainer.validation_data[0]
    sample = trainer.validator.sample(0)
    mask = sample.operator.mask_for(item["image"].shape[-2:])
    torch.testing.assert_close(sample.measurement[0], torch.where(mask, item["measurement"], 0))
    assert torch.equal(sample.target[0], item["target"])


@pytest.mark.slow
@pytest.mark.parametrize("name", shipped())
def test_shipped_experiments_train_offline(name, tmp_path):
    overrides = ["training.steps=4", "training.log_every=1", "training.schedule=constant", "training.device=cpu"]
    experiment = load_shipped(name, tmp_path, *overrides)
    result = experiment.trainer(tmp_path / "run").fit()
    losses = [record["loss"] for record in result.records if "loss" in record]
    assert len(losses) == 4
    assert result.best is not None
    assert Path(tmp_path / "run" / "report.html").stat().st_size > 5000


def test_values_on_the_command_line_are_those_of_a_file():
    from recon.cli.common import assignment, config_from

    assert assignment("lr=1e-3") == ("lr", 1e-3)  # which YAML 1.1 takes for text
    assert assignment("size=[2, 3]") == ("size", [2, 3])
    assert config_from("{use: tv, weight: 2e-2}", "--method") == {"use": "tv", "weight": 0.02}
    for text in ("lr", "=1", "a={use: "):
        with pytest.raises(UsageError):
            assignment(text)
