"""The command line. Only argparse and the standard library are imported before a verb runs."""

from __future__ import annotations

import argparse
import os
import sys
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import NoReturn, TextIO

from recon.errors import ReconError, UsageError, is_out_of_memory

__all__ = ["main"]


@dataclass(frozen=True, slots=True)
class Verb:
    """One verb: ``recon.cli.MODULE`` with ``add_arguments(parser)`` and ``run(arguments) -> int``."""

    name: str
    summary: str
    module: str


VERBS = (
    Verb("demo", "reconstruct real MRI and CT images, classical against learned, in about two minutes", "demo"),
    Verb("ls", "list the studies and series of a folder, and what would keep them from being read", "ls"),
    Verb("info", "say what a file holds", "info"),
    Verb("check-data", "say what is wrong with a file or a folder of data", "check_data"),
    Verb("train", "train the model of an experiment file", "train"),
    Verb("evaluate", "compute an experiment's metrics for a trained model or a classical method", "evaluate"),
    Verb("reconstruct", "turn a measurement file into an image file", "reconstruct"),
    Verb("simulate", "turn an image file into a measurement file", "simulate"),
    Verb("convert", "copy an image into another file format, geometry intact", "convert"),
    Verb("deidentify", "copy DICOM images without what names the patient", "deidentify"),
    Verb("montage", "draw three orthogonal slices of an image, beside a result and its error", "montage"),
    Verb("view", "show an image or a measurement as a PNG picture", "view"),
    Verb("bench", "measure the speed of an operator or a model on this machine", "bench"),
    Verb("plugins", "list the installed plugins and their components", "plugins"),
    Verb("show", "explain one component: parameters, source, references", "show"),
    Verb("check", "run the conformance kit on a plugin", "check"),
    Verb("new", "write a new plugin package from a template", "new"),
    Verb("doctor", "report versions, devices and plugin problems", "doctor"),
)


_BAD_PATH = (FileNotFoundError, FileExistsError, IsADirectoryError, NotADirectoryError, PermissionError)


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``recon``; returns the exit code: 0 done, 1 a failed run, 2 bad usage or input, 130 interrupted."""
    if argv is None and "OMP_WAIT_POLICY" not in os.environ:  # the program itself, before torch is loaded
        # GNU's threads spin for a millisecond before they sleep, which takes processors from whoever needs them: beside
        # other jobs a training took up to nine times the processor time. On an idle machine much less is enough.
        os.environ.setdefault("GOMP_SPINCOUNT", "3000")
    arguments = list(sys.argv[1:] if argv is None else argv)
    debug = "--debug" in arguments
    try:
        with warnings.catch_warnings():
            if not debug:
                warnings.showwarning = _show_warning
            return _dispatch(arguments)
    except ReconError as error:
        if debug:
            raise
        from recon.cli.wording import as_options

        _complain(as_options(str(error)))
        return error.exit_code
    except KeyboardInterrupt as error:
        if debug:
            raise
        _complain(str(error) or "interrupted")
        return 130
    except BrokenPipeError:
        sys.stderr.close()
        return 0
    except Exception as error:
        if debug:
            raise
        return _unexpected(error)


class _Parser(argparse.ArgumentParser):
    """Complains in one line, as everything else does."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message}; see {self.prog} --help")


def _dispatch(arguments: list[str]) -> int:
    verbs = {verb.name: verb for verb in VERBS}
    first = next((word for word in arguments if not word.startswith("-")), None)
    if first in verbs:
        return _run(verbs[first], arguments)
    if first is not None:
        command = _plugin_commands().get(first)
        if command is not None:
            from recon.registry import resolve_target

            rest = arguments.copy()
            rest.remove(first)
            return int(resolve_target(command)(rest) or 0)
        from recon.registry import suggest

        raise UsageError(f"unknown verb {first!r}{suggest(first, verbs)}; recon --help lists them")
    parser = _parser(list(VERBS))
    parser.parse_args(arguments)
    parser.print_help()
    return 0 if not arguments else 2


def _run(verb: Verb, arguments: list[str]) -> int:
    # Only the verb that runs is imported: each may need torch, and `recon --help` may not.
    module = import_module(f"recon.cli.{verb.module}")
    parser = _Parser(
        prog=f"recon {verb.name}",
        description=(module.__doc__ or verb.summary).strip(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    parser.add_argument(
        "--plugin", action="append", default=[], metavar="FILE", help="load a plugin from a Python file"
    )
    module.add_arguments(parser)
    rest = arguments.copy()
    rest.remove(verb.name)
    values = parser.parse_args(rest)
    if values.plugin:
        from recon.registry import registry

        for path in values.plugin:
            registry().load_file(path)
    return int(module.run(values) or 0)


def _parser(verbs: list[Verb]) -> argparse.ArgumentParser:
    from recon import __version__

    lines = "\n".join(f"  {verb.name:<12} {verb.summary}" for verb in verbs)
    parser = _Parser(
        prog="recon",
        usage="recon VERB [options]",
        description=f"Reconstruction toolkit for medical imaging.\n\nverbs:\n{lines}",
        epilog="recon VERB --help explains a verb, with an example. Start with: recon demo",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"recon {__version__}")
    parser.add_argument("verb", nargs="?", choices=[verb.name for verb in verbs], help=argparse.SUPPRESS)
    return parser


def _plugin_commands() -> dict[str, str]:
    from recon.registry import registry

    return {command.name: command.target for plugin in registry().plugins for command in plugin.commands}


def _unexpected(error: Exception) -> int:
    """Say in one line what went wrong outside of the toolkit's own errors; returns the exit code."""
    if is_out_of_memory(error):
        _complain(f"out of memory: {error}: use smaller images, a smaller batch or model, or another device")
        return 1
    if isinstance(error, OSError) and error.filename is not None:
        _complain(f"{error.filename}: {error.strerror} (add --debug for the traceback)")
        # A name that the user gave is bad input; a full disk or a lost mount is a failed run.
        return 2 if isinstance(error, _BAD_PATH) else 1
    _complain(f"{type(error).__name__}: {error} (add --debug for the traceback)")
    return 1


def _show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,  # noqa: ARG001 - the signature of warnings.showwarning
    line: str | None = None,  # noqa: ARG001
) -> None:
    """Show what concerns the data as one line; what concerns programmers with its place."""
    place = "" if category is UserWarning else f"{filename}:{lineno}: {category.__name__}: "
    _complain(f"warning: {place}{message}")


def _complain(text: str) -> None:
    print(f"recon: {' '.join(text.split())}", file=sys.stderr)
