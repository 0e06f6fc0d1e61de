"""NIfTI to float32: process CPU time against nibabel, with and without gzip, and what is read compared value by value.

Contenders take turns within one process; a ratio is the median of the ratios of the rounds. The volume is a smooth
object with noise, int16 as CT is stored; the file is in the cache of the system.

Run: OMP_NUM_THREADS=1 python tests/benchmarks/io_nifti.py [--slices 120] [--repeat 7] [--slope]
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from pathlib import Path

import nibabel as nib
import numpy as np

from recon.io import read, stored_array


def volume(slices: int) -> np.ndarray:
    random = np.random.default_rng(0)
    y, x = np.mgrid[-1:1:512j, -1:1:512j]
    body = np.where(x**2 + y**2 < 0.8, 40.0, -1000.0)
    noise = random.normal(0, 12, (slices, 512, 512)).astype(np.float32) * (body > -900)
    return np.rint(body + noise).astype(np.int16).T


def by_nibabel(path: Path) -> np.ndarray:
    return np.asarray(nib.load(path).dataobj, dtype=np.float32)


def by_recon(path: Path) -> np.ndarray:
    return read(path, reader={"use": "nifti", "dtype": "float32"}).data.numpy().T


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--slices", type=int, default=120)
    parser.add_argument("--repeat", type=int, default=7)
    parser.add_argument("--slope", action="store_true", help="store with a slope and an intercept")
    arguments = parser.parse_args()
    print(f"gzip by {'isal' if stored_array.igzip else 'zlib'}, {arguments.slices} slices of 512 x 512, int16")
    failed = False
    with tempfile.TemporaryDirectory() as folder:
        for suffix, bound in ((".nii", 1.2), (".nii.gz", 0.6)):
            path = Path(folder) / f"x{suffix}"
            image = nib.Nifti1Image(volume(arguments.slices), np.diag([0.7, 0.7, 1, 1]))
            if arguments.slope:
                image.header.set_slope_inter(0.37, -1024)
            nib.save(image, path)
            error = float(np.abs(by_recon(path) - by_nibabel(path)).max())
            times: dict[str, list[float]] = {"nibabel": [], "recon": []}
            for _ in range(arguments.repeat):
                for name, run in (("nibabel", by_nibabel), ("recon", by_recon)):
                    start = time.process_time()
                    run(path)
                    times[name].append(time.process_time() - start)
            ratio = statistics.median(ours / theirs for theirs, ours in zip(*times.values(), strict=True))
            failed |= ratio > bound
            medians = ", ".join(f"{name} {statistics.median(values) * 1e3:.0f} ms" for name, values in times.items())
            print(f"{suffix}: {medians}, ratio {ratio:.2f} (at most {bound}), largest difference {error:g}")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
