"""Say what a file holds: shape, type, unit, place in the patient, operator, technical facts.

Nothing that may name a patient is printed.

  recon info brain.nii.gz
  recon info knee.h5 --json
  recon info study/ --series 2
  recon info projections/ --reader '{use: dicom_ct_pd, geometry: helix}'
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recon.cli.common import reader_from, status
from recon.cli.convert import add_choices, options, reading

if TYPE_CHECKING:
    from recon.io import Image, Measurement

__all__ = ["add_arguments", "describe", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of ``recon info``."""
    parser.add_argument("path", type=Path, help="file, or folder of a DICOM series")
    add_choices(parser)
    parser.add_argument("--reader", help="reader, by name or YAML config, whatever the file looks like")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(arguments: argparse.Namespace) -> int:
    """Read the file and print what it holds."""
    from recon.io.files import find_reader

    with status("reading"):
        facts = describe(reading(arguments.path, options(arguments), arguments.reader))
    explain = getattr(find_reader(arguments.path, reader_from(arguments.reader)), "explain", None)
    if explain is not None:
        facts |= explain(arguments.path)
    if arguments.json:
        print(json.dumps(facts, indent=2))
        return 0
    width = max(map(len, facts))
    for name, value in facts.items():
        lines = value if isinstance(value, list) and any(isinstance(v, (list, str)) for v in value) else [value]
        for number, line in enumerate(lines):
            print(f"{name if number == 0 else '':<{width}}  {_text(line)}")
    return 0


def describe(item: Image | Measurement) -> dict[str, Any]:
    """Return plain facts about an image or a measurement, in the order in which they are printed."""
    from recon.io import Image

    facts: dict[str, Any] = {"kind": "image" if isinstance(item, Image) else "measurement"}
    names = item.dims if isinstance(item, Image) else None
    held = item.data if isinstance(item, Image) else item  # a measurement tells its shape without reading its data
    facts["shape"] = _shape(held.shape, names)
    facts["dtype"] = str(held.dtype)[6:]
    facts["range"] = _range(item)
    facts["unit"] = item.unit
    if isinstance(item, Image) and item.quantity != "unknown":
        facts["quantity"] = item.quantity
    if not isinstance(item, Image):
        facts["operator"] = "unknown" if item.operator_config is None else _plain(item.operator_config)
        reference = item.reference
        facts["reference"] = "none" if reference is None else _shape(reference.shape, reference.dims)
    facts["voxel size"] = (
        "unknown" if item.voxel_size is None else [f"{' x '.join(f'{v:.6g}' for v in item.voxel_size)} mm"]
    )
    if item.affine is None:
        facts["affine"] = "unknown: the file does not say where in the patient this is"
    else:
        from nibabel.orientations import aff2axcodes

        facts["orientation"] = "".join(aff2axcodes(item.affine)) + " (where x, y, z grow to)"  # type: ignore[no-untyped-call]
        facts["affine"] = [[float(value) for value in row] for row in item.affine]
    facts |= {name: list(value) if isinstance(value, tuple) else value for name, value in item.metadata.items()}
    origin = item.provenance if isinstance(item, Image) else None
    if origin is not None:
        facts["provenance"] = {"reader": origin.reader, "files": origin.files, "known by": sorted(origin.identifiers)}
    if item.notes:
        facts["notes"] = list(item.notes)
    return facts


def _shape(shape: Sequence[int], names: tuple[str, ...] | None) -> str:
    sizes = map(str, shape)
    return " x ".join(sizes) if names is None else ", ".join(f"{n} {s}" for n, s in zip(names, sizes, strict=True))


def _range(item: Image | Measurement) -> str:
    from recon.io import Measurement
    from recon.reconstruction import spans

    # Part by part: what lies in a file may be larger than memory.
    parts = (item.items(*span) for span in spans(item)) if isinstance(item, Measurement) else iter([item.data])
    extremes: list[float] = []
    odd, complex_ = 0, False
    for part in parts:
        complex_ = part.is_complex()
        values = part.abs() if complex_ else part
        values = values[values.isfinite()] if values.is_floating_point() else values
        odd += part.numel() - values.numel()
        extremes += [values.min().item(), values.max().item()] if values.numel() else []
    text = f"{min(extremes):.6g} to {max(extremes):.6g}" if extremes else "no finite value"
    return text + (" (magnitude)" if complex_ else "") + (f", {odd} not finite" if odd else "")


def _plain(config: Any) -> Any:
    """Replace arrays by a few words about them."""
    if isinstance(config, dict):
        return {name: _plain(value) for name, value in config.items()}
    if isinstance(config, (list, tuple)):
        if len(config) > 16:
            return f"list of {len(config)}"
        return [_plain(value) for value in config]
    if hasattr(config, "shape"):
        return f"{str(config.dtype).removeprefix('torch.')} array {tuple(config.shape)}"
    return config


def _text(value: Any) -> str:
    if isinstance(value, list):
        if all(isinstance(v, str) for v in value):
            return ", ".join(value)
        return " ".join(f"{v:>12.6g}" if isinstance(v, float) else str(v) for v in value)
    if isinstance(value, dict):
        return ", ".join(f"{name}: {_text(part)}" for name, part in value.items())
    return f"{value:.6g}" if isinstance(value, float) else str(value)
