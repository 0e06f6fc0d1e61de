"""Images and measurements with their geometry, and the files that they come from and go to."""

from typing import TYPE_CHECKING

from recon.plugin import lazy

if TYPE_CHECKING:
    from recon.io.files import check_output, read, write
    from recon.io.image import Image
    from recon.io.measurement import Measurement

__all__ = ["Image", "Measurement", "check_output", "read", "write"]

# Lazy, so that `recon.io.atomic` does not bring torch along.
__getattr__ = lazy(
    __name__,
    {
        "Image": ".image",
        "Measurement": ".measurement",
        "check_output": ".files",
        "read": ".files",
        "write": ".files",
    },
)
