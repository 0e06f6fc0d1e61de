"""Resident and streamed sources give the same batches, and the right ones."""

import multiprocessing
import os
import signal

import pytest
import torch

from recon.engine.batches import ResidentSource, StreamedSource, _start_worker, make_source
from recon.engine.plans import SamplingPlan
from recon.errors import FileFormatError, UsageError

CPU = torch.device("cpu")


def source(dataset, *, kind="resident", keys=("image",), batch_size=6, accumulate=2, **plan):
    return make_source(
        dataset,
        keys=keys,
        plan=SamplingPlan(source=kind, **plan),
        batch_size=batch_size,
        accumulate=accumulate,
        seed=1,
        device=CPU,
    )


PLANS = [
    {},
    {"crop": (5, 7)},
    {"augment": "flip"},
    {"crop": (6, 6), "augment": "dihedral"},
    {"augment": "dihedral"},
]


@pytest.mark.parametrize("plan", PLANS, ids=str)
@pytest.mark.parametrize("channels", [1, 3])
def test_sources_agree_bit_for_bit(images, plan, channels):
    data = images(10, sizes=((12, 12),), channels=channels)
    resident = source(data, **plan)
    streamed = source(data, kind="streamed", workers=0, **plan)
    for a, b in zip(resident.stream(3, 9, [0, 1]), streamed.stream(3, 9, [0, 1]), strict=True):
        assert torch.equal(a["image"], b["image"])
    assert isinstance(resident, ResidentSource)
    assert isinstance(streamed, StreamedSource)


def test_images_of_different_sizes_are_cropped_alike(images):
    data = images(9, sizes=((12, 9), (7, 15), (8, 8)))
    a, b = (source(data, kind=kind, workers=0, crop=(6, 6), augment="dihedral") for kind in ("resident", "streamed"))
    for step in range(6):
        assert torch.equal(a.batch(step, 1)["image"], b.batch(step, 1)["image"])


def test_volumes_of_different_sizes(images):
    data = images(5, sizes=((6, 7, 8), (5, 9, 6)), channels=2)
    a, b = (source(data, kind=kind, workers=0, crop=(4, 5, 5), augment="dihedral") for kind in ("resident", "streamed"))
    for step in range(6):
        assert torch.equal(a.batch(step, 0)["image"], b.batch(step, 0)["image"])


@pytest.mark.parametrize("workers", [1, 2])
def test_the_number_of_workers_does_not_change_the_data(images, workers):
    plan = {"kind": "streamed", "crop": (6, 6), "augment": "dihedral"}
    alone = source(images(10), workers=0, **plan)
    many = source(images(10), workers=workers, **plan)
    for a, b in zip(alone.stream(2, 8, [0, 1]), many.stream(2, 8, [0, 1]), strict=True):
        assert torch.equal(a["image"], b["image"])


