"""``recon convert FOLDER out.nii`` for a CT series against dcm2niix: CPU time of whole child processes, interleaved.

Imports count. The values of both files are compared through their affines' flips before anything is timed.

Run: OMP_NUM_THREADS=1 python tests/benchmarks/io_convert.py [--slices 300] [--repeat 3]
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import dcm2niix
import nibabel as nib
import numpy as np
from io_dicom import head

from recon_datasets.dicom_series import write_slices

CONVERT = (sys.executable, "-m", "recon", "convert")
INT16 = ("--writer", "{use: nifti, dtype: int16}")


def cpu_seconds(command: list[str], cache: Path) -> float:
    """Return user plus system time of one child process; byte code is kept in `cache`, as an installed package has."""
    environment = {**os.environ, "PYTHONPYCACHEPREFIX": str(cache), "PYTHONDONTWRITEBYTECODE": ""}
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def values(path: Path) -> np.ndarray:
    """Return the voxels as nibabel has them, turned to run along +x, +y and +z."""
    return np.asarray(nib.as_closest_canonical(nib.load(path)).dataobj, dtype=np.float32)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--slices", type=int, default=300)
    parser.add_argument("--repeat", type=int, default=3)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        source, ours, theirs = place / "ct", place / "ours", place / "theirs"
        write_slices(source, head(arguments.slices))
        ours.mkdir()
        theirs.mkdir()
        for suffix, zipped in ((".nii", "n"), (".nii.gz", "y")):
            target = ours / f"x{suffix}"
            rival = [dcm2niix.bin, "-z", zipped, "-b", "n", "-w", "1", "-f", "x", "-o", str(theirs), str(source)]
            commands = {
                "dcm2niix": rival,
                "recon": [*CONVERT, str(source), str(target)],
                "recon, as int16": [*CONVERT, str(source), str(target), *INT16],
            }
            times: dict[str, list[float]] = {label: [] for label in commands}
            sizes = {}
            for turn in range(arguments.repeat + 1):
                for label, command in commands.items():
                    seconds = cpu_seconds(command, place / "cache")
                    made = (theirs if label == "dcm2niix" else ours) / f"x{suffix}"
                    sizes[label] = made.stat().st_size / 1e6
                    if turn:
                        times[label].append(seconds)
                    elif label != "dcm2niix" and not np.array_equal(values(made), values(theirs / f"x{suffix}")):
                        sys.exit(f"{label} and dcm2niix disagree")
            base = statistics.median(times["dcm2niix"])
            for label, measured in times.items():
                median = statistics.median(measured)
                print(f"{suffix:8} {label:16} {median:6.2f} s CPU, {median / base:5.2f} x, {sizes[label]:6.1f} MB")


if __name__ == "__main__":
    main()
