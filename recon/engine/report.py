"""report.html: what a run did, in one file that needs nothing else."""

from __future__ import annotations

import base64
import html
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from recon.engine.log import read_metrics
from recon.io.atomic import write_text

__all__ = ["curve", "write_report"]

_WIDTH, _HEIGHT, _LEFT, _MARGIN = 420, 200, 64, 28
_STYLE = """
:root { color-scheme: light dark; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
figure { display: inline-block; margin: 0 1rem 1rem 0; }
svg { display: block; } svg text { font: 11px system-ui, sans-serif; fill: currentColor; }
td, th { padding: 0.1rem 1rem 0.1rem 0; text-align: left; }
img { image-rendering: pixelated; width: 100%; max-width: 48rem; }
pre { overflow-x: auto; padding: 0.8rem; background: #8881; }
"""


def write_report(run: Path) -> Path:
    """Write the report of a run folder from what is in it; returns its path."""
    records = read_metrics(run / "metrics.jsonl")
    names: dict[str, list[tuple[float, float]]] = {}
    for record in records:
        for name, value in record.items():
            if name not in ("step", "epoch", "seconds") and isinstance(value, (int, float)):
                names.setdefault(name, []).append((record["step"], value))
    curves = "".join(f"<figure>{curve(points, name)}</figure>" for name, points in names.items())
    title = html.escape(run.resolve().name)
    parts = [f"<h1>{title}</h1>", _summary(records), "<h2>Curves</h2>", curves, _pictures(run / "samples")]
    for heading, file in (("Experiment", "resolved.yaml"), ("Environment", "environment.json")):
        if (run / file).exists():
            parts.append(f"<h2>{heading}</h2><pre>{html.escape((run / file).read_text(encoding='utf-8'))}</pre>")
    page = f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title><style>{_STYLE}</style>'
    path = run / "report.html"
    write_text(path, page + "".join(parts) + "</html>\n")
    return path


def curve(points: Sequence[tuple[float, float]], title: str) -> str:
    """Draw a curve as SVG; the axis is logarithmic where positive values span more than a factor of ten."""
    finite = [(x, y) for x, y in points if math.isfinite(y)]
    label = html.escape(title)
    if not finite:
        return f"<svg width='{_WIDTH}' height='20'><text x='0' y='14'>{label}: no finite values</text></svg>"
    values = [y for _, y in finite]
    low, high = min(values), max(values)
    logarithmic = low > 0 and high > 10 * low
    scaled = [(x, math.log10(y) if logarithmic else y) for x, y in finite]
    x0, x1 = scaled[0][0], scaled[-1][0]
    y0, y1 = min(y for _, y in scaled), max(y for _, y in scaled)
    width, height = _WIDTH - _LEFT - _MARGIN, _HEIGHT - 2 * _MARGIN

    def place(x: float, y: float) -> str:
        across = (x - x0) / (x1 - x0) if x1 > x0 else 0.5
        up = (y - y0) / (y1 - y0) if y1 > y0 else 0.5
        return f"{_LEFT + across * width:.1f},{_MARGIN + (1 - up) * height:.1f}"

    places = [place(x, y) for x, y in scaled]
    last_x, last_y = places[-1].split(",")
    note = " (log)" if logarithmic else ""
    bottom, right = _MARGIN + height, _LEFT + width
    return (
        f"<svg width='{_WIDTH}' height='{_HEIGHT}' role='img' aria-label='{label}'>"
        f"<text x='{_LEFT}' y='16' font-weight='bold'>{label}{note}</text>"
        f"<path d='M{_LEFT} {_MARGIN}V{bottom}H{right}' fill='none' stroke='#888'/>"
        f"<text x='{_LEFT - 6}' y='{_MARGIN + 4}' text-anchor='end'>{high:.4g}</text>"
        f"<text x='{_LEFT - 6}' y='{bottom}' text-anchor='end'>{low:.4g}</text>"
        f"<text x='{_LEFT}' y='{bottom + 16}'>{x0:g}</text>"
        f"<text x='{right}' y='{bottom + 16}' text-anchor='end'>step {x1:g}</text>"
        f"<polyline points='{' '.join(places)}' fill='none' stroke='#3b7dd8' stroke-width='1.8'/>"
        f"<circle cx='{last_x}' cy='{last_y}' r='3' fill='#3b7dd8'/></svg>"
    )


def _summary(records: Sequence[dict[str, Any]]) -> str:
    if not records:
        return "<p>No step was logged.</p>"
    rows: dict[str, Any] = {"steps": records[-1]["step"]}
    rows["seconds"] = next((r["seconds"] for r in reversed(records) if "seconds" in r), "")
    last: dict[str, Any] = next((r for r in reversed(records) if any(k.startswith("validation/") for k in r)), {})
    rows |= {name: f"{value:.4f}" for name, value in last.items() if name != "step"}
    cells = "".join(f"<tr><th>{html.escape(str(k))}</th><td>{html.escape(str(v))}</td></tr>" for k, v in rows.items())
    return f"<table>{cells}</table>"


def _pictures(folder: Path) -> str:
    files = sorted(folder.glob("step-*.png"))
    if not files:
        return ""
    last = files[-1].name.rpartition("-")[0]
    images = "".join(
        f"<p><img alt='{path.name}' src='data:image/png;base64,{base64.b64encode(path.read_bytes()).decode()}'></p>"
        for path in files
        if path.name.startswith(last + "-")
    )
    return f"<h2>Samples: input, prediction, target ({html.escape(last)})</h2>{images}"
