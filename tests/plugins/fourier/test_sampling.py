from __future__ import annotations

import hashlib
import json
import math
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

import recon
from recon.errors import ParameterError, UsageError
from recon_plugins.fourier import (
    ColumnSampling,
    CurveSampling,
    FastMRISampling,
    Fourier,
    FrameSampling,
    PlaneSampling,
    as_sampling,
    calibration_region,
)
from recon_plugins.fourier.rules import KINDS

GOLDEN = json.loads((Path(__file__).parents[2] / "golden" / "fastmri_sampling.json").read_text())


def fastmri(case: dict) -> FastMRISampling:
    return FastMRISampling(
        kind=f"fastmri_{case['kind']}",
        center_fraction=case["center_fractions"],
        acceleration=case["accelerations"],
        any_combination=case.get("allow_any_combination", False),
        seed=case["file"],
    )


def test_golden_cases_are_complete() -> None:
    single = [case for case in GOLDEN["masks"] if not case.get("allow_any_combination")]
    assert len(single) >= 120
    assert {case["kind"] for case in single} == {
        "random", "equispaced", "equispaced_fraction", "magic", "magic_fraction",
    }  # fmt: skip
    assert any(case.get("allow_any_combination") for case in GOLDEN["masks"])


@pytest.mark.parametrize("width", sorted({case["width"] for case in GOLDEN["masks"]}))
def test_fastmri_masks_bit_for_bit(width: int) -> None:
    for case in GOLDEN["masks"]:
        if case["width"] == width:
            mask = fastmri(case).mask((5, width))
            assert int(mask.sum()) == case["count"], case
            assert hashlib.sha256(np.packbits(mask.numpy()).tobytes()).hexdigest() == case["sha256"], case


def test_padding_is_clamped_to_the_columns() -> None:
    rule = {"kind": "fastmri_random", "seed": "a.h5"}
    whole = as_sampling(rule).mask((64,))
    assert torch.equal(as_sampling({**rule, "padding": [-3, 200]}).mask((64,)), whole)
    cut = as_sampling({**rule, "padding": [10, 60]}).mask((64,))
    assert torch.equal(cut[10:60], whole[10:60])
    assert not cut[:10].any() and not cut[60:].any()


