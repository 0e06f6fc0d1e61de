"""Small cases for the conformance kit."""

from recon.testing import Example

__all__ = ["fastmri_nmse", "fastmri_psnr", "fastmri_ssim", "nmse", "psnr", "regressed_snr", "ssim"]


def psnr() -> list[Example]:
    """Every data range, a border, rounding, complex images."""
    return [
        Example(shape=(2, 1, 7, 9)),
        Example(params={"data_range": "target_max", "shave": 2}, shape=(3, 2, 9, 6)),
        Example(params={"data_range": "target_range"}, shape=(2, 1, 5, 6, 4), complex=True),
        Example(params={"data_range": 255.0, "quantise": True}, shape=(2, 3, 8, 5)),
    ]


def ssim() -> list[Example]:
    """Both windows, one to three dimensions, complex images."""
    return [
        Example(shape=(2, 1, 13, 12)),
        Example(params={"variant": "uniform7", "data_range": "target_range"}, shape=(3, 2, 9, 8)),
        Example(params={"variant": "uniform7", "shave": 1}, shape=(2, 1, 9, 11, 10)),
        Example(params={"data_range": "target_max"}, shape=(2, 1, 19), complex=True),
    ]


def nmse() -> list[Example]:
    """Real and complex images."""
    return [Example(shape=(3, 2, 5, 7)), Example(shape=(2, 1, 6, 5), complex=True)]


def regressed_snr() -> list[Example]:
    """Real and complex images."""
    return [Example(shape=(3, 2, 5, 7)), Example(shape=(2, 1, 6, 5), complex=True)]


def fastmri_psnr() -> list[Example]:
    """Volumes of three slices."""
    return [Example(shape=(2, 3, 9, 8)), Example(shape=(2, 3, 8, 9), complex=True)]


fastmri_ssim = fastmri_psnr
fastmri_nmse = fastmri_psnr
