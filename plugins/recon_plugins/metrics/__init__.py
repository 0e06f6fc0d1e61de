"""Image quality: PSNR, SSIM, NMSE and regressed SNR, and fastMRI's volume-level trio."""

from collections.abc import Iterator

from recon import Component, hookimpl
from recon.plugin import lazy

_WHERE = {
    "PSNR": ".psnr",
    "SSIM": ".ssim",
    "NMSE": ".nmse",
    "RegressedSNR": ".regressed_snr",
    "FastMRIPSNR": ".fastmri",
    "FastMRISSIM": ".fastmri",
    "FastMRINMSE": ".fastmri",
}
_SUMMARIES = {
    "psnr": "Peak signal-to-noise ratio in dB, with named peak, border and rounding",
    "ssim": "Structural similarity, with Wang's Gaussian window or scikit-image's uniform one",
    "nmse": "Squared error over the target's squared norm",
    "regressed_snr": "Signal-to-noise ratio in dB after the best affine fit, as FBPConvNet is judged by",
    "fastmri_psnr": "fastMRI's PSNR of a volume: peak is the volume's maximum",
    "fastmri_ssim": "fastMRI's SSIM of a volume: mean over slices, range is the volume's maximum",
    "fastmri_nmse": "fastMRI's NMSE of a volume",
}
_REFERENCES = {
    "ssim": ("10.1109/TIP.2003.819861",),
    "regressed_snr": ("10.1109/TIP.2017.2713099",),
}

__getattr__ = lazy(__name__, _WHERE)


@hookimpl
def recon_components() -> Iterator[Component]:
    """Declare the metrics."""
    for (class_name, module), (name, summary) in zip(_WHERE.items(), _SUMMARIES.items(), strict=True):
        yield Component(
            kind="metric",
            name=name,
            target=f"recon_plugins.metrics{module}:{class_name}",
            summary=summary,
            examples=f"recon_plugins.metrics.examples:{name}",
            tags=("mri",) if name.startswith("fastmri") else (),
            references=_REFERENCES.get(name, ()),
        )
