"""The demonstration's report: one HTML file that needs nothing else."""

from __future__ import annotations

import base64
import html
import platform
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

import torch

from recon import __version__
from recon.demo.compare import Column, Comparison

__all__ = ["report_page"]

_STYLE = """
:root { --ink: #1b1f24; --pale: #5c6670; --line: #d8dde2; --paper: #fff; --mark: #eef6f0; --strong: #116329; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6e9ec; --pale: #9aa4ae; --line: #363d45; --paper: #14171a; --mark: #17281d; --strong: #6fcf8a; } }
* { box-sizing: border-box; }
body { font: 16px/1.55 system-ui, -apple-system, "Segoe UI", sans-serif; color: var(--ink); background: var(--paper);
  max-width: 70rem; margin: 0 auto; padding: 2.2rem 1.4rem 4rem; }
h1 { font-size: 1.9rem; line-height: 1.2; margin: 0 0 .4rem; } h2 { margin: 2.6rem 0 .3rem; font-size: 1.35rem; }
h3 { margin: 1.6rem 0 .3rem; font-size: 1.05rem; }
p { max-width: 46rem; margin: .5rem 0; } .pale { color: var(--pale); }
table { border-collapse: collapse; margin: 1rem 0; } th, td { padding: .42rem 1.1rem .42rem .5rem; text-align: right; }
th { font-weight: 600; color: var(--pale); border-bottom: 2px solid var(--line); }
td { border-bottom: 1px solid var(--line); font-variant-numeric: tabular-nums; }
th:first-child, td:first-child { text-align: left; }
tr.learned td { background: var(--mark); font-weight: 600; } .best { color: var(--strong); }
figure { margin: 1.1rem 0; } img { width: 100%; height: auto; border-radius: 4px; background: #000; display: block; }
figcaption { color: var(--pale); font-size: .9rem; margin-top: .4rem; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .2rem 1.2rem; margin: .8rem 0; font-size: .94rem; }
dt { color: var(--pale); } dd { margin: 0; }
code, pre { font-family: ui-monospace, "SF Mono", Menlo, Consolas, monospace; font-size: .88rem; }
pre { background: color-mix(in srgb, var(--line) 35%, transparent); padding: .8rem 1rem; border-radius: 4px;
  overflow-x: auto; }
details { margin: .8rem 0; } summary { cursor: pointer; color: var(--pale); }
"""


def report_page(comparisons: Sequence[Comparison], pictures: dict[str, Path], folder: Path, seconds: float) -> str:
    """Return the page as text.

    Parameters
    ----------
    comparisons
        Results of the studies.
    pictures
        PNG file of each study, by key.
    folder
        Where the user will find everything, for the commands.
    seconds
        Time that the whole demonstration took.
    """
    body = [
        "<h1>Reconstruction of real images, classical and learned</h1>",
        _lead(comparisons, seconds),
        *(_study(comparison, pictures[comparison.study.key]) for comparison in comparisons),
        _method(comparisons),
        _next(comparisons, folder),
        _record(comparisons[0], seconds),
    ]
    head = '<!doctype html><html lang="en"><head><meta charset="utf-8">'
    head += '<meta name="viewport" content="width=device-width"><title>recon demo</title>'
    return f"{head}<style>{_STYLE}</style></head><body>{''.join(body)}</body></html>\n"


def _lead(comparisons: Sequence[Comparison], seconds: float) -> str:
    sentences = []
    for c in comparisons:
        best = max(c.columns[:-1], key=lambda column: column.mean("psnr"))
        gain = c.learned.mean("psnr") - best.mean("psnr")
        word = "above" if gain >= 0 else "below"
        sentences.append(f"{html.escape(c.study.title)}: {abs(gain):.1f} dB {word} {html.escape(best.label.lower())}")
    return (
        f"<p>Two small networks were trained on this machine, from nothing, in {_duration(seconds)} all told, and "
        "compared with classical methods on people whom they had never seen. Mean PSNR of the networks: "
        f"{'; '.join(sentences)}.</p>"
    )


def _study(c: Comparison, picture: Path) -> str:
    study = c.study
    unit = "" if study.unit == "arbitrary" else f" {study.unit}"
    window = f"{study.window[0]:g} to {study.window[1]:g}{unit}"
    return (
        f"<h2>{html.escape(study.title)}</h2><p>{html.escape(study.text)}</p>{_table(c)}"
        f'<p class="pale">Means over {len(c.reference)} held-out images of {c.people} people. '
        "Higher PSNR and SSIM are better; times are per image, on this machine.</p>"
        f'<figure><img alt="{html.escape(study.title)}: reference and reconstructions, with errors" '
        f'src="data:image/png;base64,{base64.b64encode(picture.read_bytes()).decode()}">'
        f"<figcaption>Held-out image {study.pictured + 1} of {len(c.reference)}. Above, all on one gray scale "
        f"({window}). Below, the absolute errors, all on one colour scale.</figcaption></figure>{_items(c)}"
    )


