"""Reads files in a process of its own with bounded memory, so that a crash or a hang is seen rather than shared."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import torch

__all__ = ["Found", "Reading"]

SPARE = 2**30
"""Bytes of address space that a reader gets beyond what the process has with everything imported."""

PROGRAM = f"""
import json, resource, sys, time, warnings
import numpy, torch, recon
from recon.errors import CodedFileError, ReconError

warnings.simplefilter("error")
torch.set_num_threads(1)
out = sys.stdout
sys.stdout = sys.stderr

def read(request):
    start = time.process_time()
    try:
        item = recon.read(request["path"], reader=request["reader"])
    except ReconError as error:
        answer = {{"code": getattr(error, "code", "") or type(error).__name__, "text": str(error)}}
    except BaseException as error:
        answer = {{"crash": f"{{type(error).__name__}}: {{error}}"}}
    else:
        data = getattr(item, "data", None)
        affine = getattr(item, "affine", None)
        answer = {{
            "shape": None if data is None else list(data.shape),
            "notes": list(getattr(item, "notes", ())),
            "affine": None if affine is None else affine.tolist(),
        }}
        if data is not None and request["save"]:
            numpy.save(request["save"], data.numpy())
    answer["seconds"] = time.process_time() - start
    return answer

for line in sys.stdin:
    request = json.loads(line)
    answer = read(request)
    if request["last"]:
        with open("/proc/self/statm") as file:
            size = int(file.read().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (size + {SPARE}, size + {SPARE}))
    print(json.dumps(answer), file=out, flush=True)
"""


class Reading:
    """A child process that reads; started again when a file has killed it.

    Parameters
    ----------
    warm
        Files that have their readers imported before memory is bounded.
    """

    def __init__(self, warm: list[Path]) -> None:
        self.warm = warm
        self.child: subprocess.Popen[str] | None = None

    def __call__(self, path: Path, reader: Any = None, save: Path | None = None) -> dict[str, Any]:
        """What came of reading: shape, notes and affine; or code and text of a refusal; or a crash."""
        if self.child is None:
            self.child = subprocess.Popen(
                [sys.executable, "-c", PROGRAM], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
            )
            for number, known in enumerate(self.warm, start=1):
                last = number == len(self.warm)
                self._ask({"path": str(known), "reader": None, "save": "", "last": last}, 300)
        return self._ask({"path": str(path), "reader": reader, "save": str(save or ""), "last": False}, 30)

    def close(self) -> None:
        if self.child is not None:
            self.child.kill()
            self.child.communicate()
            self.child = None

    def _ask(self, request: dict[str, Any], limit: float) -> dict[str, Any]:
        assert self.child is not None
        assert self.child.stdin is not None
        assert self.child.stdout is not None
        timer = threading.Timer(limit, self.child.kill)
        timer.start()
        try:
            self.child.stdin.write(json.dumps(request) + "\n")
            self.child.stdin.flush()
            line = self.child.stdout.readline()
        finally:
            timer.cancel()
        if line:
            return json.loads(line)
        self.child.communicate()
        status, self.child = self.child.returncode, None
        return {"crash": f"the process ended with {status}"}


class Found:
    """What was read, as much like an image as comparisons need.

    Parameters
    ----------
    answer
        That of `Reading`.
    values
        Those that it saved.
    """

    def __init__(self, answer: dict[str, Any], values: np.ndarray | None) -> None:
        self.data = None if values is None else torch.from_numpy(values)
        self.affine = None if answer["affine"] is None else np.array(answer["affine"])
        self.notes = answer["notes"]
