"""All cases: importing the modules that define them registers them."""

from . import groups, headers, multi_frame, places, syntaxes, values
from .case import CASES

__all__ = ["CASES", "groups", "headers", "multi_frame", "places", "syntaxes", "values"]
