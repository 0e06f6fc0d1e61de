"""Speed of ``recon ls`` on a folder of 1,000 slices against pydicom's header pass over the same fields, interleaved.

Both run in child processes, so that imports count for both, from byte code that is kept between runs as an installed
package has it; the CPU time is that of the child. The pass asks for the
needed fields alone (``specific_tags``), stops before the pixels, and computes nothing.

python tests/benchmarks/io_ls.py [repetitions]
"""

from __future__ import annotations

import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

PASS = """
import os, sys
import pydicom
TAGS = ["SOPClassUID", "StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID", "SeriesNumber", "InstanceNumber",
        "Modality", "ImageType", "EchoTime", "ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing",
        "SliceThickness", "Rows", "Columns", "NumberOfFrames", "BitsAllocated", "BitsStored", "HighBit",
        "PixelRepresentation", "SamplesPerPixel", "PhotometricInterpretation", "RescaleSlope", "RescaleIntercept",
        "RescaleType", "TemporalPositionIdentifier", "AcquisitionNumber", "AcquisitionTime", "TriggerTime"]
for parent, _, names in os.walk(sys.argv[1]):
    for name in names:
        data = pydicom.dcmread(os.path.join(parent, name), stop_before_pixels=True, specific_tags=TAGS)
        for tag in TAGS:
            data.get(tag)
"""


def cpu_seconds(arguments: list[str], cache: Path) -> tuple[float, str]:
    """Return user plus system time of one child process, and what it printed."""
    environment = {**os.environ, "PYTHONPYCACHEPREFIX": str(cache), "PYTHONDONTWRITEBYTECODE": ""}
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run([sys.executable, *arguments], check=True, capture_output=True, text=True, env=environment)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime, done.stdout


def main(repetitions: int) -> None:
    """Measure in turn and print medians and their ratio."""
    from recon_datasets.dicom_series import write_slices

    with tempfile.TemporaryDirectory() as name, tempfile.TemporaryDirectory() as cache:
        folder = Path(name)
        values = np.random.default_rng(0).integers(0, 2000, (250, 64, 64))
        for number in range(4):
            write_slices(folder / f"{number}", values, name=f"series{number}", step=1.0)
        times: dict[str, list[float]] = {"pydicom header pass": [], "recon ls": []}
        commands = {"pydicom header pass": ["-c", PASS, name], "recon ls": ["-m", "recon", "ls", name, "--json"]}
        found = ""
        for turn in range(repetitions + 1):
            for label, command in commands.items():
                seconds, text = cpu_seconds(command, Path(cache))
                found = text or found
                if turn:
                    times[label].append(seconds)
        series = json.loads(found)["series"]
        files, whole = sum(item["files"] for item in series), sum(item["problem"] is None for item in series)
        print(f"found {len(series)} series of {files} files, {whole} of them whole")
    base = statistics.median(times["pydicom header pass"])
    for label, measured in times.items():
        median = statistics.median(measured)
        print(f"{label:<20} {median:6.2f} s CPU (min {min(measured):.2f})  {median / base:5.2f} x")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5)
