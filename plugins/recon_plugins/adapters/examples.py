"""Small cases for the conformance kit."""

from typing import Any

from recon.testing import Example

__all__ = [
    "complex_channels",
    "from_adjoint",
    "from_method",
    "from_pinv",
    "global_residual",
    "normalised",
    "upscaled",
]


def _unet(channels: int) -> dict[str, Any]:
    return {"use": "unet", "in_channels": channels, "out_channels": channels, "chans": 2, "num_pool_layers": 1}


def complex_channels() -> list[Example]:
    """Complex images of one and of two channels."""
    return [
        Example(params={"model": _unet(2)}, shape=(2, 1, 5, 8), complex=True),
        Example(params={"model": _unet(4)}, shape=(2, 2, 6, 7), complex=True),
    ]


def normalised() -> list[Example]:
    """With and without a limit, around a real network and around a complex one."""
    return [
        Example(params={"model": _unet(1)}, shape=(2, 1, 5, 8)),
        Example(params={"model": _unet(1), "clamp": 2.0}, shape=(3, 1, 7, 6)),
        Example(params={"model": {"use": "complex_channels", "model": _unet(2)}}, shape=(2, 1, 6, 5), complex=True),
    ]


def global_residual() -> list[Example]:
    """Two channels, odd sizes."""
    return [Example(params={"model": _unet(2)}, shape=(2, 2, 5, 8))]


def upscaled() -> list[Example]:
    """Put a bicubic and a bilinear interpolation before a network."""
    return [
        Example(params={"factor": 3, "model": {"use": "srcnn", "features": [3, 2]}}, shape=(2, 1, 5, 4)),
        Example(params={"factor": 2, "method": "bilinear", "model": _unet(2)}, shape=(2, 2, 4, 7)),
    ]


def from_adjoint() -> list[Example]:
    """Undersampled k-space, complex, as magnitude, and the middle of coils combined."""
    operator = {"use": "fourier", "mask": [1, 0, 1, 1, 0, 1, 1]}
    return [
        Example(
            params={"model": {"use": "complex_channels", "model": _unet(2)}},
            operator=operator,
            shape=(2, 1, 6, 7),
            complex=True,
        ),
        Example(params={"model": _unet(1), "part": "magnitude"}, operator=operator, shape=(2, 1, 5, 7), complex=True),
        Example(
            params={"model": _unet(1), "part": "rss", "crop": [4, 5]},
            operator=operator,
            shape=(2, 3, 6, 7),
            complex=True,
        ),
    ]


def from_pinv() -> list[Example]:
    """Undersampled k-space, as its real part."""
    return [
        Example(
            params={"model": _unet(1), "part": "real", "iterations": 5},
            operator={"use": "fourier", "mask": [1, 0, 1, 1, 0, 1]},
            shape=(2, 1, 5, 6),
            complex=True,
        )
    ]


def from_method() -> list[Example]:
    """Refine a filtered back-projection, as FBPConvNet does."""
    return [
        Example(
            params={"method": {"use": "fbp"}, "model": {"use": "global_residual", "model": _unet(1)}},
            operator={"use": "radon", "size": [9, 8], "angles": 6},
            shape=(2, 1, 9, 8),
        )
    ]
