"""Comparing files of reconstructions with files of references, by the protocol of a data set."""

from recon.plugin import lazy

__all__ = ["FastMRIProtocol", "Report", "VolumeScores"]

__getattr__ = lazy(__name__, {"FastMRIProtocol": ".fastmri", "Report": ".report", "VolumeScores": ".report"})
