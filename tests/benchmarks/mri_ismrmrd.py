"""Reading 2048 ISMRMRD readouts of 16 channels x 512 samples: CPU time against a bare h5py read of the records.

Contenders take turns within one process; a figure is the median of process CPU time, a ratio that of two medians. The
file is read as a library writes it, one record a chunk. ``bare`` is h5py's read of all records into memory, which every
reader needs; ``recon`` finds the place of each readout, checks it and returns k-space on its grid, with mask and
affine; ``half`` also removes twofold readout oversampling, ``whiten`` also decorrelates the coils by a noise scan. The
library's own ways are measured if it is there: ``acquisitions[:]`` of its File (its newer, bulk one), and the loop over
``read_acquisition`` of its Dataset.

Run: OMP_NUM_THREADS=1 python tests/benchmarks/mri_ismrmrd.py [--readouts 2048] [--repeat 7] [--loop]
"""

from __future__ import annotations

import argparse
import importlib.util
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np

import recon
from recon.io.raw.readouts import HEAD, Readouts
from recon_datasets.ismrmrd.synthetic import point_encoding, write_points

LINES, CHANNELS, SAMPLES = 256, 16, 512


def scan(folder: Path, readouts: int) -> dict[str, Path]:
    """Write slices of 256 lines each: as they are, with oversampled readouts, and with noise besides."""
    random = np.random.default_rng(0)
    data = list(random.standard_normal((readouts, CHANNELS, 2 * SAMPLES), dtype=np.float32).view(np.complex64))
    head = np.zeros(readouts, dtype=HEAD)
    head["number_of_samples"], head["center_sample"], head["active_channels"] = SAMPLES, SAMPLES // 2, CHANNELS
    number = np.arange(readouts)
    head["idx"]["kspace_encode_step_1"], head["idx"]["slice"] = number % LINES, number // LINES
    head["position"][:, 2] = number // LINES * 5.0
    head["read_dir"], head["phase_dir"], head["slice_dir"] = np.eye(3)
    matrix, fov = (SAMPLES, LINES, 1), (512.0, 256.0, 5.0)
    paths = {name: folder / f"{name}.h5" for name in ("plain", "half", "whiten")}
    write_points(paths["plain"], Readouts(head, data), point_encoding(matrix, fov))
    write_points(paths["half"], Readouts(head, data), point_encoding(matrix, fov, shown=(SAMPLES // 2, LINES, 1)))
    noise = head[:1].copy()
    noise["flags"] = np.uint64(1 << 18)
    with_noise = Readouts(np.concatenate([noise, head]), [data[0], *data])
    write_points(paths["whiten"], with_noise, point_encoding(matrix, fov))
    return paths


def bare(path: Path) -> np.ndarray:
    with h5py.File(path, "r") as file:
        return file["dataset/data"][:]


def library_bulk(path: Path) -> object:
    import ismrmrd

    with ismrmrd.File(str(path), "r") as file:
        return [acquisition.data for acquisition in file["dataset"].acquisitions[:]]


def library_loop(path: Path) -> object:
    import ismrmrd

    with ismrmrd.Dataset(str(path), "dataset", create_if_needed=False, mode="r") as file:
        return [file.read_acquisition(number).data for number in range(file.number_of_acquisitions())]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--readouts", type=int, default=2048)
    parser.add_argument("--repeat", type=int, default=7)
    parser.add_argument("--loop", action="store_true", help="also the library's loop, seconds a turn")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        paths = scan(Path(folder), options.readouts)
        read = recon.build("reader", "ismrmrd").read
        contenders: dict[str, Callable[[], object]] = {
            "bare h5py": lambda: bare(paths["plain"]),
            "recon": lambda: read(paths["plain"]),
            "recon, half": lambda: read(paths["half"]),
            "recon, whiten": lambda: read(paths["whiten"]),
        }
        if importlib.util.find_spec("ismrmrd") is not None:
            contenders["ismrmrd, acquisitions[:]"] = lambda: library_bulk(paths["plain"])
            if options.loop:
                contenders["ismrmrd, read_acquisition"] = lambda: library_loop(paths["plain"])
        records = bare(paths["plain"])
        found = read(paths["plain"]).data.numpy()
        last = records["data"][-1].view(np.complex64).reshape(CHANNELS, SAMPLES)
        equal = np.array_equal(found[-1, :, (options.readouts - 1) % LINES], last)
        del records, found, last
        times: dict[str, list[float]] = {name: [] for name in contenders}
        for _ in range(options.repeat):
            for name, run in contenders.items():
                start = time.process_time()
                run()
                times[name].append(time.process_time() - start)
    base = statistics.median(times["bare h5py"])
    print(f"{options.readouts} readouts of {CHANNELS} x {SAMPLES}; k-space equal to the records: {equal}")
    for name, values in times.items():
        median = statistics.median(values)
        print(f"{name:28s} {1e3 * median:8.1f} ms CPU   {median / base:6.2f} x bare")


if __name__ == "__main__":
    main()
