"""Data order and randomness as functions of (seed, step)."""

import pytest
import torch

from recon.engine.keys import BatchOrder, Keys, Purpose, key
from recon.errors import UsageError


def test_keys_are_frozen():
    # These values are part of every run's result: a change would make old runs unrepeatable.
    assert key(0, Purpose.ORDER) == 5207352734819769472
    assert key(7, Purpose.SIMULATE, 1000, 3) == 7773564880812984085


def test_keys_of_neighbours_differ():
    keys = {key(s, p, a, b) for s in range(4) for p in Purpose for a in range(20) for b in range(4)}
    assert len(keys) == 4 * len(Purpose) * 20 * 4


def test_generators_depend_on_every_part_of_their_key():
    keys = Keys(1, torch.device("cpu"))

    def numbers(purpose, step, micro):
        return torch.rand(3, generator=keys.generator(purpose, step, micro))

    first = numbers(Purpose.SIMULATE, 4, 1)
    assert torch.equal(first, numbers(Purpose.SIMULATE, 4, 1))
    for other in [(Purpose.LOSS, 4, 1), (Purpose.SIMULATE, 5, 1), (Purpose.SIMULATE, 4, 2)]:
        assert not torch.equal(first, numbers(*other))


def test_every_epoch_uses_each_item_once_across_batch_borders():
    order = BatchOrder(size=7, batch_size=3, seed=5)
    stream = torch.cat([order.indices(step) for step in range(14)])
    for epoch in range(6):
        assert sorted(stream[7 * epoch : 7 * epoch + 7].tolist()) == list(range(7))
    assert stream[:7].tolist() != stream[7:14].tolist()


def test_drop_last_leaves_out_the_rest_and_nothing_more():
    order = BatchOrder(size=7, batch_size=3, seed=5, drop_last=True)
    for epoch in range(4):
        used = torch.cat([order.indices(2 * epoch), order.indices(2 * epoch + 1)])
        assert len(set(used.tolist())) == 6
    assert BatchOrder(size=4, batch_size=4, seed=0, drop_last=True).indices(0).sort().values.tolist() == [0, 1, 2, 3]


def test_a_batch_may_be_larger_than_the_set():
    indices = BatchOrder(size=3, batch_size=8, seed=0).indices(1)
    assert len(indices) == 8
    assert set(indices.tolist()) == {0, 1, 2}


def test_parts_of_a_batch_make_the_batch():
    order = BatchOrder(size=7, batch_size=6, seed=5)
    for step in (0, 1, 5, 100):
        parts = [order.indices(step, 2 * m, 2 * m + 2) for m in range(3)]
        assert torch.equal(torch.cat(parts), BatchOrder(size=7, batch_size=6, seed=5).indices(step))


def test_steps_may_be_asked_for_in_any_order():
    order = BatchOrder(size=11, batch_size=4, seed=2)
    forward = [order.indices(step).clone() for step in range(20)]
    for step in reversed(range(20)):
        assert torch.equal(order.indices(step), forward[step])


def test_impossible_orders_are_refused():
    with pytest.raises(UsageError, match="empty"):
        BatchOrder(size=0, batch_size=1, seed=0)
    with pytest.raises(UsageError, match="batch_size <= 3"):
        BatchOrder(size=3, batch_size=4, seed=0, drop_last=True)
