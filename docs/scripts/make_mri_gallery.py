"""Draw docs/gallery/mri_*.png: real k-space reconstructed without training, from the data beside the checkout.

    python docs/scripts/make_mri_gallery.py brain bart phantom radial

Figures in captions are computed here.
"""

from __future__ import annotations

import argparse

import numpy as np
import torch
from make_ct_gallery import DATA, gray, sheet
from PIL import Image

import recon
from recon.kspace import root_sum_of_squares

MRI = DATA / "mri_kspace"
ESPIRIT = {"use": "espirit", "sets": 2}


def enlarged(pixels, width):
    picture = Image.fromarray(pixels)
    return np.asarray(picture.resize((width, round(picture.height * width / picture.width)), Image.Resampling.LANCZOS))


def cell(title, subtitle, x, *, width, peak=None, share=0.998):
    """Show magnitudes up to `peak`, by default up to that of all but a share of the pixels."""
    x = root_sum_of_squares(x)[0, 0]
    return title, subtitle, enlarged(gray(x, 0, float(x.quantile(share)) if peak is None else peak), width)


def reconstructed(y, operator, config):
    return recon.build("method", config)(y, operator)


def brain():
    """An 8-coil brain, one point in eight of a Poisson disc."""
    y = torch.from_numpy(np.load(MRI / "sigpy_brain8" / "cartesian_ksp.npy"))[None]
    operator = recon.build("operator", "fourier", mask=(y[0] != 0).any(0))
    methods = {
        "Zero-filled": ({"use": "rss"}, f"R = {operator.acceleration(y.shape[2:]):.1f}, 8 coils"),
        "CG-SENSE": ({"use": "cg_sense", "iterations": 8}, "8 steps, ESPIRiT maps"),
        "L1-wavelet ESPIRiT": ({"use": "l1_wavelet", "maps": ESPIRIT}, "60 steps, two sets of maps"),
    }
    sheet([[cell(t, s, reconstructed(y, operator, c), width=270) for t, (c, s) in methods.items()]], "mri_brain.png")


def bart():
    """BART's example of the same kind, against BART's own reconstruction of what it was cut from."""
    scan = recon.read(MRI / "bart_pics_brain" / "ksp.cfl")
    expected = root_sum_of_squares(torch.as_tensor(recon.read(MRI / "bart_pics_brain" / "img.cfl").data)[None])
    y, operator = scan.data, scan.operator()
    peak = float(expected.quantile(0.998))
    images, errors = [cell("BART", "of the data before masking", expected, width=240, peak=peak)], []
    for title, config in {
        "Zero-filled": {"use": "rss"},
        "CG-SENSE, 8 steps": {"use": "cg_sense", "iterations": 8},
        "Total variation": {"use": "tv_sense"},
        "L1-wavelet ESPIRiT": {"use": "l1_wavelet", "maps": ESPIRIT},
    }.items():
        x = root_sum_of_squares(reconstructed(y, operator, config))
        x = x * ((x * expected).sum() / (x * x).sum())
        nrmse = float((x - expected).norm() / expected.norm())
        print(f"{title}: NRMSE {nrmse:.4f}")
        images.append(cell(title, f"NRMSE {100 * nrmse:.1f} %", x, width=240, peak=peak))
        errors.append(cell("Difference, times 5", "", 5 * (x - expected), width=240, peak=peak))
    blank = ("", f"R = {operator.acceleration(y.shape[2:]):.1f}, 8 coils", np.zeros_like(images[0][2]))
    sheet([images, [blank, *errors]], "mri_bart.png")


def phantom():
    """A Siemens phantom, every third line with calibration lines beside: ISMRMRD, whitened by its noise scan."""
    scan = recon.read(next((MRI / "nhlbi_ismrmrd_R3").glob("*.h5")))
    y, operator = scan.data, scan.operator()
    row = []
    for title, config, subtitle in (
        ("Zero-filled", {"use": "rss"}, f"{y.shape[1]} coils, {int(operator.mask.sum())} of {y.shape[2]} lines"),
        ("GRAPPA", {"use": "grappa"}, "4 lines by 5 points"),
        ("CG-SENSE", {"use": "cg_sense", "iterations": 10}, "10 steps, ESPIRiT maps"),
    ):
        method = recon.build("method", config)
        if hasattr(method, "with_calibration"):
            method = method.with_calibration(scan.calibration)
        row.append(cell(title, subtitle, method(y, operator), width=300))
    sheet([row], "mri_phantom.png")


def radial():
    """A phantom of 17 coils along 33 spokes: the density-compensated adjoint, and what iterations add."""
    data = np.load(next((MRI / "radial_phantom17").glob("*.npy")), mmap_mode="r")[1]
    y = torch.from_numpy(np.ascontiguousarray(data.transpose(1, 0, 2)))[None]
    # The signal falls on the way to the steady state: spokes of equal energy about the centre.
    y = y / torch.linalg.vector_norm(y[..., 124:133], dim=(1, 3), keepdim=True)
    spokes = {"kind": "radial", "spokes": 33, "samples": 256, "angles": "full_turn", "reverse": True}
    operator = recon.build("operator", "nufft", size=[128, 128], trajectory=spokes)
    methods = {
        "Adjoint": ({"use": "rss"}, "33 spokes, 17 coils"),
        "Density compensated": ({"use": "gridding"}, "root sum of squares"),
        "CG-SENSE": ({"use": "cg_sense", "iterations": 15}, "15 steps, ESPIRiT maps"),
        "L1-wavelet": ({"use": "l1_wavelet", "weight": 0.03}, "60 steps"),
    }
    row = [cell(t, s, reconstructed(y, operator, c), width=256, share=0.985) for t, (c, s) in methods.items()]
    sheet([row], "mri_radial.png")


PICTURES = {"brain": brain, "bart": bart, "phantom": phantom, "radial": radial}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pictures", nargs="+", choices=PICTURES)
    for name in parser.parse_args().pictures:
        PICTURES[name]()


if __name__ == "__main__":
    main()
