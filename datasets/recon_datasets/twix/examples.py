"""Small cases for the conformance kit."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from recon.io.raw.readouts import HEAD, Readouts
from recon.testing import Example
from recon_datasets.twix.synthetic import protocol_text, write_twix_points

__all__ = ["reader"]


def reader() -> list[Example]:
    """Return a slice with twofold readout oversampling."""
    return [Example(prepare=_file, name="slice")]


def _file(folder: Path) -> Mapping[str, Any]:
    random = np.random.default_rng(0)
    head = np.zeros(9, dtype=HEAD)
    head["center_sample"] = 8
    head["idx"]["kspace_encode_step_1"] = np.arange(9)
    head["idx"]["user"][:, 5] = 4
    head["read_dir"], head["phase_dir"], head["slice_dir"] = [0, 1, 0], [1, 0, 0], [0, 0, 1]
    data = list(random.standard_normal((9, 2, 16, 2), dtype=np.float32).view(np.complex64)[..., 0])
    write_twix_points(folder / "meas.dat", Readouts(head, data), protocol_text((8, 9, 1), (80.0, 90.0, 5.0)))
    return {"path": folder / "meas.dat"}
