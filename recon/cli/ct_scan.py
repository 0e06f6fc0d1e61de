"""A CT scan in a few options: the forward model of ``recon simulate ct``."""

from __future__ import annotations

import argparse
import math
from typing import Any

from recon.cli.common import assignment, number, positive
from recon.errors import UsageError

__all__ = ["PHOTONS", "add_arguments", "describe", "forward_model", "given", "photons"]

PHOTONS = 1e5
"""Photons of a ray at full dose, unless told."""
_TURN = {"parallel": 180.0, "fan": 360.0}
"""Arc of a full scan in degrees."""
_OPERATORS: dict[str, dict[str, Any]] = {
    "parallel": {"use": "radon"},
    # The dimensions of a common clinical scanner.
    "fan": {"use": "fan_beam", "source_distance": 595.0, "detector_distance": 490.6, "detector": "curved"},
}
_OPTIONS = ("views", "arc", "geometry", "dose", "photons", "electronic", "set")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of the scan."""
    group = parser.add_argument_group("a CT scan (recon simulate ct IMAGE)")
    group.add_argument("--views", type=positive, metavar="N", help="views over the arc (default 720)")
    group.add_argument(
        "--arc", type=number, metavar="DEGREES", help="range of angles (default 180 for parallel beams, 360 for fans)"
    )
    group.add_argument("--geometry", choices=sorted(_TURN), help="parallel beams (default), or a fan")
    group.add_argument("--dose", type=number, metavar="FRACTION", help="fraction of the full dose, with its noise")
    group.add_argument(
        "--photons", type=number, metavar="N", help=f"photons of a ray at full dose (default {PHOTONS:g}), with noise"
    )
    group.add_argument("--electronic", type=number, metavar="N", help="electronic noise in photons (default 0)")
    group.add_argument(
        "--set",
        action="append",
        type=assignment,
        metavar="NAME=VALUE",
        help="parameter of the projector: bins=900, pixel=0.7, source_distance=1000 (repeatable)",
    )


def given(arguments: argparse.Namespace) -> list[str]:
    """Return the scan's options that were given."""
    return [f"--{name}" for name in _OPTIONS if getattr(arguments, name) is not None]


def forward_model(arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """Return the configs of the projector and of its noise.

    Raises
    ------
    UsageError
        For an arc beyond a turn, or a dose, photons or noise that are not positive.
    """
    geometry, views = arguments.geometry or "parallel", arguments.views or 720
    full = _TURN[geometry]
    arc = full if arguments.arc is None else arguments.arc
    if not 0 < arc <= 360:
        raise UsageError(f"--arc {arc:g}: an arc is above 0 and at most 360 degrees")
    angles = views if arc == full else [math.radians(arc) * view / views for view in range(views)]
    projector = {**_OPERATORS[geometry], "angles": angles, **dict(arguments.set or [])}
    count = photons(arguments)
    if count is None:
        return [projector]
    return [projector, {"use": "low_dose", "photons": count, "electronic": arguments.electronic or 0.0}]


def photons(arguments: argparse.Namespace) -> float | None:
    """Return the photons of a ray, or None for a scan without noise."""
    if arguments.dose is None and arguments.photons is None:
        if arguments.electronic is not None:
            raise UsageError("--electronic is noise in photons: say how many there are, with --photons or --dose")
        return None
    for name in ("dose", "photons"):
        value = getattr(arguments, name)
        if value is not None and not value > 0:
            raise UsageError(f"--{name} {value:g}: give a number above 0")
    if arguments.electronic is not None and not arguments.electronic >= 0:
        raise UsageError(f"--electronic {arguments.electronic:g}: give a number that is not below 0")
    share = 1.0 if arguments.dose is None else arguments.dose
    return float(share * (arguments.photons or PHOTONS))


def describe(arguments: argparse.Namespace) -> str:
    """Say in one sentence which scan was simulated."""
    geometry = arguments.geometry or "parallel"
    arc = _TURN[geometry] if arguments.arc is None else arguments.arc
    count = photons(arguments)
    noise = "no noise" if count is None else f"{count:g} photons a ray"
    if arguments.dose is not None:
        noise += f" ({arguments.dose:g} of the full dose)"
    if arguments.electronic:
        noise += f", electronic noise {arguments.electronic:g}"
    return f"{geometry} beam, {arguments.views or 720} views over {arc:g} degrees, {noise}"
