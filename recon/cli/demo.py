"""Reconstruct real MRI and CT images with classical methods and with networks trained on the spot.

Takes two to five minutes on two cores, offline, and writes a report, pictures and NIfTI files to a folder, whose
report is named last.

  recon demo
  recon demo -o /tmp/demo --only ct
  recon demo --steps 20            (a quick look: the networks learn next to nothing)
"""

from __future__ import annotations

import argparse
import re
from pathlib import Path
from typing import TYPE_CHECKING

from recon.errors import UsageError

if TYPE_CHECKING:
    from rich.console import Console

    from recon.demo.compare import Comparison

__all__ = ["add_arguments", "run"]

REPORT = "report.html"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of ``recon demo``."""
    parser.add_argument(
        "-o", "--output", type=Path, default=Path("recon-demo"), metavar="FOLDER", help="default: ./recon-demo"
    )
    parser.add_argument("--steps", type=int, metavar="N", help="training steps (default: as each experiment says)")
    parser.add_argument("--only", choices=["mri", "ct"], help="one of the two studies")
    parser.add_argument("--seed", type=int, default=0, help="seed of everything random (default 0)")


def run(arguments: argparse.Namespace) -> int:
    """Train, compare, and write everything."""
    import time

    from rich.console import Console

    from recon.demo.study import STUDIES
    from recon.io.atomic import atomic_folder

    output: Path = arguments.output
    if arguments.steps is not None and arguments.steps < 1:
        raise UsageError(f"--steps must be 1 or more, got {arguments.steps}")
    if output.is_dir() and any(output.iterdir()) and not (output / REPORT).is_file():
        raise UsageError(f"folder {output} exists and is not a recon demo: choose another with -o")
    console = Console()
    began = time.perf_counter()
    studies = [study for study in STUDIES if arguments.only in (None, study.key)]
    with atomic_folder(output, overwrite=True) as folder:
        comparisons = [_one(study, folder, arguments, console) for study in studies]
        _write(comparisons, folder, output, time.perf_counter() - began)
    # Not by rich, which would break a long path into lines.
    print(output.resolve() / REPORT)
    return 0


def _one(study: object, folder: Path, arguments: argparse.Namespace, console: Console) -> Comparison:
    from recon.demo.compare import compare, train
    from recon.demo.study import Study

    assert isinstance(study, Study)  # noqa: S101
    place = folder / study.key
    place.mkdir()
    overrides = [f"seed={arguments.seed}"]
    if arguments.steps is not None:
        steps = arguments.steps
        overrides += [f"training.{name}={steps}" for name in ("steps", "validate_every", "checkpoint_every")]
        overrides.append(f"training.schedule.warmup={min(20, steps - 1)}")
    console.print(f"[bold]{study.title}[/]: training a U-Net ...")
    experiment, seconds = train(study, place / "run", overrides)
    comparison = compare(study, experiment, place / "run", seconds)
    console.print(_table(comparison))
    return comparison


def _table(comparison: Comparison) -> object:
    from rich.table import Table

    count, people = len(comparison.reference), comparison.people
    table = Table(
        title=f"{comparison.study.title}: mean of {count} held-out images of {people} people", title_justify="left"
    )
    table.add_column("method")
    for name in ("PSNR (dB)", "SSIM", "seconds per image"):
        table.add_column(name, justify="right")
    for column in comparison.columns:
        values = (f"{column.mean('psnr'):.2f}", f"{column.mean('ssim'):.3f}", f"{column.seconds:.3f}")
        table.add_row(column.label, *values, style="bold" if column is comparison.learned else None)
    return table


def _write(comparisons: list[Comparison], folder: Path, output: Path, seconds: float) -> None:
    import torch

    from recon.demo.pictures import comparison_picture, in_unit, stack
    from recon.demo.report import report_page
    from recon.io import Image
    from recon.io import write as write_image

    pictures, drawn = {}, []
    for comparison in comparisons:
        study = comparison.study
        picture = comparison_picture(comparison, study.pictured)
        drawn.append(picture)
        pictures[study.key] = folder / study.key / "comparison.png"
        picture.save(pictures[study.key], optimize=True)
        target = folder / study.key / "nifti"
        target.mkdir()
        named = [("reference", comparison.reference)]
        named += [(_slug(column.label), column.images) for column in comparison.columns]
        for label, images in named:
            for index, image in enumerate(images):
                values = torch.from_numpy(in_unit(comparison, image))[None]
                written = Image(data=values, affine=comparison.affine, unit=study.unit)
                write_image(written, target / f"{label}_{index + 1:02d}.nii.gz")
    stack(drawn).save(folder / "comparison.png", optimize=True)
    (folder / REPORT).write_text(report_page(comparisons, pictures, output, seconds), encoding="utf-8")


def _slug(label: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", label.lower())