def test_crops_are_parts_of_their_images_and_move():
    class Grid:
        def __len__(self):
            return 1

        def __getitem__(self, index):
            return {"image": torch.arange(80.0).reshape(1, 8, 10)}

    found = source(Grid(), batch_size=400, accumulate=1, crop=(3, 4)).batch(0, 0)["image"]
    first = found[:, 0, 0, 0]
    assert torch.equal(found - first[:, None, None, None], found[:1].sub(first[0]).expand_as(found))
    corners = {(int(v) // 10, int(v) % 10) for v in first.tolist()}
    assert corners == {(r, c) for r in range(6) for c in range(7)}  # every place, and none outside


def test_dihedral_gives_all_eight_turns():
    class One:
        def __len__(self):
            return 1

        def __getitem__(self, index):
            return {"image": torch.arange(9.0).reshape(1, 3, 3)}

    found = source(One(), batch_size=400, accumulate=1, augment="dihedral").batch(0, 0)["image"]
    square = torch.arange(9.0).reshape(3, 3)
    wanted = {tuple(torch.rot90(s, k).flatten().tolist()) for s in (square, square.T) for k in range(4)}
    assert {tuple(x.flatten().tolist()) for x in found} == wanted
    mirrored = source(One(), batch_size=400, accumulate=1, augment="flip").batch(0, 0)["image"]
    assert len({tuple(x.flatten().tolist()) for x in mirrored}) == 4


def test_pairs_are_cropped_together():
    class Pairs:
        def __len__(self):
            return 4

        def __getitem__(self, index):
            image = torch.rand(1, 9, 9, generator=torch.Generator().manual_seed(index))
            return {"image": image, "measurement": 2 * image}

    batch = source(Pairs(), keys=("image", "measurement"), crop=(4, 4), augment="dihedral").batch(0, 0)
    assert torch.equal(batch["measurement"], 2 * batch["image"])


def test_stored_types_become_floats():
    class Bytes:
        dtype = torch.uint8

        def __len__(self):
            return 3

        def __getitem__(self, index):
            return {"image": torch.full((1, 4, 4), 51).to(self.dtype)}

    resident = source(Bytes(), accumulate=1, batch_size=2)
    assert resident.stores["image"].flat.dtype == torch.uint8  # kept as stored
    assert torch.equal(resident.batch(0, 0)["image"], torch.full((2, 1, 4, 4), 0.2))
    for dtype, value in ((torch.float16, 51.0), (torch.float64, 51.0), (torch.uint16, 51 / 65535)):
        Bytes.dtype = dtype
        batch = source(Bytes(), accumulate=1, batch_size=2).batch(0, 0)["image"]
        assert batch.dtype == torch.float32
        assert batch[0, 0, 0, 0] == torch.tensor(value)


def test_complex_items_stay_complex():
    class Complex:
        def __len__(self):
            return 3

        def __getitem__(self, index):
            return {"measurement": torch.full((2, 4, 4), index + 1j, dtype=torch.complex128)}

    batch = source(Complex(), keys=("measurement",), accumulate=1, batch_size=3).batch(0, 0)["measurement"]
    assert batch.dtype == torch.complex64
    assert sorted(batch[:, 0, 0, 0].real.tolist()) == [0, 1, 2]


@pytest.mark.parametrize("kind", ["resident", "streamed"])
@pytest.mark.parametrize(
    ("sizes", "plan", "message"),
    [
        (((8, 8), (9, 9)), {}, "set data.crop"),
        (((8, 8),), {"crop": (9, 4)}, "larger than an image"),
        (((8, 8),), {"crop": (4, 4, 4)}, "3 axes"),
        (((8, 9),), {"augment": "dihedral"}, "square crop"),
    ],
)
def test_plans_that_do_not_fit_are_refused(images, kind, sizes, plan, message):
    with pytest.raises(UsageError, match=message):
        list(source(images(8, sizes=sizes), kind=kind, workers=0, **plan).stream(0, 3, [0, 1]))


def test_items_without_what_the_regime_needs_are_refused(images):
    with pytest.raises(UsageError, match=r"no .measurement. \(they have: image"):
        source(images(4), keys=("image", "measurement"))
    with pytest.raises(UsageError, match="dictionary of tensors"):
        source([torch.zeros(1, 3, 3)])


def test_auto_chooses_by_size(images, monkeypatch):
    assert isinstance(source(images(4), kind="auto"), ResidentSource)
    monkeypatch.setattr("recon.engine.batches._RESIDENT_BYTES", 100)
    assert isinstance(source(images(4), kind="auto"), StreamedSource)


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("error", [FileFormatError, RuntimeError])
def test_an_error_in_a_worker_ends_the_workers(images, workers, error):
    class Damaged(images):
        def __getitem__(self, index):
            if index == 5:
                raise error("five.h5 is damaged")
            return super().__getitem__(index)

    before = multiprocessing.active_children()
    streamed = source(Damaged(10), kind="streamed", workers=workers)
    with pytest.raises(error) as caught:
        list(streamed.stream(0, 3, [0, 1]))
    if error is FileFormatError:
        assert str(caught.value) == "five.h5 is damaged"  # as it is, without a worker's traceback
    assert multiprocessing.active_children() == before


def test_a_worker_outlives_one_sigterm_and_not_two():
    """The first may be meant for the whole group; the second is Python's at exit, which would wait for ever."""
    pid = os.fork()
    if pid == 0:
        _start_worker(0)
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGTERM)
        os._exit(0)
    assert os.WTERMSIG(os.waitpid(pid, 0)[1]) == signal.SIGTERM
