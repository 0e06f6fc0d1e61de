"""Small cases for the conformance kit."""

from recon.testing import Example

__all__ = ["sample"]


def sample() -> list[Example]:
    """Return both modalities, as stored and smaller."""
    return [
        Example(params={"modality": "mri", "split": "test"}, name="mri"),
        Example(params={"modality": "ct", "split": "validation", "size": 33}, name="ct, odd size"),
    ]
