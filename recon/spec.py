"""What a plugin says about each thing it offers. Plain data: nothing heavy is imported here."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, get_args

__all__ = ["KINDS", "PLUGIN_API", "Command", "Component", "Kind"]

PLUGIN_API = 1
"""Version of the plugin interface. Fields and hook arguments are only ever added within a version."""

Kind = Literal["operator", "model", "loss", "metric", "dataset", "reader", "writer", "method"]
KINDS: tuple[Kind, ...] = get_args(Kind)

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*\Z")
_VERB = re.compile(r"[a-z][a-z0-9-]*\Z")
_TARGET = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*\Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class Component:
    """One thing that a plugin offers, described without importing it.

    Parameters
    ----------
    kind
        operator, model, loss, metric, dataset, reader, writer or method.
    name
        Name in configs. First-party components answer to it alone, all others to ``plugin/name``.
    target
        ``"package.module:Class"``, imported when the component is first built. The constructor is the schema.
    summary
        One line for listings.
    examples
        ``"package.module:function"`` that returns a list of `recon.testing.Example`: the small cases of the
        conformance kit.
    requires
        Modules that must be importable, checked without importing them.
    extra
        Extra of the plugin's distribution that brings `requires`.
    install
        How to get `requires` where pip cannot.
    suffixes
        File name endings that a reader or writer handles, with the dot: ``(".nii", ".nii.gz")``; a reader of whole
        folders lists "/".
    companions
        Endings of the files that a writer leaves, or may leave, beside the one it is asked for, under the same name:
        ``(".hdr",)``.
    magic
        (offset, bytes) pairs, one of which a reader's files carry; empty when content cannot tell.
    scan
        ``"package.module:function"`` of a reader whose files form series: called with a folder, file or archive and
        ``text=``, whether to fill in text fields, it returns a list of `recon.io.series.SeriesInfo` from headers alone.
        ``recon ls`` calls it, so its module must not import torch.
    adjoint_rtol
        Largest accepted gap of the dot test where the adjoint is not exact, with the reason in
        `expected_failures` left empty. None asks for 1e-6 in float32 and 1e-12 in float64.
    dtypes
        Precisions that the component computes in.
    expected_failures
        (check name, reason) pairs of the conformance kit. Strict: a check that passes after all is a failure.
    foreign
        The target belongs to another library and is taken as it is: the kit checks what it does, not its style.
    namespaced
        Answer to ``plugin/name`` alone, also when first-party.
    tags, references, licence, stability, replaced_by
        For listings and documentation; references are DOIs.
    api
        Version of the plugin interface that the component needs.
    """

    kind: Kind
    name: str
    target: str
    summary: str
    examples: str | None = None
    requires: tuple[str, ...] = ()
    extra: str | None = None
    install: str | None = None
    suffixes: tuple[str, ...] = ()
    companions: tuple[str, ...] = ()
    magic: tuple[tuple[int, bytes], ...] = ()
    scan: str | None = None
    adjoint_rtol: float | None = None
    dtypes: tuple[str, ...] = ("float32", "float64")
    expected_failures: tuple[tuple[str, str], ...] = ()
    foreign: bool = False
    namespaced: bool = False
    tags: tuple[str, ...] = ()
    references: tuple[str, ...] = ()
    licence: str | None = None
    stability: Literal["stable", "experimental"] = "stable"
    replaced_by: str | None = None
    api: int = PLUGIN_API

    def __post_init__(self) -> None:
        """Refuse what a listing or a config could not carry."""
        if self.api > PLUGIN_API:
            return  # made for a newer recon, whose rules may differ; the registry reports it as incompatible
        if self.kind not in KINDS:
            raise ValueError(f"component kind {self.kind!r} must be one of {', '.join(KINDS)}")
        if not _NAME.match(self.name):
            raise ValueError(f"component name {self.name!r} must match [A-Za-z][A-Za-z0-9_]*")
        for field, value in (("target", self.target), ("examples", self.examples), ("scan", self.scan)):
            if value is not None and not _TARGET.match(value):
                raise ValueError(f"{field} {value!r} of component {self.name!r} must read 'package.module:Name'")
        if not self.summary or "\n" in self.summary:
            raise ValueError(f"summary of component {self.name!r} must be one line")


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """A command line verb that a plugin adds: ``recon NAME``.

    Parameters
    ----------
    name
        The verb; recon's own go first.
    target
        ``"package.module:function"`` called with the list of remaining arguments; returns the exit code.
    summary
        One line for listings.
    """

    name: str
    target: str
    summary: str

    def __post_init__(self) -> None:
        """Refuse what the command line could not offer."""
        if not _VERB.match(self.name):
            raise ValueError(f"command name {self.name!r} must match [a-z][a-z0-9-]*")
        if not _TARGET.match(self.target):
            raise ValueError(f"target {self.target!r} of command {self.name!r} must read 'package.module:function'")