@pytest.mark.parametrize("n", [1, 2, 31, 64, 368])
@pytest.mark.parametrize("kind", ["random", "gaussian"])
def test_number_of_columns_is_exact_and_the_centre_is_kept(kind: str, n: int) -> None:
    rule = ColumnSampling(kind=kind, acceleration=4, center_fraction=0.08)
    mask = rule.columns(n)
    low = round(n * 0.08)
    assert mask.sum() == max(1, round(n / 4))
    assert mask[(n - low + 1) // 2 :][:low].all()
    assert rule.acceleration_for((n,)) == pytest.approx(n / max(1, round(n / 4)))
    if low:
        assert mask[n // 2]
        (block,) = rule.calibration_region((n,))
        assert block.start <= (n - low + 1) // 2 and block.stop >= (n - low + 1) // 2 + low


def test_equispaced_has_constant_spacing_outside_the_block() -> None:
    offsets = set()
    for seed in range(20):
        rule = ColumnSampling(kind="equispaced", acceleration=4, center_fraction=0.1, seed=seed)
        kept = rule.columns(100).nonzero()[:, 0]
        outer = kept[(kept < 45) | (kept >= 55)]
        assert len({int(k) % 4 for k in outer}) == 1
        offsets.add(int(kept[0]))
        assert len(kept) > 25
        assert rule.acceleration_for((100,)) == 100 / len(kept)
        assert not torch.equal(rule.columns(100), rule.columns(99)[:100])
    assert offsets == {0, 1, 2, 3}


def test_gaussian_favours_low_frequencies() -> None:
    rules = (ColumnSampling(kind="gaussian", acceleration=8, center_fraction=0, seed=s) for s in range(100))
    counts = sum(rule.columns(96).double() for rule in rules)
    assert counts[32:64].sum() > 5 * counts[:16].sum() > 0


def test_uniform_over_the_outer_columns() -> None:
    rules = (ColumnSampling(acceleration=4, center_fraction=0.1, seed=s) for s in range(400))
    counts = sum(rule.columns(40).double() for rule in rules)
    outer = torch.cat([counts[:18], counts[22:]]) / 400
    # 6 of 36 columns a draw: each column's frequency has a standard deviation of 0.019 about 1 / 6.
    assert (outer - 6 / 36).abs().max() < 0.075


def rule(kind: str, **settings: object) -> dict[str, object]:
    plane = {"calibration": 4} if KINDS[kind] is PlaneSampling else {}
    return {"kind": kind, "acceleration": 4, **plane, **settings}


@pytest.mark.parametrize("kind", KINDS)
def test_a_seed_is_a_mask(kind: str) -> None:
    size = (4, 48, 40)
    masks = [as_sampling(rule(kind, seed=seed)).mask(size) for seed in (5, 5, *range(6, 20), "a.h5", "b.h5")]
    assert torch.equal(masks[0], masks[1])
    # Those of a few offsets have as few masks.
    assert len({tuple(mask.flatten().tolist()) for mask in masks}) >= 2
    settings = as_sampling(rule(kind))
    assert pickle.loads(pickle.dumps(settings)) == settings
    assert settings.acceleration_for(size) == pytest.approx(masks[0].numel() / int(settings.mask(size).sum()))
    drawn = [settings.draw(torch.Generator().manual_seed(seed)) for seed in (1, 1, 2)]
    assert drawn[0] == drawn[1] != drawn[2]


@pytest.mark.parametrize("kind", [kind for kind in KINDS if not kind.startswith("kt_")])
def test_rules_are_selectable_and_drawn_per_step(kind: str) -> None:
    operator = recon.build("operator", "fourier", mask=rule(kind), resample=True)
    generator = torch.Generator().manual_seed(0)
    drawn = [operator.sample(generator).mask_for((40, 48)) for _ in range(10)]
    assert any(not torch.equal(drawn[0], other) for other in drawn)
    x = torch.randn(1, 2, 40, 48, dtype=torch.complex64, generator=torch.Generator().manual_seed(1))
    y = operator(x)
    missing = torch.view_as_real(y)[~operator.mask_for((40, 48)).expand(y.shape)]
    assert missing.numel() and not missing.any() and not missing.signbit().any()
    assert operator.acceleration((40, 48)) > 1.2


def test_zeros_of_gradients_are_positive_too() -> None:
    y = torch.randn(1, 1, 8, 40, dtype=torch.complex64, generator=torch.Generator().manual_seed(0)).requires_grad_()
    operator = Fourier(mask={"acceleration": 4})
    operator.adjoint(y).abs().sum().backward()
    missing = torch.view_as_real(y.grad)[..., ~operator.mask_for((8, 40)), :]
    assert not missing.any() and not missing.signbit().any()


def test_axes_of_a_volume() -> None:
    x = torch.randn(1, 1, 6, 20, 30, dtype=torch.complex64)
    for mask, shape in [
        ({"kind": "random", "axis": -2, "acceleration": 2}, (20, 1)),
        ({"kind": "equispaced", "axis": -3, "acceleration": 2}, (6, 1, 1)),
        ({"kind": "gaussian_2d", "acceleration": 2, "calibration": 2, "axes": [-3, -2]}, (6, 20, 1)),
        ({"kind": "radial", "acceleration": 2, "axes": [-3, -1]}, (6, 1, 30)),
        ({"kind": "poisson", "acceleration": 4, "calibration": 6}, (20, 30)),
    ]:
        operator = Fourier(mask=mask, dimensions=3)
        assert operator.mask_for((6, 20, 30)).shape == shape
        y = operator(x)
        assert operator.normal(x).shape == y.shape == x.shape
    with pytest.raises(UsageError, match="dimensions: 3"):
        Fourier(mask={"kind": "random", "axis": -3})


def test_frames_share_out_the_columns() -> None:
    mask = FrameSampling(acceleration=4, shift=1, seed=2).mask((8, 1, 22))
    assert mask.shape == (8, 1, 22)
    assert torch.equal(mask[:4].sum(0), torch.ones(1, 22, dtype=torch.long))
    assert torch.equal(mask[:4], mask[4:])
    drawn = FrameSampling(kind="kt_random", acceleration=4, center_fraction=0.1).mask((8, 1, 40))
    assert torch.equal(drawn.sum(-1), torch.full((8, 1), 10))
    assert len({tuple(frame.tolist()) for frame in drawn[:, 0]}) > 1
    operator = Fourier(mask={"kind": "kt_gaussian", "acceleration": 4, "center_fraction": 0.1}, time=True)
    x = torch.randn(2, 3, 8, 6, 40, dtype=torch.complex64)
    assert torch.equal(operator(x) != 0, operator.mask_for((8, 6, 40)).expand(x.shape))
    assert operator.calibration_region((8, 6, 40)) == (slice(0, 6), slice(18, 22))
    with pytest.raises(UsageError, match="time: true"):
        Fourier(mask={"kind": "kt_random"})


def nearest(mask: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Distance of each point to the next one, and from the centre."""
    points = mask.nonzero().double()
    distance = torch.cdist(points, points) + torch.diag(torch.full((len(points),), math.inf))
    centre = torch.tensor([n // 2 for n in mask.shape])
    return distance.min(1).values.numpy(), torch.linalg.vector_norm(points - centre, dim=1).numpy()


@pytest.mark.parametrize("size", [(96, 96), (61, 90)])
def test_poisson_disc_keeps_distances_that_grow(size: tuple[int, int]) -> None:
    settings = PlaneSampling(kind="poisson", acceleration=8, calibration=(8, 6), seed=1)
    mask = settings.mask(size)
    assert mask.sum() == round(size[0] * size[1] / 8)
    rows, columns = settings.calibration_region(size)
    assert rows.stop - rows.start >= 8 and columns.stop - columns.start >= 6
    y, x = ((torch.arange(n) - n // 2) / (n / 2) for n in size)
    assert not mask[y[:, None] ** 2 + x**2 > 1].any()
    if size[0] == size[1]:
        gap, radius = nearest(mask)
        inner, outer = gap[(radius > 8) & (radius < 16)], gap[radius > 36]
        assert outer.mean() > 1.3 * inner.mean()
        # Uniformly drawn points of that density have the Rayleigh distances of a Poisson process, many of them close.
        assert np.quantile(outer, 0.05) > 0.6 * outer.mean()
    uniform = PlaneSampling(kind="poisson_uniform", acceleration=8, calibration=0, corners=True, seed=1).mask((96, 96))
    gap, _ = nearest(uniform)
    assert gap.min() >= 2
    drawn = PlaneSampling(kind="random_2d", acceleration=8, calibration=0, corners=True, seed=1).mask((96, 96))
    assert uniform.sum() == drawn.sum()
    assert nearest(drawn)[0].min() == 1


@pytest.mark.slow  # sigpy compiles
def test_poisson_disc_is_like_sigpys() -> None:
    samp = pytest.importorskip("sigpy.mri.samp")
    theirs = torch.from_numpy(samp.poisson((128, 128), 8, calib=(16, 16), seed=0, dtype=bool))
    ours = PlaneSampling(acceleration=8, calibration=16, seed=0).mask((128, 128))
    y, x = ((torch.arange(128) - 64) / 64 for _ in range(2))
    ring = (torch.hypot(y[:, None].expand(128, 128), x) * 8).long()
    for k in range(8):
        a, b = (float(mask[ring == k].double().mean()) for mask in (ours, theirs))
        assert a == pytest.approx(b, rel=0.3), k
    (ours_gap, ours_radius), (their_gap, their_radius) = nearest(ours), nearest(theirs)
    for inner in range(16, 64, 8):
        a = ours_gap[(ours_radius >= inner) & (ours_radius < inner + 8)]
        b = their_gap[(their_radius >= inner) & (their_radius < inner + 8)]
        assert 0.98 * b.mean() < a.mean() < 1.3 * b.mean()
        assert a.min() >= b.min()


@pytest.mark.parametrize("kind", ["radial", "radial_golden", "spiral"])
@pytest.mark.parametrize("size", [(64, 64), (61, 90)])
def test_curves_meet_the_acceleration_and_lie_on_themselves(kind: str, size: tuple[int, int]) -> None:
    settings = CurveSampling(kind=kind, acceleration=4, seed=3)
    mask = settings.mask(size)
    assert settings.acceleration_for(size) == pytest.approx(4, rel=0.06)
    assert mask[size[0] // 2, size[1] // 2]
    y, x = ((torch.arange(n) - n // 2 + 0.0) / (n / 2) for n in size)
    radius = torch.hypot(y[:, None].expand(*size), x)
    assert not mask[radius > 1 + 2 / min(size)].any()
    density = [float(mask[(radius > a) & (radius <= a + 0.25)].double().mean()) for a in (0.0, 0.25, 0.5, 0.75)]
    assert density[0] > density[1] > density[2] > density[3] > 0
    if kind == "radial":
        # A line through the zero frequency is its own mirror image, up to the rounding to the grid.
        odd = [n - (n + 1) % 2 for n in size]
        part = mask[size[0] // 2 - odd[0] // 2 :, size[1] // 2 - odd[1] // 2 :][: odd[0], : odd[1]]
        assert (part == part.flip(0, 1)).double().mean() > 0.95


def test_spirals_have_arms() -> None:
    for arms in (1, 3):
        mask = CurveSampling(kind="spiral", acceleration=8, arms=arms, power=1).mask((128, 128))
        along = mask[64, 66:].nonzero()[:, 0]
        spacing = along.diff().double()
        # Turns of one arm are spaced evenly; so are those of several, which interleave.
        assert spacing[spacing > 1].mean() == pytest.approx(8, rel=0.3)


def test_calibration_region_grows_to_the_largest_block() -> None:
    mask = torch.zeros(9, 12, dtype=torch.bool)
    mask[2:7, 3:11] = True
    assert calibration_region(mask) == (slice(2, 7), slice(3, 11))
    assert calibration_region(mask[:, :1]) == (slice(4, 4), slice(None))
    assert calibration_region(torch.ones(1, 6)) == (slice(None), slice(0, 6))
    assert Fourier().calibration_region((4, 5)) == (slice(0, 4), slice(0, 5))
    items = torch.ones(2, 1, 4, 12, dtype=torch.bool)
    items[1, ..., :3] = False
    assert Fourier(mask=items).calibration_region((4, 12)) == (slice(0, 4), slice(3, 12))


@pytest.mark.parametrize(
    ("config", "size", "text"),
    [
        ({"kind": "random", "acceleration": 16}, (320,), "lower center_fraction or acceleration"),
        ({"kind": "gaussian", "acceleration": 16}, (320,), "lower center_fraction or acceleration"),
        ({"kind": "kt_random", "acceleration": 16, "center_fraction": 0.1}, (2, 320), "lower center_fraction"),
        ({"kind": "fastmri_random", "acceleration": 16}, (320,), "lower center_fraction or acceleration"),
        ({"kind": "fastmri_equispaced_fraction", "acceleration": 16}, (320,), "lower center_fraction"),
        ({"kind": "fastmri_magic_fraction", "acceleration": 16}, (320,), "lower center_fraction"),
        ({"kind": "equispaced", "acceleration": 2.5}, (320,), "whole acceleration, not 2.5"),
        ({"kind": "kt_equispaced", "acceleration": 2.5}, (2, 320), "whole acceleration"),
        ({"kind": "fastmri_equispaced", "acceleration": 2.5}, (320,), "whole acceleration"),
        ({"kind": "fastmri_random", "acceleration": [4, 8]}, (320,), "do not pair"),
        ({"kind": "poisson", "calibration": 40}, (32, 64), "does not fit"),
        ({"kind": "poisson", "acceleration": 8, "calibration": 24}, (32, 64), "lower calibration or acceleration"),
        ({"kind": "gaussian_2d", "acceleration": 1.1, "calibration": 4}, (32, 64), "corners: true"),
        ({"kind": "radial", "acceleration": 1.1}, (32, 64), "it can be"),
        ({"kind": "spiral", "acceleration": 200}, (32, 32), "it can be"),
    ],
)
def test_impossible_requests_are_explained(config: dict, size: tuple[int, ...], text: str) -> None:
    with pytest.raises(UsageError, match=text):
        as_sampling(config).mask(size)


def test_kinds_are_known_by_name() -> None:
    with pytest.raises(ParameterError, match=r"mask\.kind: unknown kind of sampling 'poison'; did you mean 'poisson'"):
        as_sampling({"kind": "poison"})
    with pytest.raises(ParameterError, match=r"mask\.calibration"):
        as_sampling({"kind": "poisson", "calibration": -1})
    assert as_sampling({}) == ColumnSampling()
