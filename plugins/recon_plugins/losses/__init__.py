"""Losses: supervised, and of measurements alone."""

from collections.abc import Iterator

from recon import Component, hookimpl
from recon.plugin import lazy

_COMPONENTS = (
    ("mse", "MSE", ".pixel", "Mean squared error |x - t|^2, real or complex", ()),
    ("l1", "L1", ".pixel", "Mean absolute error |x - t|, real or complex", ()),
    (
        "residual",
        "Residual",
        ".pixel",
        "DnCNN's loss: half the summed squared error per item",
        ("10.1109/TIP.2017.2662206",),
    ),
    ("ssim", "SSIMLoss", ".ssim", "1 - SSIM, by default as fastMRI defines it", ("10.1109/TIP.2003.819861",)),
    (
        "fastmri_l1",
        "FastMRIL1",
        ".fastmri_l1",
        "fastMRI's L1: in units of the zero-filled image's deviation, target clamped",
        ("10.48550/arXiv.1811.08839",),
    ),
    ("cross_entropy", "CrossEntropy", ".cross_entropy", "Cross entropy by pixel, without those labelled 255", ()),
    (
        "measurement_consistency",
        "MeasurementConsistency",
        ".measurement_consistency",
        "Distance of A f(y) to y: training without ground truth",
        (),
    ),
    (
        "measurement_splitting",
        "MeasurementSplitting",
        ".measurement_splitting",
        "Reconstruct from one part of the measurement, compare with the other: training without ground truth",
        ("10.1002/mrm.28378",),
    ),
)

__getattr__ = lazy(__name__, {class_name: module for _, class_name, module, *_ in _COMPONENTS})


@hookimpl
def recon_components() -> Iterator[Component]:
    """Declare the losses."""
    for name, class_name, module, summary, references in _COMPONENTS:
        yield Component(
            kind="loss",
            name=name,
            target=f"recon_plugins.losses{module}:{class_name}",
            summary=summary,
            examples=f"recon_plugins.losses.examples:{name}",
            tags=("self-supervised",) if name.startswith("measurement") else (),
            references=references,
        )
