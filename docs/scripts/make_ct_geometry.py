"""Draw docs/images/ct_geometry.svg: what the angles, bins, distances and offsets of CT geometries mean.

The rays are those of recon's own geometries. Needs matplotlib. Run: python docs/scripts/make_ct_geometry.py
"""

from __future__ import annotations

import math
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.patches import Arc, Rectangle

from recon_plugins.radon.geometry import FanBeam, Geometry, ParallelBeam
from recon_plugins.radon.grid import Grid

THETA = 0.5
INK, RAY, DETECTOR, IMAGE = "#222222", "#4477aa", "#aa3377", "#f0ead6"
GRID = Grid((6, 8), (5.0, 5.0))
FAN = {"source_distance": 50.0, "detector_distance": 36.0}


def bins_of(geometry: Geometry) -> np.ndarray:
    """Where the bins lie in mm: on each ray, at the detector's distance."""
    origin, direction = (value[0, :, 0].numpy() for value in geometry.rays())
    along = np.array([-math.sin(THETA), math.cos(THETA)])
    if isinstance(geometry, ParallelBeam):
        return origin + 40 * along
    if geometry.detector == "curved":
        return origin + geometry.length * direction
    return origin + geometry.length * direction / (direction @ along)[:, None]


def arrow(axes: plt.Axes, start: np.ndarray, end: np.ndarray, colour: str = INK, style: str = "-|>") -> None:
    axes.annotate(
        "", end, start, arrowprops={"arrowstyle": style, "color": colour, "lw": 1.1, "shrinkA": 0, "shrinkB": 0}
    )


def draw(axes: plt.Axes, geometry: Geometry, title: str) -> None:
    """One geometry at one view: image, axes, rays, detector, and their names."""
    across, along = np.array([math.cos(THETA), math.sin(THETA)]), np.array([-math.sin(THETA), math.cos(THETA)])
    (rows, columns), (dy, dx) = GRID.size, GRID.pixel
    half = np.array([columns * dx, rows * dy]) / 2
    axes.add_patch(Rectangle(-half, *(2 * half), fc=IMAGE, ec=INK, lw=0.8))
    for k in range(1, columns):
        axes.plot([k * dx - half[0]] * 2, [-half[1], half[1]], color="#d8cfae", lw=0.5)
    for k in range(1, rows):
        axes.plot([-half[0], half[0]], [k * dy - half[1]] * 2, color="#d8cfae", lw=0.5)
    axes.text(-half[0] + 0.8, half[1] - dy / 2, "row 0", fontsize=7, va="center", color="#807040")
    axes.text(-half[0] + 0.8, -half[1] + dy / 2, f"row {rows - 1}", fontsize=7, va="center", color="#807040")
    for end, name in (((34, 0), "x"), ((0, 27), "y")):
        arrow(axes, np.zeros(2), np.array(end), "#888888")
        axes.text(end[0] + 1, end[1] + 0.5, name, color="#666666", style="italic")
    bins = bins_of(geometry)
    origin, _ = (value[0, :, 0].numpy() for value in geometry.rays())
    fan = isinstance(geometry, FanBeam)
    starts = origin if fan else bins - 80 * along
    for start, end in zip(starts, bins, strict=True):
        axes.plot(*zip(start, end, strict=True), color=RAY, lw=0.7, alpha=0.75, zorder=3)
    for k, end in enumerate(bins):
        axes.plot(*end, "o", color=DETECTOR, ms=3.2, zorder=4)
        if k in (0, len(bins) - 1):
            name = "0" if k == 0 else "D-1"
            axes.text(
                *(end + 5.5 * along + (0 if k else -1) * across),
                f"$t_{{{name}}}$",
                color=DETECTOR,
                ha="center",
                va="center",
            )
    axes.plot(*bins.T, color=DETECTOR, lw=1.6, zorder=3)
    # The detector's own axis, and the angle that it makes with x.
    axes.plot(*zip(-30 * across, 34 * across, strict=True), color=INK, lw=0.7, ls=(0, (4, 3)))
    axes.add_patch(Arc((0, 0), 44, 44, theta1=0, theta2=math.degrees(THETA), color=INK, lw=1))
    axes.text(*(24.5 * np.array([math.cos(THETA / 2), math.sin(THETA / 2)])), r"$\theta$", ha="left", va="center")
    if fan:
        source = origin[0]
        axes.plot(*source, "o", color=RAY, ms=6, zorder=5)
        axes.text(*(source - 5 * along), "source", color=RAY, ha="center", va="center", fontsize=8)
        foot = geometry.detector_distance * along
        axes.plot(*zip(source, foot, strict=True), color=INK, lw=0.9, ls=(0, (1, 1.5)), zorder=4)
        middle = bins.mean(0)
        arrow(axes, foot - 4 * along, middle - 4 * along, DETECTOR)
        axes.text(*((foot + middle) / 2 - 8.5 * along), "offset", color=DETECTOR, ha="center", va="center", fontsize=8)
        for a, b, name in ((source, np.zeros(2), "source_distance"), (np.zeros(2), foot, "detector_distance")):
            side = -31 * across
            arrow(axes, a + side, b + side, INK, "<|-|>")
            axes.text(
                *((a + b) / 2 + side - 3 * across), name, fontsize=7, ha="center", va="center",
                rotation=math.degrees(THETA) - 90,
            )  # fmt: skip
    else:
        arrow(axes, bins[1] - 79 * along, bins[1] - 66 * along, RAY)
        axes.text(*(bins[1] - 79 * along - 4 * across), "rays", color=RAY, ha="right", va="center", fontsize=8)
        a, b = bins[3] + 3.5 * along, bins[4] + 3.5 * along
        arrow(axes, a, b, DETECTOR, "<|-|>")
        axes.text(
            *((a + b) / 2 + 4 * along),
            "bin_size",
            color=DETECTOR,
            ha="center",
            fontsize=8,
            rotation=math.degrees(THETA),
        )
    axes.plot(0, 0, "+", color=INK, ms=9, zorder=6)
    axes.set_title(title, fontsize=10)
    axes.set_aspect("equal")
    axes.axis("off")


def main() -> None:
    """Draw the three geometries side by side."""
    plt.rcParams.update(
        {"font.size": 10, "svg.fonttype": "none", "svg.hashsalt": "recon", "font.family": "DejaVu Sans"}
    )
    figure, all_axes = plt.subplots(1, 3, figsize=(12, 5))
    draw(all_axes[0], ParallelBeam((THETA,), 9, 6.5), "parallel")
    draw(all_axes[1], FanBeam((THETA,), 9, 9.0, **FAN, offset=9.0), "fan, flat detector")
    draw(all_axes[2], FanBeam((THETA,), 9, 9.0, **FAN, offset=9.0, detector="curved"), "fan, curved detector")
    for axes in all_axes:
        axes.set_xlim(-62, 58)
        axes.set_ylim(-56, 62)
    figure.tight_layout(pad=0.2)
    path = Path(__file__).parents[1] / "images" / "ct_geometry.svg"
    partial = path.with_suffix(".partial.svg")
    figure.savefig(partial, metadata={"Date": None})
    partial.replace(path)


if __name__ == "__main__":
    main()
