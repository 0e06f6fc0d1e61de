"""Reading a CT series: CPU time and peak memory against MONAI's PydicomReader and SimpleITK, and against bare decoders.

Contenders take turns within one process; a figure is the median of process CPU time, a ratio that of two medians. Every
result is compared with what was written. For compressed series the yardstick is a loop that reads each header with
pydicom and calls the fastest of the installed decoders directly. Peak memory is that of a fresh process each.

Run: OMP_NUM_THREADS=1 python tests/benchmarks/io_dicom.py [--slices 300] [--compressed 60] [--repeat 3] [--memory]
"""

from __future__ import annotations

import argparse
import logging
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
from pydicom.encaps import encapsulate, generate_frames
from pydicom.uid import JPEGLosslessSV1, JPEGLSLossless, RLELossless

from recon_datasets.dicom_series import DicomReader, write_slices

Run = Callable[[], np.ndarray]


def head(count: int, size: int = 512) -> np.ndarray:
    """Stored CT integers: air, a body of 1000 to 1300 with noise of 20, and bone."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[-1 : 1 : size * 1j, -1 : 1 : size * 1j]
    radius = np.hypot(x / 0.75, y / 0.9)
    body = np.where(radius < 1, 1040 + 60 * np.sin(9 * x) * np.cos(7 * y), 0) + np.where(
        abs(radius - 0.95) < 0.05, 900, 0
    )
    noise = rng.normal(0, 20, (size, 2 * size))
    return np.stack(
        [np.clip(body + noise[:, 7 * (k % 60) : 7 * (k % 60) + size], 0, 4000) for k in range(count)]
    ).astype(np.int16)


def monai_reader(folder: Path) -> np.ndarray:
    from monai.data.image_reader import PydicomReader

    reader = PydicomReader()
    data, _ = reader.get_data(reader.read(str(folder)))
    return np.asarray(data, dtype=np.float32).transpose(2, 1, 0)


def simpleitk(folder: Path) -> np.ndarray:
    import SimpleITK

    reader = SimpleITK.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder)))
    return SimpleITK.GetArrayFromImage(SimpleITK.Cast(reader.Execute(), SimpleITK.sitkFloat32))


def ours(folder: Path) -> np.ndarray:
    return DicomReader().read(folder).data.numpy()


READERS = {"recon": ours, "MONAI": monai_reader, "SimpleITK": simpleitk}


def interleaved(runs: dict[str, Run], repeat: int, expected: np.ndarray) -> dict[str, float]:
    """Median CPU seconds of each contender; a wrong volume ends the benchmark."""
    times: dict[str, list[float]] = {name: [] for name in runs}
    for turn in range(repeat + 1):
        for name, run in runs.items():
            start = time.process_time()
            result = run()
            if turn:
                times[name].append(time.process_time() - start)
            elif not np.array_equal(result.reshape(expected.shape), expected):
                sys.exit(f"{name} reads other values")
            del result
    return {name: statistics.median(found) for name, found in times.items()}


def compressed(folder: Path, values: np.ndarray, kind: str) -> None:
    import imagecodecs

    def squeeze(dataset: pydicom.Dataset, number: int) -> None:
        pixels = values[number]
        if kind == "RLE":
            dataset.compress(RLELossless, generate_instance_uid=False)
            return
        unsigned = pixels.astype(np.uint16)
        dataset.PixelRepresentation = 0
        jpeg_ls = kind == "JPEG-LS"
        stream = (
            imagecodecs.jpegls_encode(unsigned) if jpeg_ls else imagecodecs.ljpeg_encode(unsigned, bitspersample=16)
        )
        dataset.PixelData = encapsulate([bytes(stream)])
        dataset["PixelData"].is_undefined_length = True
        dataset.file_meta.TransferSyntaxUID = JPEGLSLossless if jpeg_ls else JPEGLosslessSV1

    write_slices(folder, values, change=squeeze)


def bare(folder: Path, kind: str, decoder: Callable[[bytes], np.ndarray], shape: tuple[int, ...]) -> np.ndarray:
    del kind
    out = np.empty(shape, np.float32)
    for place, path in zip(out, sorted(folder.iterdir()), strict=True):
        dataset = pydicom.dcmread(path)
        stream = next(generate_frames(dataset.PixelData, number_of_frames=1))
        place[...] = decoder(stream).reshape(shape[1:])
        place *= float(dataset.RescaleSlope)
        place += float(dataset.RescaleIntercept)
    return out


def decoders(kind: str) -> dict[str, Callable[[bytes], np.ndarray]]:
    import imagecodecs
    import jpeg_ls
    import rle.rle

    def charls(stream: bytes) -> np.ndarray:
        return np.frombuffer(jpeg_ls.decode_pixel_data(stream)[0], np.uint16)

    return {
        "RLE": {
            "imagecodecs": lambda stream: np.frombuffer(imagecodecs.dicomrle_decode(stream, "<i2"), "<i2"),
            "pylibjpeg-rle": lambda stream: np.frombuffer(rle.rle.decode_frame(stream, 512 * 512, 16, "<"), "<i2"),
        },
        "JPEG-LS": {"imagecodecs": imagecodecs.jpegls_decode, "pyjpegls": charls},
        "JPEG lossless": {
            "imagecodecs jpeg": imagecodecs.jpeg_decode,
            "imagecodecs ljpeg": imagecodecs.ljpeg_decode,
            "imagecodecs jpegsof3": imagecodecs.jpegsof3_decode,
        },
    }[kind]


def measure(name: str, folder: Path) -> None:
    """Print by how much the peak of this process rises over what stood before, in parts of the result."""
    READERS[name](folder.parent / "small")
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    before = resident("VmRSS")
    result = READERS[name](folder)
    print((resident("VmHWM") - before) / result.nbytes)


def resident(field: str) -> int:
    """Bytes of memory that the kernel tells of this process."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith(field))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--slices", type=int, default=300)
    parser.add_argument("--compressed", type=int, default=60)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--memory", action="store_true")
    parser.add_argument("--measure", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    if arguments.measure:
        measure(arguments.measure[0], Path(arguments.measure[1]))
        return
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        values = head(arguments.slices)
        write_slices(folder / "ct", values)
        write_slices(folder / "small", values[:2])
        expected = values.astype(np.float32) - 1024
        found = interleaved({n: lambda r=r: r(folder / "ct") for n, r in READERS.items()}, arguments.repeat, expected)
        for name, seconds in found.items():
            print(f"{name:24} {seconds:7.3f} s CPU, recon / it = {found['recon'] / seconds:.3f}")
        if arguments.memory:
            for name in READERS:
                command = [sys.executable, __file__, "--measure", name, str(folder / "ct")]
                told = subprocess.run(command, capture_output=True, text=True, check=True)
                print(f"{name:24} peak {float(told.stdout.split()[-1]):.2f} x the float32 volume")
        del expected
        few = values[: arguments.compressed]
        for kind in ("RLE", "JPEG-LS", "JPEG lossless") if arguments.compressed else ():
            compressed(folder / kind, few, kind)
            runs: dict[str, Run] = {"recon": lambda kind=kind: ours(folder / kind)}
            for name, decoder in decoders(kind).items():
                runs[f"pydicom + {name}"] = lambda kind=kind, d=decoder: bare(folder / kind, kind, d, few.shape)
            found = interleaved(runs, arguments.repeat, few.astype(np.float32) - 1024)
            fastest = min(seconds for name, seconds in found.items() if name != "recon")
            print(f"{kind}: recon / fastest = {found['recon'] / fastest:.3f}")
            for name, seconds in found.items():
                print(f"  {name:30} {1e3 * seconds / len(few):7.2f} ms CPU a slice")


if __name__ == "__main__":
    main()
