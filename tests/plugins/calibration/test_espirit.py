"""ESPIRiT against known maps and sigpy."""

from __future__ import annotations
