"""Items that bring more than image and measurement: an operator of their own, a target, class labels."""

import pytest
import torch

import recon
from recon.engine import SamplingPlan
from recon.engine.batches import make_source
from recon.engine.keys import Keys, Purpose
from recon.engine.regimes import Regime, Simulated
from recon.engine.trainer import Trainer
from recon.engine.validation import Validator
from recon.errors import UsageError
from recon.interfaces import OperatorModel

CPU = torch.device("cpu")
KEYS = Keys(0, CPU)


class Scans:
    """Undersampled multi-coil scans, every one with coils and columns of its own."""

    def __init__(self, count=6, size=(8, 10), coils=3):
        self.phantoms = recon.build("dataset", "multicoil_phantom", size=size, coils=coils, count=count)

    def __len__(self):
        return len(self.phantoms)

    def __getitem__(self, index):
        item = self.phantoms[index]
        width = item["image"].shape[-1]
        mask = torch.rand(1, 1, width, generator=torch.Generator().manual_seed(index)) < 0.5
        return {**item, "mask": mask, "measurement": torch.where(mask, item["measurement"], 0)}


class Asks(OperatorModel):
    """Keeps the operator it is called with."""

    def __init__(self):
        super().__init__()
        self.factor = torch.nn.Parameter(torch.ones(()))
        self.masks = []

    def forward(self, y, operator):
        self.masks.append(operator.mask)
        return self.factor * operator.adjoint(y)


def noisy(**params):
    return recon.build("operator", "gaussian_noise", sigma=0.0) @ recon.build("operator", "multicoil_fourier", **params)


def batch_of(data, indices, names):
    return {name: torch.stack([data[i][name] for i in indices]) for name in names}


def test_operators_await_what_is_not_given():
    fourier = recon.build("operator", "fourier")
    assert fourier.awaited == ("mask",)
    assert recon.build("operator", "fourier", mask=[1, 0]).awaited == ()
    assert recon.build("operator", "radon", size=(4, 4), angles=3).awaited == ()
    assert noisy().awaited == ("mask", "maps")
    assert noisy(maps={"coils": 2}).awaited == ("mask",)
    assert (2 * fourier.H).awaited == ("mask",)
    assert fourier.for_items({"image": torch.ones(1)}) is fourier
    with pytest.raises(UsageError, match="has no coil sensitivities: give maps, or data whose items hold 'maps'"):
        noisy()(torch.ones(1, 1, 4, 4), generator=torch.Generator())


@pytest.mark.parametrize("regime", ["pairs", "measurements"])
def test_each_item_has_its_own_operator(regime):
    data = Scans()
    part = Regime(regime, noisy())
    assert set(part.keys_of(data[0])) == {*part.keys, "mask", "maps"}
    batch = batch_of(data, [4, 1], part.keys_of(data[0]))
    operator = part(batch, KEYS, Purpose.SIMULATE, 0, 0).operator
    for row, index in enumerate([4, 1]):
        item = data[index]
        alone = recon.build("operator", "multicoil_fourier", maps=item["maps"], mask=item["mask"][0])
        expected = alone.adjoint(item["measurement"][None])
        torch.testing.assert_close(operator.adjoint(batch["measurement"])[row], expected[0])
        torch.testing.assert_close(operator(item["image"].expand(2, -1, -1, -1))[row], alone(item["image"][None])[0])


def test_simulations_use_the_items_maps_and_a_new_mask():
    data = Scans()
    part = Regime("operator", noisy(mask={"kind": "random", "acceleration": 2, "center_fraction": 0.1}, resample=True))
    assert part.keys_of(data[0]) == ("image", "maps")
    batch = batch_of(data, [0, 2], ["image", "maps"])
    first, second = (part(batch, KEYS, Purpose.SIMULATE, step, 0) for step in (0, 1))
    assert first.operator.mask != second.operator.mask
    for row, index in enumerate([0, 2]):
        alone = recon.build("operator", "multicoil_fourier", maps=data[index]["maps"], mask=first.operator.mask)
        torch.testing.assert_close(first.measurement[row], alone(data[index]["image"][None])[0])


@pytest.mark.parametrize("kind", ["resident", "streamed"])
def test_sources_leave_masks_and_labels_as_they_are(kind):
    class Labelled(Scans):
        def __getitem__(self, index):
            return {**super().__getitem__(index), "target": torch.full((1, 8, 10), index)}

    plan = SamplingPlan(source=kind, workers=0)
    options = {"plan": plan, "batch_size": 3, "accumulate": 1, "seed": 0, "device": CPU}
    source = make_source(Labelled(), keys=("image", "mask", "maps", "target"), **options)
    batch = source.batch(0, 0)
    indices = batch["target"][:, 0, 0, 0].tolist()
    assert batch["target"].dtype == torch.int64
    assert batch["mask"].dtype == torch.bool
    for row, index in enumerate(indices):
        for name in ("image", "mask", "maps"):
            assert torch.equal(batch[name][row], Labelled()[index][name])


def test_training_and_validation_on_scans():
    data, model = Scans(), Asks()
    trainer = Trainer(
        model=model,
        train_data=data,
        validation_data=data,
        regime="pairs",
        operator=recon.build("operator", "multicoil_fourier"),
        loss=recon.build("loss", "mse"),
        metrics=[recon.build("metric", "psnr")],
        plan={"steps": 1, "batch_size": 2, "device": "cpu"},
    )
    trainer.fit()
    assert model.masks[0].shape == (2, 1, 1, 10)
    for index, mask in enumerate(model.masks[1:]):
        assert torch.equal(mask[0], data[index]["mask"])


