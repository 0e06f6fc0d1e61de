"""Small cases for the conformance kit."""

from recon.testing import Example

__all__ = ["varnet"]

SMALL = {"num_cascades": 2, "sens_chans": 2, "sens_pools": 2, "chans": 3, "pools": 2}


def varnet() -> list[Example]:
    """Columns on odd sizes, a plane of samples with checkpoints, one coil fully sampled."""
    columns = [1, 0, 1, 0, 0, 1, 1, 1, 1, 0, 1, 0, 0]
    plane = [
        [int((i * 7 + j * 3) % 4 == 0 or (abs(i - 6) < 3 and abs(j - 5) < 3)) for j in range(10)] for i in range(12)
    ]
    return [
        Example(params=SMALL, operator={"use": "fourier", "mask": columns}, shape=(2, 3, 18, 13), complex=True),
        Example(
            params={**SMALL, "checkpoint": True, "crop": [8, 12]},
            operator={"use": "fourier", "mask": plane},
            shape=(2, 2, 12, 10),
            complex=True,
            name="plane, crop, checkpoints",
        ),
        Example(params={**SMALL, "num_low_frequencies": 4}, operator="fourier", shape=(2, 1, 17, 16), complex=True),
    ]
