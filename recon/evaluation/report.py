"""The scores of many volumes: tables by group, and files of them."""

from __future__ import annotations

import csv
import io
import json
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

__all__ = ["ALL", "Report", "Summary", "VolumeScores"]

ALL = "all"
"""Name of the group that every volume is in."""


@dataclass(frozen=True, slots=True)
class VolumeScores:
    """What one volume scored.

    Parameters
    ----------
    name
        Name of the file, without its suffix.
    slices
        Number of slices.
    acquisition, acceleration
        As the files tell; None where they do not.
    values
        Value of each metric.
    """

    name: str
    slices: int
    acquisition: str | None
    acceleration: float | None
    values: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Summary:
    """Mean and sample standard deviation of a metric over volumes; of a single volume there is none."""

    mean: float
    deviation: float | None

    @classmethod
    def of(cls, values: Sequence[float]) -> Summary:
        """Summarise; volumes that are equal to their reference have an infinite PSNR, and then so is the mean."""
        finite = all(math.isfinite(value) for value in values)
        mean = statistics.fmean(values)
        return cls(mean, statistics.stdev(values) if len(values) > 1 and finite else None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """The scores of many volumes, and what could not be compared.

    Parameters
    ----------
    conventions
        What each metric means, by name, in the order in which they are shown.
    volumes
        The volumes that were compared.
    missing
        References without a reconstruction.
    extra
        Reconstructions without a reference.
    faults
        Why a volume that has both could not be compared, by name.
    notes
        What else one should know.
    """

    conventions: Mapping[str, str]
    volumes: Sequence[VolumeScores]
    missing: Sequence[str] = ()
    extra: Sequence[str] = ()
    faults: Mapping[str, str] = field(default_factory=dict)
    notes: Sequence[str] = ()

    @property
    def complete(self) -> bool:
        """Whether every reference was compared with its reconstruction; a mean over fewer is of something else."""
        return not self.missing and not self.faults

    def groups(self) -> dict[str, list[VolumeScores]]:
        """Return the volumes of each acquisition, and all of them."""
        found: dict[str, list[VolumeScores]] = {}
        for volume in self.volumes:
            found.setdefault(volume.acquisition or "unknown", []).append(volume)
        return {**{name: found[name] for name in sorted(found)}, ALL: list(self.volumes)}

    def summaries(self) -> dict[str, dict[str, Summary]]:
        """Return the summary of each metric for each group."""
        return {
            group: {name: Summary.of([volume.values[name] for volume in volumes]) for name in self.conventions}
            for group, volumes in self.groups().items()
            if volumes
        }

    def table(self) -> str:
        """Return a table of the groups, mean ± two standard deviations, with the conventions below it."""
        groups, summaries = self.groups(), self.summaries()
        width = max(len("acquisition"), *map(len, groups))
        lines = [
            f"{'acquisition':<{width}} {'volumes':>7} {'slices':>6}" + "".join(f" {n:>17}" for n in self._titles())
        ]
        for group, summary in summaries.items():
            if group == ALL and len(groups) == 2:  # the only other group says the same
                continue
            volumes = groups[group]
            cells = "".join(f" {_cell(value):>17}" for value in summary.values())
            lines.append(f"{group:<{width}} {len(volumes):>7} {sum(v.slices for v in volumes):>6}{cells}")
        lines.append("mean ± 2 standard deviations over volumes")
        lines += [f"  {title:<5} {text}" for title, text in zip(self._titles(), self.conventions.values(), strict=True)]
        return "\n".join(lines)

    def to_json(self) -> str:
        """Return all as JSON; what is not a finite number becomes null."""
        content = {
            "conventions": dict(self.conventions),
            "groups": {
                group: {
                    "volumes": len(self.groups()[group]),
                    **{name: {"mean": _plain(s.mean), "deviation": s.deviation} for name, s in summary.items()},
                }
                for group, summary in self.summaries().items()
            },
            "volumes": [self._row(volume) for volume in self.volumes],
            "missing": list(self.missing),
            "extra": list(self.extra),
            "faults": dict(self.faults),
            "notes": list(self.notes),
        }
        return json.dumps(content, indent=1, allow_nan=False)

    def to_csv(self) -> str:
        """Return one line a volume."""
        text = io.StringIO()
        names = ["name", "acquisition", "acceleration", "slices", *self.conventions]
        writer = csv.DictWriter(text, names, lineterminator="\n")
        writer.writeheader()
        writer.writerows(self._row(volume) for volume in self.volumes)
        return text.getvalue()

    def _row(self, volume: VolumeScores) -> dict[str, Any]:
        return {
            "name": volume.name,
            "acquisition": volume.acquisition,
            "acceleration": volume.acceleration,
            "slices": volume.slices,
            **{name: _plain(volume.values[name]) for name in self.conventions},
        }

    def _titles(self) -> list[str]:
        return [name.rpartition("_")[2].upper() for name in self.conventions]


def _plain(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _cell(summary: Summary) -> str:
    digits = 4 if abs(summary.mean) < 10 else 2
    spread = "" if summary.deviation is None else f" ± {2 * summary.deviation:.{digits}f}"
    return f"{summary.mean:.{digits}f}{spread}"
