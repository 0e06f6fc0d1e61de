"""Draw docs/gallery/ct_*.png: real projections reconstructed, from the data beside the checkout.

    python docs/scripts/make_ct_gallery.py walnut tooth
    python docs/scripts/make_ct_gallery.py clinical --arrays arrays.npz --weights weights

The clinical pictures take what `train_ct_gallery.py --evaluate` wrote. Figures in captions are computed here or read
from those files.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

import recon

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
GALLERY = Path(__file__).resolve().parents[1] / "gallery"
GAP, CAPTION = 6, 46
WINDOW = (-160.0, 240.0)  # HU


def gray(values, low, high):
    return np.round(np.clip((np.asarray(values, dtype=np.float64) - low) / (high - low), 0, 1) * 255).astype(np.uint8)


def sheet(rows, name):
    """Save rows of (title, subtitle, pixels) as one picture of 64 grays."""
    width = max(sum(cell[2].shape[1] + GAP for cell in row) - GAP for row in rows)
    height = sum(max(cell[2].shape[0] for cell in row) + CAPTION + GAP for row in rows) - GAP
    picture = Image.new("L", (width, height))
    draw = ImageDraw.Draw(picture)
    top = 0
    for row in rows:
        left = 0
        for title, subtitle, pixels in row:
            middle = left + pixels.shape[1] / 2
            draw.text((middle, top + 3), title, fill=255, font=ImageFont.load_default(17), anchor="ma")
            draw.text((middle, top + 24), subtitle, fill=190, font=ImageFont.load_default(13), anchor="ma")
            picture.paste(Image.fromarray(pixels), (left, top + CAPTION))
            left += pixels.shape[1] + GAP
        top += max(cell[2].shape[0] for cell in row) + CAPTION + GAP
    target = GALLERY / name
    picture.quantize(64, method=Image.Quantize.MEDIANCUT).save(target, optimize=True)
    print(f"{target}: {picture.size}, {target.stat().st_size / 1e3:.0f} kB")


def residual(operator, x, y):
    return f"residual {100 * float((operator(x) - y).norm() / y.norm()):.1f} %"


def walnut():
    """The FIPS walnut (fan beam) from 1200 and from 120 views by FBP, SIRT and total variation."""
    methods = {
        "FBP (Hann)": {"use": "fbp", "filter": "hann"},
        "SIRT, 200 steps": {"use": "sirt", "iterations": 200, "constraint": "nonnegative"},
        "Total variation": {"use": "tv", "weight": 0.002, "iterations": 100, "constraint": "nonnegative"},
    }
    rows = []
    for views in (1200, 120):
        reader = recon.build("reader", "fips", sinogram=f"sinogram{views}", downsample=4)
        scan = reader.read(DATA / "ct_projections" / "fips_walnut" / "walnut.mat")
        operator, row = scan.operator(), []
        for title, config in methods.items():
            x = recon.build("method", config)(scan.data, operator)
            shown = Image.fromarray(gray(x[0, 0, 60:530, 50:510], 0, 0.055))
            shown = np.asarray(shown.resize((306, 313), Image.Resampling.LANCZOS))
            row.append((title, f"{views} views, {residual(operator, x, scan.data)}", shown))
        rows.append(row)
    sheet(rows, "ct_walnut.png")


def tooth():
    """The synchrotron tooth by FBP, with the axis of rotation in the middle of the detector and where it was found."""
    scan = recon.read(DATA / "ct_projections" / "tomopy_tooth" / "tooth.h5", reader="data_exchange")
    found, row = scan.operator(), []
    for title, operator in (("Axis in the middle", found.with_(offset=0.0)), ("Axis found by the reader", found)):
        x = recon.build("method", "fbp", filter="hann")(scan.data[:1], operator)[0, 0, 180:560, 170:590]
        bins = operator.geometry.offset / operator.geometry.bin_size
        caption = f"{len(operator.theta)} views, FBP, axis {bins:+.1f} bins away"
        row.append((title, caption, gray(x, 0, float(x.quantile(0.998)))))
    sheet([row], "ct_tooth.png")


def clinical(arrays, weights):
    """A slice of a patient that was left out, at 60 views and at a quarter of the dose: FBP, TV, trained network."""
    log, scores = (json.loads((weights / name).read_text()) for name in ("log.json", "figures.json"))
    with np.load(arrays) as stored:
        files = sorted({name.split("/")[1] for name in stored})
        kept = {name: stored[name] for name in stored}
    chosen = files[0]

    def cell(task, method):
        pixels = gray(kept[f"{task}/{chosen}/{method}"], *WINDOW)[56:456, 6:506]
        return np.asarray(Image.fromarray(pixels).resize((340, 272), Image.Resampling.LANCZOS))

    rows = []
    for task, title in (("sparse_view", "60 views"), ("low_dose", "a quarter of the dose")):
        row = [("Reference", title, cell(task, "target"))]
        number = [n.split("/")[1] for n in kept if n.startswith(task) and n.endswith("/target")].index(chosen)
        network = f"FBPConvNet, {log[task]['steps']} steps"
        for method, label in (("fbp", "FBP"), ("tv", "Total variation"), ("network", network)):
            value = scores[task][method][number]
            caption = f"{value['psnr']:.1f} dB, SSIM {value['ssim']:.3f}, {value['rmse_hu']:.0f} HU"
            row.append((label, caption, cell(task, method)))
        rows.append(row)
    sheet(rows, "ct_clinical.png")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pictures", nargs="+", choices=["walnut", "tooth", "clinical"])
    parser.add_argument("--arrays", type=Path, help="images that train_ct_gallery.py --evaluate wrote")
    parser.add_argument("--weights", type=Path, help="folder of its networks, with log.json and figures.json")
    a = parser.parse_args()
    GALLERY.mkdir(exist_ok=True)
    if "walnut" in a.pictures:
        walnut()
    if "tooth" in a.pictures:
        tooth()
    if "clinical" in a.pictures:
        clinical(a.arrays, a.weights)


if __name__ == "__main__":
    main()
