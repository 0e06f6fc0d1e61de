"""Batches of items of one shape."""

import pytest
import torch

from recon.engine import Trainer
from recon.engine.batches import StreamedSource, make_source
from recon.engine.buckets import BucketOrder
from recon.engine.plans import SamplingPlan
from recon.errors import UsageError
from recon.operators import Identity

SIZES = ((12, 9), (7, 15), (12, 9), (8, 8))
LABELS = [0, 1, 0, 0, 2, 1, 0, 0, 0, 1, 0]


class Bucketed:
    """Wraps the images of the fixture and tells their shapes."""

    def __init__(self, data):
        self.data = data

    def __len__(self):
        return len(self.data)

    def __getitem__(self, index):
        return self.data[index]

    def buckets(self):
        return [self.data.sizes.index(self.data.sizes[i % len(self.data.sizes)]) for i in range(len(self.data))]


@pytest.mark.parametrize("drop_last", [False, True])
@pytest.mark.parametrize("batch_size", [1, 2, 3, 4])
def test_batches_are_of_one_bucket_and_all_items_are_used_equally_often(batch_size, drop_last):
    labels = LABELS + [2] * 3
    if drop_last and batch_size == 4:
        labels = [*labels, 1]
    order = BucketOrder(buckets=labels, batch_size=batch_size, seed=3, drop_last=drop_last)
    rounds = batch_size * 3
    # After `batch_size` epochs without drop_last every bucket has given whole batches: no remainder is left.
    steps = rounds * order.epoch_length // batch_size
    counts = torch.zeros(len(labels), dtype=torch.int64)
    for step in range(steps):
        indices = order.indices(step)
        assert len(indices) == batch_size
        assert len({labels[i] for i in indices.tolist()}) == 1
        counts += torch.bincount(indices, minlength=len(labels))
    assert counts.sum() == steps * batch_size
    if drop_last:
        assert counts.max() <= rounds
    else:
        assert set(counts.tolist()) == {rounds}
    assert order.epoch(steps) == rounds


def test_the_order_is_a_function_of_seed_and_step():
    def order(seed=0):
        return BucketOrder(buckets=LABELS, batch_size=2, seed=seed)

    forwards, backwards = order(), order()
    steps = list(range(40))
    taken = {step: forwards.indices(step) for step in steps}
    assert all(torch.equal(backwards.indices(step), taken[step]) for step in reversed(steps))
    assert all(torch.equal(torch.cat([forwards.indices(s, 0, 1), forwards.indices(s, 1, 2)]), taken[s]) for s in steps)
    assert not all(torch.equal(order(1).indices(step), taken[step]) for step in steps)
    # Buckets take turns within an epoch, and epochs differ.
    labels = [LABELS[int(taken[step][0])] for step in steps]
    assert labels[:5] != sorted(labels[:5])
    assert labels[:11] != labels[11:22]


def test_one_bucket_uses_each_item_once_an_epoch():
    order = BucketOrder(buckets=[7] * 10, batch_size=5, seed=1)
    assert torch.cat([order.indices(0), order.indices(1)]).sort()[0].tolist() == list(range(10))


def test_a_bucket_that_drop_last_would_never_use_is_refused():
    with pytest.raises(UsageError, match=r"a bucket has 1 items.*drop_last: false"):
        BucketOrder(buckets=LABELS, batch_size=2, seed=0, drop_last=True)


def source(data, **plan):
    return make_source(
        data, keys=("image",), plan=SamplingPlan(workers=0, **plan), batch_size=4, accumulate=2, seed=1,
        device=torch.device("cpu"),
    )  # fmt: skip


def test_a_source_of_mixed_sizes(images):
    data = Bucketed(images(11, sizes=SIZES))
    found = source(data, bucket=True)
    assert isinstance(found, StreamedSource)
    shapes = set()
    for first, second in zip(*([found.stream(0, 12, [0, 1])] * 2), strict=True):
        assert first["image"].shape == second["image"].shape
        shapes.add(tuple(first["image"].shape[2:]))
    assert shapes == set(SIZES)
    with pytest.raises(UsageError, match=r"make no batch: set data\.crop or data\.bucket"):
        list(source(data, source="streamed").stream(0, 12, [0, 1]))


def test_what_does_not_go_with_buckets(images):
    with pytest.raises(UsageError, match="Images does not tell which of its items are of one shape"):
        source(images(4), bucket=True)
    with pytest.raises(ValueError, match="leave bucket out"):
        SamplingPlan(bucket=True, crop=(4, 4))
    with pytest.raises(ValueError, match="leave source out"):
        SamplingPlan(bucket=True, source="resident")


def test_training_on_mixed_sizes_resumes_bit_for_bit(images, tmp_path):
    def trained(steps, run, resume=False):
        torch.manual_seed(0)
        model = torch.nn.Conv2d(1, 1, 3, padding=1)
        trainer = Trainer(
            model=model,
            train_data=Bucketed(images(11, sizes=SIZES)),
            loss=torch.nn.MSELoss(),
            plan={"steps": steps, "batch_size": 4, "log_every": 5, "checkpoint_every": 6, "device": "cpu"},
            operator=Identity(),
            sampling=SamplingPlan(bucket=True, workers=0),
            run=run,
        )
        trainer.fit(resume=resume)
        return model.weight.detach()

    whole = trained(12, tmp_path / "a")
    trained(6, tmp_path / "b")
    assert torch.equal(trained(12, tmp_path / "b", resume=True), whole)
