"""ASTRA's projectors against ours."""

from __future__ import annotations

from types import ModuleType

import pytest
import torch
from torch import Tensor

import recon
from recon.errors import UsageError
from recon_plugins.astra import AstraProjection
from recon_plugins.radon import FanBeam, FanBeamRadon, Radon, RayTransform

try:
    import astra
except ImportError as error:
    pytest.skip(f"needs the ASTRA Toolbox: {error}", allow_module_level=True)

FAN = {"source_distance": 90.0, "detector_distance": 40.0}
PARALLEL = {
    "square": Radon(size=(48, 48), angles=40),
    "image aside, detector shifted": Radon(size=(40, 50), angles=23, pixel=0.7, centre=(2.0, -1.0), offset=0.3),
}
FANS = {
    "fan": FanBeamRadon(size=(48, 48), angles=40, **FAN),
    "fan, image aside": FanBeamRadon(size=(40, 50), angles=[0.2, 1.9, 4.0], pixel=0.7, centre=(2.0, -1.0), **FAN),
}
TILTED = RayTransform(
    geometry=FanBeam((0.0, 0.9, 2.0, 4.4), 100, 0.7, 70.0, 30.0, offset=0.4, tilt=0.2), size=(40, 48), pixel=0.8
)


def disks(height: int, width: int) -> Tensor:
    """Smooth disks aside from the centre, which neither turns nor mirrors leave as they are."""
    y, x = torch.meshgrid(torch.linspace(-1, 1, height), torch.linspace(-1, 1, width), indexing="ij")
    blobs = [(-0.3, 0.2, 0.35, 1.0), (0.4, 0.3, 0.2, -0.5), (0.1, -0.5, 0.25, 0.8)]
    return sum(v * torch.sigmoid(5 * (r - ((x - a) ** 2 + (y - b) ** 2).sqrt()) / r) for a, b, r, v in blobs)[
        None, None
    ]


def distance(theirs: AstraProjection, ours: Radon) -> float:
    x = disks(*ours.size)
    y = ours(x)
    return float(torch.linalg.vector_norm(theirs(x) - y) / torch.linalg.vector_norm(y))


@pytest.mark.parametrize("name", PARALLEL)
def test_linear_is_our_model(name: str) -> None:
    assert distance(AstraProjection(projector=PARALLEL[name]), PARALLEL[name]) < 1e-5


@pytest.mark.parametrize("model", ["line", "strip"])
@pytest.mark.parametrize("name", [*PARALLEL, *FANS])
def test_other_models_are_near(name: str, model: str) -> None:
    ours = (PARALLEL | FANS)[name]
    assert distance(AstraProjection(projector=ours, model=model), ours) < 1e-2


def test_tilted_detector() -> None:
    assert distance(AstraProjection(projector=TILTED, model="line"), TILTED) < 1e-2
    other = RayTransform(geometry=FanBeam(TILTED.geometry.angles, 100, 0.7, 70.0, 30.0, 0.4), size=(40, 48), pixel=0.8)
    assert distance(AstraProjection(projector=TILTED, model="line"), other) > 2e-2


@pytest.mark.parametrize("model", ["linear", "line", "strip"])
def test_adjoint_is_exact_on_the_processor(model: str) -> None:
    for ours in (PARALLEL["square"], FANS["fan"]):
        if model == "linear" and ours is FANS["fan"]:
            continue
        operator = AstraProjection(projector=ours, model=model)
        generator = torch.Generator().manual_seed(0)
        x = torch.randn(2, 1, *ours.size, generator=generator)
        y = torch.randn(2, 1, *ours.sinogram_size, generator=generator)
        ax, aty = operator(x).double(), operator.adjoint(y).double()
        assert abs((ax * y).sum() - (x * aty).sum()) < 1e-7 * torch.linalg.vector_norm(ax) * torch.linalg.vector_norm(y)


def test_nothing_is_left_behind_in_astra(monkeypatch: pytest.MonkeyPatch) -> None:
    alive: set[tuple[str, int]] = set()

    def watch(place: ModuleType, maker: str, kind: str) -> None:
        make, delete = getattr(place, maker), getattr(astra, kind).delete

        def made(*arguments: object) -> int:
            handle = make(*arguments)
            alive.add((kind, handle))
            return handle

        def deleted(handles: int | list[int]) -> None:
            delete(handles)
            alive.difference_update((kind, handle) for handle in (handles if isinstance(handles, list) else [handles]))

        monkeypatch.setattr(place, maker, made)
        monkeypatch.setattr(getattr(astra, kind), "delete", deleted)

    watch(astra, "create_projector", "projector")
    watch(astra.data2d, "link", "data2d")
    watch(astra.algorithm, "create", "algorithm")
    operator = AstraProjection(projector=PARALLEL["square"])
    x = disks(48, 48)
    operator.adjoint(operator(x))
    assert not alive
    monkeypatch.setattr(astra.algorithm, "run", lambda handle: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        operator(x)
    assert not alive


@pytest.mark.parametrize(
    ("projector", "model", "message"),
    [
        (FANS["fan"], "linear", "linear model is of parallel beams"),
        (FanBeamRadon(size=(8, 8), angles=3, **FAN, detector="curved"), "line", "no curved detectors"),
        (FanBeamRadon(size=(8, 8), angles=3, **FAN, offset=1.0), "strip", "centred detectors only"),
        (Radon(size=(8, 8), angles=3, pixel=(1.0, 2.0)), "line", r"square pixels, got 1 x 2 mm"),
    ],
)
def test_what_astra_cannot_do(projector: Radon, model: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        AstraProjection(projector=projector, model=model)


def test_needs_a_projector() -> None:
    with pytest.raises(UsageError, match="needs a projector with geometry and grid"):
        recon.build("operator", "astra", projector={"use": "fourier", "dimensions": 2})
