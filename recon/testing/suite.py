"""The list of checks of each component, and running them with results as data."""

from __future__ import annotations

import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from recon.errors import ComponentError, MissingDependencyError
from recon.operators import LinearOperator, Operator
from recon.registry import Entry, Plugin, registry, resolve_target
from recon.testing.case import Case, CheckError, Skip, one_line
from recon.testing.checks import component, dataset, files, linear, loss, method, metric, model, operator, plugin
from recon.testing.example import Example

__all__ = ["Check", "Outcome", "Result", "conformance_suite", "counts", "plan"]

Outcome = Literal["passed", "failed", "skipped", "xfailed"]
CaseCheck = Callable[[Case], None]


@dataclass(frozen=True, slots=True)
class Result:
    """What one check of one component, or of the plugin itself, came to."""

    plugin: str
    component: str
    check: str
    outcome: Outcome
    reason: str = ""
    seconds: float = 0.0
    error: BaseException | None = field(default=None, compare=False, repr=False)

    def as_dict(self) -> dict[str, Any]:
        """Return the result without the exception, for JSON."""
        return {name: value for name, value in asdict(self).items() if name != "error"}


@dataclass(frozen=True, slots=True)
class Check:
    """One check, ready to run: `run` never raises, short of an interrupt."""

    plugin: str
    component: str
    name: str
    call: Callable[[], None]
    contract: str = ""
    expected: str | None = None
    """Reason why the component declares that this check fails."""

    @property
    def id(self) -> str:
        """Label: ``plugin:check`` or ``kind/name:check``."""
        return f"{self.component or self.plugin}:{self.name}"

    def run(self) -> Result:
        """Run the check."""
        start = time.perf_counter()
        outcome, reason, error = self._run()
        seconds = round(time.perf_counter() - start, 4)
        return Result(self.plugin, self.component, self.name, outcome, reason, seconds, error)

    def _run(self) -> tuple[Outcome, str, BaseException | None]:
        try:
            self.call()
        except Skip as skip:
            return "skipped", one_line(skip), None
        except Exception as error:  # noqa: BLE001 - whatever a component raises is a finding
            if self.expected is not None:
                return "xfailed", self.expected, error
            return "failed", one_line(error), error
        if self.expected is not None:
            return "failed", f"passes, though it is declared to fail ({self.expected}): remove the declaration", None
        return "passed", "", None


def conformance_suite(subject: str | Plugin | Entry) -> list[Result]:
    """Check a plugin, given by name, or one component, and return one result per check."""
    return [check.run() for check in plan(subject)]


def plan(subject: str | Plugin | Entry) -> list[Check]:
    """List the checks that suit a plugin and its components, or one component, without running them."""
    if isinstance(subject, Entry):
        return list(_component_checks(subject))
    found = registry().plugin(subject) if isinstance(subject, str) else subject
    checks = [Check(found.name, "", "loads", lambda: _loads(found), _loads.__doc__ or "")]
    if found.state == "ok":
        checks += [_plugin_check(found, function) for function in plugin.PLUGIN]
        for item in found.components:
            checks += _component_checks(Entry(found, item))
    return checks


def counts(results: Iterable[Result]) -> dict[str, int]:
    """Count: run, passed, failed, skipped, xfailed. Skipped checks are not among those that ran."""
    counted = Counter(result.outcome for result in results)
    run = counted["passed"] + counted["failed"] + counted["xfailed"]
    return {"run": run, **{name: counted[name] for name in ("passed", "failed", "skipped", "xfailed")}}


def _loads(found: Plugin) -> None:
    """The plugin is found, enabled and loads."""  # noqa: D401 - a contract
    if found.state == "disabled":
        raise Skip(found.reason)
    if found.state != "ok":
        raise CheckError(f"{found.state}: {found.reason}")


def _plugin_check(found: Plugin, function: Callable[[Plugin], None]) -> Check:
    return Check(found.name, "", function.__name__, lambda: function(found), function.__doc__ or "")


def _component_checks(entry: Entry) -> Iterator[Check]:
    item = entry.component
    label = f"{item.kind}/{item.name}"
    expected = dict(item.expected_failures)
    named: set[str] = set()

    def check(name: str, call: Callable[[], None], contract: str = "") -> Check:
        named.add(name)
        return Check(entry.plugin.name, label, name, call, contract, expected.get(name))

    try:
        target = entry.load()
        examples = list(resolve_target(item.examples)()) if item.examples else []
    except MissingDependencyError as error:
        yield check("loads", _raises(Skip(str(error))))
        return
    except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever the import raises is the finding
        yield check("loads", _raises(error))
        return
    blank = Example()
    for function in (*(() if item.foreign else component.STYLE), *component.GENERAL):
        yield check(function.__name__, _over(function, entry, target, [blank]), function.__doc__ or "")
    if examples:
        for function in _for_kind(entry, target, examples[0]):
            yield check(function.__name__, _over(function, entry, target, examples), function.__doc__ or "")
    else:
        # Once, and not for each check that would have used it.
        yield check("example", _raises(CheckError("no example: without one nothing can be checked")))
    stale = sorted(set(expected) - named)
    if stale:
        text = f"expected_failures names {', '.join(stale)}, which no check of this component is called"
        yield check("expected_failures", _raises(CheckError(text)))


def _for_kind(entry: Entry, target: Any, example: Example) -> list[CaseCheck]:
    """Return the checks that need examples."""
    kinds: dict[str, tuple[CaseCheck, tuple[CaseCheck, ...]]] = {
        "operator": (operator.use, operator.OPERATOR),
        "model": (model.use, model.MODEL),
        "loss": (loss.use, loss.LOSS),
        "metric": (metric.use, metric.METRIC),
        "dataset": (dataset.use, dataset.DATASET),
        "reader": (files.read, files.READER),  # type: ignore[dict-item]
        "writer": (files.write, files.WRITER),
        "method": (method.use, method.METHOD),
    }
    use, checks = kinds[entry.component.kind]
    chosen = [component.builds, component.global_state(use), *checks]
    if entry.component.kind == "operator":
        chosen += operator.VALUE[: 1 if entry.component.foreign else None]
        built = _built(entry, target, example)
        chosen += linear.LINEAR if isinstance(built, LinearOperator) else ()
        chosen += operator.STOCHASTIC if isinstance(built, Operator) and built.stochastic else ()
    return chosen


def _built(entry: Entry, target: Any, example: Example) -> Any:
    """Build the component to see what it is; None if it does not build, which a check reports."""
    try:
        return Case(entry, target, example, Path()).build()
    except Exception:  # noqa: BLE001
        return None


def _over(function: CaseCheck, entry: Entry, target: Any, examples: list[Example]) -> Callable[[], None]:
    """Run a check on all examples; it is skipped if it is for each of them."""

    def call() -> None:
        skips: list[str] = []
        for number, example in enumerate(examples):
            with tempfile.TemporaryDirectory(prefix="recon-check-", ignore_cleanup_errors=True) as folder:
                try:
                    function(Case(entry, target, example, Path(folder)))
                except Skip as skip:
                    skips.append(str(skip))
                except Exception as error:
                    if len(examples) == 1:
                        raise
                    label = example.name or f"{number + 1} of {len(examples)}"
                    raise CheckError(f"example {label}: {one_line(error)}") from error
        if len(skips) == len(examples):
            raise Skip("; ".join(dict.fromkeys(skips)))

    return call


def _raises(error: BaseException) -> Callable[[], None]:
    def call() -> None:
        if isinstance(error, SystemExit):
            raise ComponentError(f"the import ends in SystemExit: {error}") from error
        raise error

    return call
