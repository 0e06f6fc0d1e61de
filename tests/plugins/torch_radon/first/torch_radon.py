"""The interface of torch-radon's version 1: square images, `backprojection`, and no `ParallelBeam`."""

import importlib.util
from pathlib import Path

_spec = importlib.util.spec_from_file_location("second", Path(__file__).parents[1] / "second" / "torch_radon.py")
_second = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_second)


def _volume(resolution):
    volume = _second.Volume2D()
    volume.set_size(resolution, resolution)
    return volume


class Radon:
    def __init__(self, resolution, angles, det_count=-1, det_spacing=1.0, clip_to_circle=False):
        self.kept = _second.ParallelBeam(det_count, angles, det_spacing, _volume(resolution))

    def forward(self, x):
        return self.kept.forward(x)

    def backprojection(self, y):
        return self.kept.backward(y)


class RadonFanbeam(Radon):
    def __init__(self, resolution, angles, source_distance, det_distance=-1, det_count=-1, det_spacing=-1):
        self.kept = _second.FanBeam(det_count, angles, source_distance, det_distance, det_spacing, _volume(resolution))
