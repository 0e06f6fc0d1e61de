"""Cases: scans with one property that readers get wrong."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from .scan import Scan

__all__ = ["CASES", "Case", "case"]


@dataclass(frozen=True)
class Case:
    """One fault.

    Parameters
    ----------
    build
        Makes the scan.
    codes
        Refusals that are right. Without any, the image must be right.
    tolerance
        Of the place of corners in mm.
    needs
        Module that writes the transfer syntax.
    instance_matters
        Whether instance numbers order the volumes in time.
    """

    build: Callable[[], Scan]
    codes: tuple[str, ...] = ()
    tolerance: float = 2e-3
    needs: str = ""
    instance_matters: bool = False


CASES: dict[str, Case] = {}


def case(*codes: str, tolerance: float = 2e-3, needs: str = "", instance_matters: bool = False):
    def register(build: Callable[[], Scan]) -> Callable[[], Scan]:
        full = tuple(f"RECON-DICOM-{code}" for code in codes)
        CASES[build.__name__] = Case(build, full, tolerance, needs, instance_matters)
        return build

    return register
