from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from recon.errors import UsageError
from recon_plugins.fourier.sampling import ColumnSampling, fastmri_columns

GOLDEN = json.loads((Path(__file__).parents[2] / "golden" / "fastmri_sampling.json").read_text())


@pytest.mark.parametrize("case", GOLDEN["masks"], ids=lambda c: f"{c['kind']}-{c['width']}-{c['accelerations']}")
def test_fastmri_masks_bit_for_bit(case: dict) -> None:
    mask = fastmri_columns(case["kind"], case["width"], case["center_fractions"], case["accelerations"], case["file"])
    assert int(mask.sum()) == case["count"]
    assert hashlib.sha256(np.packbits(mask.numpy()).tobytes()).hexdigest() == case["sha256"]
    if len(case["accelerations"]) == 1:
        rule = ColumnSampling(
            kind=f"fastmri_{case['kind']}",
            center_fraction=case["center_fractions"][0],
            acceleration=case["accelerations"][0],
            seed=case["file"],
        )
        assert torch.equal(rule.columns(case["width"]), mask)


@pytest.mark.parametrize("n", [1, 2, 31, 64, 368])
@pytest.mark.parametrize("kind", ["random", "gaussian"])
def test_number_of_columns_is_exact_and_the_centre_is_kept(kind: str, n: int) -> None:
    rule = ColumnSampling(kind=kind, acceleration=4, center_fraction=0.08)
    mask = rule.columns(n)
    low = round(n * 0.08)
    assert mask.sum() == max(1, round(n / 4))
    assert mask[(n - low + 1) // 2 :][:low].all()
    assert rule.accelerates(n) == pytest.approx(n / max(1, round(n / 4)))
    if low:
        assert mask[n // 2]


def test_equispaced_has_constant_spacing_outside_the_block() -> None:
    offsets = set()
    for seed in range(20):
        rule = ColumnSampling(kind="equispaced", acceleration=4, center_fraction=0.1, seed=seed)
        kept = rule.columns(100).nonzero()[:, 0]
        outer = kept[(kept < 45) | (kept >= 55)]
        assert len({int(k) % 4 for k in outer}) == 1
        offsets.add(int(kept[0]))
        assert len(kept) > 25
        assert rule.accelerates(100) == 100 / len(kept)
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


def test_a_seed_is_a_mask() -> None:
    for kind in ("random", "gaussian", "equispaced", "fastmri_random", "fastmri_equispaced_fraction"):
        masks = [ColumnSampling(kind=kind, seed=seed).columns(64) for seed in (5, 5, 6, "a.h5", "b.h5", 7, 8, 9)]
        assert torch.equal(masks[0], masks[1])
        assert len({tuple(mask.tolist()) for mask in masks}) > 1


def test_impossible_requests_are_explained() -> None:
    for kind in ("random", "gaussian", "fastmri_random", "fastmri_equispaced_fraction"):
        with pytest.raises(UsageError, match="lower center_fraction or acceleration"):
            ColumnSampling(kind=kind, acceleration=16, center_fraction=0.08).columns(320)
    with pytest.raises(UsageError, match="whole"):
        ColumnSampling(kind="equispaced", acceleration=2.5).columns(320)