def test_simulated_sets_use_the_items_operators():
    data = Scans()
    simulated = Simulated(data, noisy(), seed=0)
    torch.testing.assert_close(simulated[3]["measurement"], data[3]["measurement"])


def test_reconstructions_are_compared_with_the_target():
    class Halves(Scans):
        def __getitem__(self, index):
            item = super().__getitem__(index)
            return {"image": item["image"], "maps": item["maps"], "target": item["image"].abs()[..., 2:6, 3:8]}

    part = Regime("operator", noisy(mask=[1, 0] * 5))
    data = Halves()
    assert part.keys_of(data[0]) == ("image", "target", "maps")
    sample = part(batch_of(data, [1], ("image", "maps", "target")), KEYS, Purpose.SIMULATE, 0, 0)
    assert torch.equal(sample.target[0], data[1]["target"])
    metrics = {"psnr": recon.build("metric", "psnr")}
    scores = Validator(data, part, metrics, None, seed=0, device=CPU).run(lambda y, operator: torch.ones(1, 1, 4, 5))
    expected = [metrics["psnr"](torch.ones(1, 1, 4, 5), data[i]["target"][None]) for i in range(len(data))]
    torch.testing.assert_close(scores.values[:, 0], torch.cat(expected))


@pytest.mark.parametrize("regime", ["pairs", "measurements"])
@pytest.mark.parametrize("sampling", [SamplingPlan(augment="flip"), SamplingPlan(crop=(4, 4))])
def test_parts_of_whole_measurements_are_refused(regime, sampling):
    fourier = recon.build("operator", "fourier", mask=[1, 0] * 5)
    loss = recon.build("loss", "measurement_consistency")
    options = {"model": Asks(), "train_data": Scans(), "loss": loss, "plan": {"steps": 1, "batch_size": 1}}
    with pytest.raises(UsageError, match=r"data\.crop and data\.augment do not fit regime"):
        Trainer(regime=regime, operator=fourier, sampling=sampling, **options)
    Trainer(regime="operator", operator=fourier, sampling=sampling, **options)
    noise = recon.build("operator", "gaussian_noise", sigma=0.1)
    Trainer(regime=regime, operator=noise, sampling=sampling, **options)


def test_operators_are_made_once_for_each_image_size(images, noise):
    made = []

    def maker(size):
        made.append(size)
        return noise(sigma=0.0)

    sizes = ((8, 8), (8, 10))
    simulated = Simulated(images(6, sizes=sizes), maker, seed=0)
    for index in range(6):
        item = simulated[index]
        assert torch.equal(item["measurement"], item["image"])
    assert made == [*sizes]
    regime = Regime("operator", noise())
    keys = Keys(0, torch.device("cpu"))
    operators = {
        id(regime({"image": torch.zeros(1, 1, *size)}, keys, Purpose.SIMULATE, 0, 0).operator) for size in sizes * 2
    }
    assert len(operators) == 1  # one operator serves images of every size


class Slices:
    """Slices of volumes with a maximum of their volume; the target shows the middle of the image."""

    def __len__(self):
        return 4

    def __getitem__(self, index):
        image = torch.rand(1, 12, 14, generator=torch.Generator().manual_seed(index))
        return {"image": image, "target": image[:, 2:10, 3:11], "maximum": torch.tensor(1.0 + index // 2)}


class Larger(torch.nn.Module):
    crops_to_target = True

    def __init__(self):
        super().__init__()
        self.factor = torch.nn.Parameter(torch.tensor(0.5))

    def forward(self, y):
        return self.factor * y


class Ranged(torch.nn.Module):
    """A loss that keeps what it is handed."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def forward(self, prediction, target, maximum):
        self.seen.append(maximum)
        return ((prediction - target) / maximum.reshape(-1, 1, 1, 1)).square().mean()


@pytest.mark.parametrize("source", ["resident", "streamed"])
def test_losses_and_metrics_get_the_volumes_maximum_and_the_middle_of_the_image(source):
    loss, model = Ranged(), Larger()
    metrics = {"ssim": recon.build("metric", "ssim", data_range="volume_max", variant="uniform7")}
    trainer = Trainer(
        model=model,
        train_data=Slices(),
        loss=loss,
        operator=recon.build("operator", "gaussian_noise", sigma=0.0),
        plan={"steps": 2, "batch_size": 4, "device": "cpu", "optimizer": "sgd"},
        validation_data=Slices(),
        metrics=metrics,
        sampling=SamplingPlan(source=source, workers=0),
    )
    result = trainer.fit()
    training = [seen for seen in loss.seen if len(seen) == 4]
    assert [sorted(seen.tolist()) for seen in training] == [[1, 1, 2, 2]] * 2
    validated = [seen.tolist() for seen in loss.seen if len(seen) == 1]
    assert validated == [[1], [1], [2], [2]]
    factor, items = float(model.factor.detach()), [Slices()[index] for index in range(4)]
    expected = [
        metrics["ssim"](factor * item["target"][None], item["target"][None], item["maximum"][None]) for item in items
    ]
    record = next(r for r in reversed(result.records) if "validation/ssim" in r)
    assert record["validation/ssim"] == pytest.approx(float(torch.stack(expected).mean()), rel=1e-5)
