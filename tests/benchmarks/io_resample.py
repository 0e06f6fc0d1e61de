"""Resampling of images against SimpleITK: one process, one thread, interleaved, ratios of medians of CPU time.

python tests/benchmarks/io_resample.py
"""

from __future__ import annotations

import statistics
import time

import numpy as np
import SimpleITK as sitk
import torch
from scipy.spatial.transform import Rotation

from recon import Image
from recon.io.geometry import ras_lps

ROUNDS = 7


def as_itk(image: Image) -> sitk.Image:
    """Return the image as SimpleITK has it."""
    affine = ras_lps(image.affine)
    sizes = np.linalg.norm(affine[:3, :3], axis=0)
    found = sitk.GetImageFromArray(image.data.numpy())
    found.SetOrigin(affine[:3, 3].tolist())
    found.SetSpacing(sizes.tolist())
    found.SetDirection((affine[:3, :3] / sizes).ravel().tolist())
    return found


def main() -> None:
    """Print one line a grid."""
    torch.set_num_threads(1)
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    data = torch.randn(60, 160, 160, generator=torch.Generator().manual_seed(0))
    image = Image(data=data, affine=np.diag([1, 1, 2.5, 1]))
    oblique = np.diag([1, 1, 2, 1.0])
    oblique[:3, :3] = Rotation.from_euler("xyz", [5, 10, 20], degrees=True).as_matrix() @ oblique[:3, :3]
    oblique[:3, 3] = (20, 5, 3)
    targets = {
        "another spacing": image.resample(spacing=1.5),
        "oblique": Image(data=torch.zeros(60, 128, 128), affine=oblique),
    }
    source = as_itk(image)
    for name, target in targets.items():
        grid = as_itk(target)
        ways = {
            "recon": lambda target=target: image.resample(to=target).data.numpy(),
            "SimpleITK": lambda grid=grid: sitk.GetArrayFromImage(
                sitk.Resample(source, grid, sitk.Transform(), sitk.sitkLinear, 0.0)
            ),
        }
        times: dict[str, list[float]] = {way: [] for way in ways}
        results = {}
        for _ in range(ROUNDS):
            for way, run in ways.items():
                start = time.process_time()
                results[way] = run()
                times[way].append(time.process_time() - start)
        ours, theirs = (statistics.median(times[way]) for way in ways)
        apart = np.abs(results["recon"] - results["SimpleITK"]).max()
        print(f"{name:16} recon {ours:.3f} s, SimpleITK {theirs:.3f} s, ratio {ours / theirs:.2f}, apart {apart:.1e}")


if __name__ == "__main__":
    main()