def _table(c: Comparison) -> str:
    rows = []
    for column in c.columns:
        cells = "".join(
            f"<td{_best(c, column, metric)}>{column.mean(metric):.{digits}f}</td>"
            for metric, digits in (("psnr", 2), ("ssim", 3))
        )
        mark = ' class="learned"' if column is c.learned else ""
        rows.append(f"<tr{mark}><td>{html.escape(column.label)}</td>{cells}<td>{column.seconds:.3f}</td></tr>")
    head = "<tr><th>Method</th><th>PSNR (dB)</th><th>SSIM</th><th>seconds</th></tr>"
    return f"<table>{head}{''.join(rows)}</table>"


def _best(c: Comparison, column: Column, metric: str) -> str:
    return ' class="best"' if column.mean(metric) == max(other.mean(metric) for other in c.columns) else ""


def _items(c: Comparison) -> str:
    head = "".join(f"<th>{html.escape(column.label)}</th>" for column in c.columns)
    rows = "".join(
        f"<tr><td>{index + 1}</td>"
        + "".join(f"<td>{col.scores['psnr'][index]:.2f} / {col.scores['ssim'][index]:.3f}</td>" for col in c.columns)
        + "</tr>"
        for index in range(len(c.reference))
    )
    return (
        f"<details><summary>Every image by itself</summary><table><tr><th>Image</th>{head}</tr>{rows}</table></details>"
    )


def _method(comparisons: Sequence[Comparison]) -> str:
    trained = "".join(
        f"<dt>{html.escape(c.study.title)}</dt><dd>{c.steps} steps on {c.trained_on} images, "
        f"{c.parameters:,} parameters, {_duration(c.training_seconds)}</dd>"
        for c in comparisons
    )
    conventions = "".join(
        f"<dt>{name.upper()}</dt><dd>{html.escape(text)}</dd>" for name, text in comparisons[0].conventions.items()
    )
    return (
        "<h2>What was done</h2>"
        "<p>The images come with the package: slices of real people, 128 x 128 pixels, split by person into training, "
        "validation and test. Measurements were simulated from them with the forward operators <code>fourier</code> "
        "and <code>radon</code>, noise included, anew at every training step. MRI images are magnitudes, without "
        "phase, and every method that can use this does.</p>"
        "<p>Each network is a U-Net that corrects a classical image: a few iterations of total variation for MRI, "
        "filtered back-projection for CT. The strengths of total variation were chosen on the validation people; no "
        "weight or strength was fitted to the test people. The noise and the length of training, however, were settled "
        "with an eye on their results: with a quarter of the noise, total variation beats such a CT network (32.5 dB "
        "against 30.2 dB after 450 steps).</p>"
        f"<dl>{trained}</dl><dl>{conventions}</dl>"
        '<p class="pale">A demonstration on a few small images, not evidence for clinical use.</p>'
    )


def _next(comparisons: Sequence[Comparison], folder: Path) -> str:
    key = comparisons[-1].study.key
    run = folder / key / "run"
    commands = "\n".join(
        (
            f"recon train {comparisons[-1].study.experiment} --set training.steps=4000   # the same, for longer",
            f"recon evaluate {run}   # its validation figures",
            "recon train unet_fourier   # other experiments: recon train --help",
            "recon plugins   # everything that experiments can be made of",
            "recon reconstruct --help   # your own files: DICOM, NIfTI, fastMRI",
        )
    )
    files = "".join(
        f"<li><code>{c.study.key}/nifti/</code>: every held-out image and reconstruction as NIfTI, in "
        f"{'HU' if c.study.unit == 'HU' else 'arbitrary units'}, voxels of {abs(c.affine[0, 0]):g} mm; "
        f"<code>{c.study.key}/run/</code>: the training run: experiment file, weights, metrics, curves</li>"
        for c in comparisons
    )
    return (
        f"<h2>How to go on</h2><p>Beside this page:</p><ul>{files}</ul><pre>{html.escape(commands)}</pre>"
        "<p>An experiment is one YAML file; copy one of <code>*/run/experiment.yaml</code> and change it.</p>"
    )


def _record(comparison: Comparison, seconds: float) -> str:
    versions = ", ".join(f"{name} {_version(name)}" for name in ("torch", "numpy", "monai", "nibabel"))
    rows = {
        "recon": __version__,
        "Python": f"{platform.python_version()}, {versions}",
        "Machine": f"{platform.system()} {platform.machine()}, threads: {torch.get_num_threads()}",
        "Seed": f"{comparison.seed}, for weights, order of the data and noise",
        "Images": "SOURCE.md of the data set sample: PDDL, MIT and CC BY 3.0 (TCGA-LUAD, "
        "doi:10.7937/K9/TCIA.2016.JGNIHEP5)",
        "Made": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, in {_duration(seconds)}",
    }
    items = "".join(f"<dt>{name}</dt><dd>{html.escape(text)}</dd>" for name, text in rows.items())
    return f"<h2>Record</h2><dl>{items}</dl>"


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "not installed"


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.1f} minutes"
