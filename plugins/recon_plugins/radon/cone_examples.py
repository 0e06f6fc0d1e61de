"""Small cases of projectors in space, and of cone-beam reconstruction, for the conformance kit."""

from __future__ import annotations

from recon.testing import Example

__all__ = ["cone_beam", "fdk", "parallel_3d", "volume_transform"]


def parallel_3d() -> list[Example]:
    """Rows on slices and between them, coarse bins, voxels that are not cubes, a volume off the axis."""
    return [
        Example(params={"size": [3, 8, 8], "angles": 6}, shape=(2, 1, 3, 8, 8), name="rows on slices"),
        Example(
            params={"size": [4, 5, 7], "angles": [0.0, 0.7, 2.1], "pixel": [0.5, 1.0, 0.8], "bins": [5, 9]}
            | {"bin_size": [0.6, 1.1], "offset": [0.2, -0.4], "centre": [0.3, -0.5, 0.2]},
            shape=(2, 1, 4, 5, 7),
            complex=True,
            name="rows between slices",
        ),
    ]


def cone_beam() -> list[Example]:
    """Flat and curved detectors, circle and helix, voxels that are not cubes, complex volumes."""
    scanner = {"source_distance": 20.0, "detector_distance": 15.0}
    return [
        Example(params=scanner | {"size": [4, 6, 6], "angles": 4}, shape=(2, 1, 4, 6, 6), name="flat"),
        Example(
            params=scanner
            | {"size": [5, 7, 4], "angles": [0.0, 0.7, 2.1, 5.0, 9.0], "pixel": [0.7, 1.0, 0.8], "bins": [5, 9]}
            | {"bin_size": [1.2, 1.7], "offset": [0.2, -0.4], "detector": "curved", "pitch": 1.5},
            shape=(2, 1, 5, 7, 4),
            name="curved, helix",
        ),
        Example(
            params=scanner | {"size": [3, 5, 4], "angles": 3, "bin_size": [4.0, 3.5], "centre": [1.0, -0.5, 0.3]},
            shape=(2, 2, 3, 5, 4),
            complex=True,
            name="complex, coarse bins",
        ),
    ]


def volume_transform() -> list[Example]:
    """Tilted detectors, and a source at listed heights."""
    cone = {"angles": [0.0, 1.1, 2.9], "bins": [5, 6], "bin_size": 1.6, "source_distance": 20.0}
    return [
        Example(
            params={"geometry": cone | {"detector_distance": 15.0, "tilt": [0.2, 0.1, -0.15]}, "size": [4, 5, 6]},
            shape=(2, 1, 4, 5, 6),
            name="tilted detector",
        ),
        Example(
            params={"geometry": cone | {"detector_distance": 5.0, "heights": [0.0, 1.0, -1.0]}, "size": [4, 5, 6]},
            shape=(2, 1, 4, 5, 6),
            name="listed heights",
        ),
    ]


def fdk() -> list[Example]:
    """Enough views of a smooth volume to reconstruct it well."""
    scanner = {"use": "cone_beam", "size": [16, 24, 24], "source_distance": 200.0, "detector_distance": 100.0}
    return [
        Example(params={"padding": "edge"}, operator=scanner | {"angles": 48}, shape=(2, 1, 16, 24, 24), name="flat"),
        Example(
            params={"filter": "shepp-logan"},
            operator=scanner | {"angles": 48, "detector": "curved", "pixel": 0.7},
            shape=(1, 2, 16, 24, 24),
            name="curved",
        ),
    ]
