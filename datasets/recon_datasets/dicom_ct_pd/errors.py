"""Why a scan is not read."""

from __future__ import annotations

from recon.errors import FileFormatError

__all__ = ["ProjectionError"]


class ProjectionError(FileFormatError):
    """A scan that cannot be read without risk of a wrong image.

    The text never holds values of the file's text fields, which may name the patient.

    Parameters
    ----------
    code
        What is wrong, such as ``RECON-CTPD-GAP``; stable, for scripts.
    message
        The sentence that tells the fix.
    """

    def __init__(self, code: str, message: str) -> None:
        self.code = code
        self.message = message
        super().__init__(f"{code}: {message}")

    def __reduce__(self) -> tuple[type[ProjectionError], tuple[str, str]]:
        """Pickle by the two arguments."""
        return type(self), (self.code, self.message)
