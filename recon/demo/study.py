"""What the demonstration compares: two experiments, each with classical methods beside its network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["STUDIES", "Study"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Study:
    """One experiment and what its network is compared with.

    Parameters
    ----------
    key
        Short name, of files.
    title, text
        For the reader.
    experiment
        Name of the shipped experiment.
    methods
        Classical methods, configs by label: the direct one, then the iterative one.
    network
        Label of the network.
    data
        Data set of the images held out, none of whose people were trained on.
    pictured
        Index of the held-out image that pictures show.
    scale, offset, unit
        Written files hold scale * x + offset, in this unit.
    window
        Values of written files that are drawn black and white.
    error
        Error, in the same unit, that error maps draw in full.
    """

    key: str
    title: str
    text: str
    experiment: str
    methods: Mapping[str, Mapping[str, Any]]
    network: str
    data: Mapping[str, Any]
    pictured: int
    scale: float = 1.0
    offset: float = 0.0
    unit: str = "arbitrary"
    window: tuple[float, float]
    error: float


# The weights of total variation, and the filter, have the highest PSNR on the validation split.
MRI = Study(
    key="mri",
    title="Brain MRI, a quarter of k-space",
    text="Four times fewer phase-encoding lines than the image needs, and noise: a quarter of the scan time.",
    experiment="demo_mri",
    methods={
        "Zero-filled": {"use": "adjoint", "output": "magnitude"},
        "Total variation": {
            "use": "tv",
            "weight": 0.008,
            "iterations": 80,
            "constraint": "nonnegative",
            "output": "magnitude",
        },
    },
    network="TV + U-Net",
    data={"use": "sample", "modality": "mri", "split": "test"},
    pictured=6,
    window=(0.0, 0.9),
    error=0.2,
)

CT = Study(
    key="ct",
    title="Low-dose body CT from 36 views",
    text="Scanners take about a thousand views. 36 mean far less dose, but streaks, and few photons mean noise.",
    experiment="demo_ct",
    methods={
        "Filtered back-projection": {"use": "fbp", "filter": "hann"},
        "Total variation": {"use": "tv", "weight": 1.2, "iterations": 80, "constraint": "nonnegative"},
    },
    network="FBP + U-Net",
    data={"use": "sample", "modality": "ct", "split": "test"},
    pictured=0,
    # 0.0192 / mm is water in the sample; air is -1000 HU.
    scale=1000 / 0.0192,
    offset=-1000.0,
    unit="HU",
    window=(-1000.0, 500.0),
    error=300.0,
)

STUDIES = (MRI, CT)
