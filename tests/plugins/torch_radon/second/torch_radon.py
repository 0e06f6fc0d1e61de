"""What torch-radon's version 2 computes, written anew from its documented conventions, on the CPU.

Image row 0 on top, pixels of size 1 about the origin; rays x cos + y sin = t with y up; a fan's source at
(sin, -cos) src_dist. The image is a texture, sampled bilinearly along the ray and zero outside; the back-projection
interpolates each view at the pixels' centres and divides by the detector's spacing.
"""

import warnings

import torch

STEP = 0.25
warnings.simplefilter("default")  # as the real one does at import


def _checked(x, *shape):
    if not x.is_contiguous():
        raise ValueError("must be contiguous")
    if x.dtype not in (torch.float32, torch.float16):
        raise ValueError(f"unknown dtype {x.dtype}")
    if tuple(x.shape[-2:]) != shape:
        raise ValueError(f"expected {shape}, got {tuple(x.shape)}")


class Volume2D:
    def __init__(self, center=(0.0, 0.0), voxel_size=(1.0, 1.0)):
        self.height = self.width = -1

    def set_size(self, height, width):
        self.height, self.width = height, width


class _Projection:
    def __init__(self, det_count, angles, det_spacing, volume):
        self.angles = torch.as_tensor(angles)
        if self.angles.dtype != torch.float32:
            raise ValueError("angles must be float32")
        self.det_count, self.det_spacing, self.volume = det_count, det_spacing, volume
        self.t = (torch.arange(det_count) - (det_count - 1) / 2) * det_spacing

    def forward(self, x, angles=None, exec_cfg=None):
        height, width = self.volume.height, self.volume.width
        _checked(x, height, width)
        reach = (height**2 + width**2) ** 0.5 / 2 + 1
        along = torch.arange(-reach, reach, STEP)
        views = []
        for angle in self.angles:
            point, direction = self._rays(angle)
            # Distances along the ray, counted from where it passes the origin.
            nearest = -(point * direction).sum(-1)
            places = point[:, None] + (nearest[:, None] + along)[..., None] * direction[:, None]
            u, v = places[..., 0] / (width / 2), -places[..., 1] / (height / 2)
            grid = torch.stack([u, v], -1)[None].expand(len(x.reshape(-1, height, width)), -1, -1, -1)
            sampled = torch.nn.functional.grid_sample(x.reshape(-1, 1, height, width), grid, align_corners=False)
            views.append(sampled[:, 0].sum(-1) * STEP)
        return torch.stack(views, 1).reshape(*x.shape[:-2], len(self.angles), self.det_count)

    def backward(self, y, angles=None, volume=None, exec_cfg=None):
        _checked(y, len(self.angles), self.det_count)
        height, width = self.volume.height, self.volume.width
        px = torch.arange(width) - (width - 1) / 2
        py = ((height - 1) / 2 - torch.arange(height))[:, None]
        flat = y.reshape(-1, len(self.angles), self.det_count)
        result = torch.zeros(len(flat), height, width)
        for view, angle in enumerate(self.angles):
            t, scale = self._place(angle, px, py)
            index = t / self.det_spacing + (self.det_count - 1) / 2
            low = index.floor()
            share = index - low
            for place, part in ((low, 1 - share), (low + 1, share)):
                inside = (place >= 0) & (place < self.det_count)
                result += flat[:, view][:, place.long().clamp(0, self.det_count - 1)] * part * inside * scale
        return (result / self.det_spacing).reshape(*y.shape[:-2], height, width)


class ParallelBeam(_Projection):
    def __init__(self, det_count, angles, det_spacing=1.0, volume=None):
        super().__init__(det_count, angles, det_spacing, volume)

    def _rays(self, angle):
        across = torch.stack([angle.cos(), angle.sin()])
        along = torch.stack([-angle.sin(), angle.cos()])
        return self.t[:, None] * across, along.expand(self.det_count, 2)

    def _place(self, angle, x, y):
        return x * angle.cos() + y * angle.sin(), 1.0


class FanBeam(_Projection):
    def __init__(self, det_count, angles, src_dist=None, det_dist=None, det_spacing=None, volume=None):
        self.src_dist = det_count if src_dist is None else src_dist
        self.det_dist = self.src_dist if det_dist is None else det_dist
        spacing = (self.src_dist + self.det_dist) / self.src_dist if det_spacing is None else det_spacing
        super().__init__(det_count, angles, spacing, volume)

    def _rays(self, angle):
        across = torch.stack([angle.cos(), angle.sin()])
        along = torch.stack([-angle.sin(), angle.cos()])
        direction = (self.src_dist + self.det_dist) * along + self.t[:, None] * across
        return (-self.src_dist * along).expand(self.det_count, 2), direction / direction.norm(dim=-1, keepdim=True)

    def _place(self, angle, x, y):
        depth = self.src_dist - x * angle.sin() + y * angle.cos()
        scale = (self.src_dist + self.det_dist) / depth
        return (x * angle.cos() + y * angle.sin()) * scale, scale
