"""Start-up cost of recon against a bare interpreter: CPU time of whole child processes, interleaved, medians.

Byte code is kept between runs, as an installed package has it.

python tests/benchmarks/startup.py [repetitions]
"""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

COMMANDS = {
    "python -c pass": ["-c", "pass"],
    "import recon": ["-c", "import recon"],
    "recon --help": ["-m", "recon", "--help"],
    "recon plugins": ["-m", "recon", "plugins"],
    "recon ls EMPTY_FOLDER": ["-m", "recon", "ls", "."],
    "import torch": ["-c", "import torch"],
    "build an operator": ["-c", "import recon; recon.build('operator', 'fourier')"],
}


def cpu_milliseconds(arguments: list[str], folder: str) -> float:
    """Return user plus system time of one child process, run in an empty folder."""
    environment = {**os.environ, "PYTHONPYCACHEPREFIX": f"{folder}-cache", "PYTHONDONTWRITEBYTECODE": ""}
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, *arguments], check=False, capture_output=True, env=environment, cwd=folder)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return 1e3 * (after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime)


def measure(repetitions: int) -> dict[str, list[float]]:
    """Run all commands in turn, after one warm-up round."""
    times: dict[str, list[float]] = {name: [] for name in COMMANDS}
    with tempfile.TemporaryDirectory() as place:
        folder = f"{place}/empty"
        Path(folder).mkdir()
        for turn in range(repetitions + 1):
            for name, arguments in COMMANDS.items():
                value = cpu_milliseconds(arguments, folder)
                if turn:
                    times[name].append(value)
    return times


if __name__ == "__main__":
    result = measure(int(sys.argv[1]) if len(sys.argv) > 1 else 11)
    bare = statistics.median(result["python -c pass"])
    for name, values in result.items():
        median = statistics.median(values)
        print(f"{name:<20} {median:8.1f} ms CPU  (min {min(values):.1f})  {median / bare:6.1f} x bare")
