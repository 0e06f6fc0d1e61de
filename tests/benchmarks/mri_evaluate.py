"""fastMRI's SSIM of a volume against scikit-image, which fastMRI's own evaluation calls.

    OMP_NUM_THREADS=1 python tests/benchmarks/mri_evaluate.py

One process and one thread, interleaved; medians of CPU time per slice of 320 x 320, and their ratio. The difference to
scikit-image in double precision is printed beside it.
"""

from __future__ import annotations

import statistics
import time

import numpy as np
import torch
from skimage.metrics import structural_similarity

import recon

SLICES, REPETITIONS = 8, 11


def main() -> None:
    torch.set_num_threads(1)
    generator = np.random.default_rng(0)
    smooth = np.cumsum(np.cumsum(generator.standard_normal((SLICES, 320, 320)), 1), 2)
    target = 1e-4 * (smooth - smooth.min()) / np.ptp(smooth)
    guess = target + 3e-6 * generator.standard_normal(target.shape)
    metric = recon.build("metric", "fastmri_ssim")

    def theirs(x: np.ndarray, t: np.ndarray) -> float:
        peak = t.max()
        return float(np.mean([structural_similarity(b, a, data_range=peak) for a, b in zip(x, t, strict=True)]))

    def ours(x: np.ndarray, t: np.ndarray) -> float:
        return float(metric(torch.from_numpy(x)[None], torch.from_numpy(t)[None]))

    exact = theirs(guess, target)
    for dtype in (np.float32, np.float64):
        pair = guess.astype(dtype), target.astype(dtype)
        times: dict[str, list[float]] = {"scikit-image": [], "recon": []}
        for turn in range(REPETITIONS + 1):
            for name, function in (("scikit-image", theirs), ("recon", ours)):
                start = time.process_time()
                function(*pair)
                if turn:  # the first turn warms up
                    times[name].append(1e3 * (time.process_time() - start) / SLICES)
        theirs_ms, ours_ms = (statistics.median(values) for values in times.values())
        print(
            f"{dtype.__name__}: scikit-image {theirs_ms:.2f} ms a slice, recon {ours_ms:.2f} ms, "
            f"ratio {ours_ms / theirs_ms:.2f}; difference {abs(ours(*pair) - exact):.1g}"
        )


if __name__ == "__main__":
    main()
