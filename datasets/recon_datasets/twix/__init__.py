"""Siemens' raw data files (twix, meas.dat), by twixtools."""

from collections.abc import Iterator

from recon import Component, hookimpl
from recon.plugin import lazy

__getattr__ = lazy(__name__, {"TwixReader": ".reader", "write_twix_points": ".synthetic"})


@hookimpl
def recon_components() -> Iterator[Component]:
    """Offer the reader."""
    yield Component(
        kind="reader",
        name="twix",
        target="recon_datasets.twix.reader:TwixReader",
        summary="Siemens raw data (twix): k-space, whitened and placed, with its calibration lines",
        examples="recon_datasets.twix.examples:reader",
        requires=("twixtools", "matplotlib"),
        extra="twix",
        suffixes=(".dat",),
        tags=("mri", "raw"),
        stability="experimental",
    )
