"""Small cases of the Radon transform for the conformance kit."""

from __future__ import annotations

from recon.testing import Example

__all__ = ["fan_beam", "fbp", "limited_angle", "radon", "ray_transform", "sparse_views"]


def radon() -> list[Example]:
    """Square and not, odd and even, coarse and fine detectors, listed angles, complex images."""
    return [
        Example(params={"size": [8, 8], "angles": 6}, shape=(2, 1, 8, 8), name="square"),
        Example(
            params={"size": [7, 10], "angles": [0.0, 0.4, 1.6, 3.0, 4.1], "pixel": 0.5, "bins": 9, "bin_size": 0.8},
            shape=(2, 2, 7, 10),
            name="listed angles",
        ),
        Example(
            params={"size": [9, 5], "angles": 4, "bin_size": 2.5}, shape=(3, 1, 9, 5), complex=True, name="complex"
        ),
    ]


def fan_beam() -> list[Example]:
    """Flat and curved detectors, centred and shifted, square images and not, complex ones."""
    scanner = {"source_distance": 20.0, "detector_distance": 15.0}
    return [
        Example(params=scanner | {"size": [8, 8], "angles": 8}, shape=(2, 1, 8, 8), name="flat"),
        Example(
            params=scanner
            | {"size": [7, 10], "angles": [0.0, 0.4, 1.6, 3.0, 6.1], "pixel": 0.5, "bins": 9, "bin_size": 1.1}
            | {"offset": 0.3, "detector": "curved"},
            shape=(2, 2, 7, 10),
            name="curved, shifted",
        ),
        Example(
            params=scanner | {"size": [9, 5], "angles": 4, "bin_size": 4.0},
            shape=(3, 1, 9, 5),
            complex=True,
            name="complex",
        ),
    ]


def ray_transform() -> list[Example]:
    """Image away from the centre, with pixels that are not square; a tilted detector."""
    fan = {"angles": [0.0, 1.1, 2.9, 5.0], "bins": 11, "bin_size": 1.3, "source_distance": 20.0}
    return [
        Example(
            params={
                "geometry": {"angles": [0.2, 1.5, 2.2], "bins": 12, "bin_size": 0.9, "offset": 0.4},
                "size": [7, 9],
                "pixel": [1.2, 0.8],
                "centre": [1.0, -0.5],
            },
            shape=(2, 1, 7, 9),
            name="parallel",
        ),
        Example(
            params={"geometry": fan | {"detector_distance": 15.0, "tilt": 0.2}, "size": [8, 8]},
            shape=(2, 1, 8, 8),
            name="tilted detector",
        ),
    ]


def sparse_views() -> list[Example]:
    """Every third view, so many, listed ones; sinograms of planes and of volumes, complex ones."""
    return [
        Example(params={"views": 10, "every": 3}, shape=(2, 1, 10, 7), name="every third"),
        Example(params={"views": 9, "count": 4}, shape=(1, 2, 9, 3, 5), name="four, of a volume"),
        Example(params={"views": 6, "index": [5, 0, 2]}, shape=(3, 1, 6, 4), complex=True, name="listed"),
    ]


def limited_angle() -> list[Example]:
    """Arcs over the end of a turn, and from its start."""
    return [
        Example(params={"angles": [0.0, 1.0, 3.0, 6.0], "start": -0.5, "stop": 1.2}, shape=(2, 1, 4, 7), name="arc"),
        Example(params={"angles": 9, "start": 0.0, "stop": 2.0}, shape=(1, 1, 9, 3, 5), complex=True, name="volume"),
    ]


def fbp() -> list[Example]:
    """Enough views of a smooth image to reconstruct it well: parallel beams and fans."""
    radon = {"use": "radon", "size": [32, 32], "angles": 48, "pixel": 0.7}
    fan = {"use": "fan_beam", "size": [30, 30], "angles": 90, "source_distance": 60.0, "detector_distance": 30.0}
    return [
        Example(params={}, operator=radon, shape=(2, 1, 32, 32), name="ram-lak"),
        Example(params={"filter": "shepp-logan"}, operator=radon | {"size": [31, 40]}, shape=(2, 2, 31, 40)),
        Example(params={"interpolation": "cubic"}, operator=fan, shape=(1, 1, 30, 30), name="fan, cubic"),
        Example(params={}, operator=fan | {"detector": "curved"}, shape=(2, 1, 30, 30), name="curved"),
    ]
