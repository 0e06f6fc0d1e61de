"""Finding plugins and their components, one plugin at a time, so that a bad one never takes the rest down."""

from __future__ import annotations

import difflib
import importlib
import importlib.metadata
import importlib.util
import os
import re
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

import pluggy

from recon import hookspecs
from recon.errors import ComponentError, MissingDependencyError
from recon.spec import PLUGIN_API, Command, Component, Kind

__all__ = ["DISTRIBUTION", "Entry", "Plugin", "Registry", "registry", "resolve_target", "suggest", "use_registry"]

DISTRIBUTION = "recon-toolkit"
"""Distribution whose plugins are first-party: theirs are the bare names."""

State = Literal["ok", "disabled", "broken", "incompatible"]
_PLUGIN_NAME = re.compile(r"[a-z][a-z0-9_]*\Z")


@dataclass(frozen=True, slots=True)
class Plugin:
    """A plugin as it was found: where it comes from, what it offers, or why it offers nothing."""

    name: str
    module: str
    distribution: str
    version: str
    state: State = "ok"
    reason: str = ""
    components: tuple[Component, ...] = ()
    commands: tuple[Command, ...] = ()
    error: BaseException | None = field(default=None, compare=False)

    @property
    def first_party(self) -> bool:
        """Whether the plugin ships with recon itself."""
        return self.distribution == DISTRIBUTION


@dataclass(frozen=True, slots=True)
class Entry:
    """A component together with the plugin that offers it."""

    plugin: Plugin
    component: Component

    @property
    def qualified(self) -> str:
        """``plugin/name``, the name that run records store."""
        return f"{self.plugin.name}/{self.component.name}"

    @property
    def name(self) -> str:
        """The shortest name that configs may use."""
        bare = self.plugin.first_party and not self.component.namespaced
        return self.component.name if bare else self.qualified

    def load(self) -> Any:
        """Import the target.

        Raises
        ------
        MissingDependencyError
            If a module of `Component.requires` is not installed; nothing is imported then.
        ComponentError
            If importing the target fails.
        """
        component = self.component
        missing = [name for name in component.requires if importlib.util.find_spec(name.partition(".")[0]) is None]
        if missing:
            target = f"{self.plugin.distribution}[{component.extra}]" if component.extra else " ".join(missing)
            how = component.install or f"pip install '{target}'"
            raise MissingDependencyError(f"{component.kind} {self.name!r} needs {', '.join(missing)}: {how}")
        try:
            return resolve_target(component.target)
        except (Exception, SystemExit) as error:
            raise ComponentError(
                f"{component.kind} {self.name!r} of plugin {self.plugin.name!r} does not import: "
                f"{type(error).__name__}: {error}"
            ) from error


class Registry:
    """All plugins of this environment.

    Parameters
    ----------
    entry_points
        Where plugins come from; by default the installed entry points of group ``recon.plugins``.
    environ
        Switches: ``RECON_PLUGINS_AUTOLOAD=0`` keeps to first-party plugins, ``RECON_PLUGINS_DISABLE=a,b`` (or ``*``
        for all that are not first-party) leaves some out, ``RECON_PLUGINS_ALLOW=dist1,dist2`` admits only those
        distributions besides recon's own, ``RECON_PLUGINS_STRICT=1`` raises the first error instead of recording it.
    """

    def __init__(
        self,
        entry_points: Iterable[importlib.metadata.EntryPoint] | None = None,
        environ: Mapping[str, str] = os.environ,
    ) -> None:
        if entry_points is None:
            entry_points = importlib.metadata.entry_points(group=hookspecs.GROUP)
        self._manager = pluggy.PluginManager("recon")
        self._manager.add_hookspecs(hookspecs)
        self._strict = environ.get("RECON_PLUGINS_STRICT") == "1"
        self._environ = environ
        self.plugins: list[Plugin] = []
        self._entries: dict[tuple[Kind, str], Entry] = {}
        found = [(entry_point, *_distribution(entry_point.dist)) for entry_point in entry_points]
        # First-party first, then by name: what an environment offers never depends on the order of installation.
        found.sort(key=lambda item: (item[1] != DISTRIBUTION, item[0].name, item[1]))
        for entry_point, distribution, version in found:
            plugin = Plugin(entry_point.name, entry_point.value, distribution, version)
            self._add(plugin, entry_point.load)

    def load_file(self, path: str | Path) -> Plugin:
        """Load a plugin from one Python file; the file's stem is the plugin's name.

        This runs the file's code. It happens only when a user names the file, never by looking around.

        Raises
        ------
        ComponentError
            If the file does not load, is refused, or is called like a module that exists.
        """
        path = Path(path)
        name = path.stem
        if not path.is_file() or path.suffix != ".py":
            raise ComponentError(f"plugin file {path} is not an existing .py file")
        if not _PLUGIN_NAME.match(name):
            raise ComponentError(f"plugin file {path}: its stem is the plugin's name and must match [a-z][a-z0-9_]*")
        known = None if name in sys.modules else importlib.util.find_spec(name)
        itself = known is not None and known.has_location and path.samefile(str(known.origin))
        if name in sys.modules or (known is not None and not itself):
            raise ComponentError(f"plugin file {path}: a module {name!r} exists already, rename the file")

        def load() -> ModuleType:
            spec = importlib.util.spec_from_file_location(name, path)
            assert spec is not None and spec.loader is not None  # noqa: S101, PT018 - it ends in .py
            module = importlib.util.module_from_spec(spec)
            sys.modules[name] = module
            spec.loader.exec_module(module)
            return module

        plugin = self._add(Plugin(name, name, str(path), "file"), load)
        if plugin.state != "ok":
            sys.modules.pop(name, None)
            raise ComponentError(f"plugin file {path} is {plugin.state}: {plugin.reason}") from plugin.error
        return plugin

    def entries(self, kind: Kind | None = None) -> Iterator[Entry]:
        """Iterate over all components, or those of one kind, in a fixed order."""
        return (entry for (k, _), entry in self._entries.items() if kind is None or k == kind)

    def find(self, kind: Kind, name: str) -> Entry:
        """Return the component called `name`: bare for first-party ones, ``plugin/name`` for every one.

        Raises
        ------
        ComponentError
            If there is none; the message suggests names and tells which plugins did not load.
        """
        qualified = name if "/" in name else self._bare(kind, name)
        entry = self._entries.get((kind, qualified)) if qualified else None
        if entry is None:
            raise ComponentError(self._unknown(kind, name))
        if entry.component.replaced_by:
            warnings.warn(
                f"{kind} {name!r} is replaced by {entry.component.replaced_by!r}", DeprecationWarning, stacklevel=3
            )
        return entry

    def plugin(self, name: str) -> Plugin:
        """Return the plugin called `name`."""
        for plugin in self.plugins:
            if plugin.name == name:
                return plugin
        raise ComponentError(f"no plugin is called {name!r}{suggest(name, [p.name for p in self.plugins])}")

    def environment(self) -> dict[str, str]:
        """Collect what the plugins' ``recon_environment`` hooks report; a failing hook reports its error."""
        lines: dict[str, str] = {}
        for plugin in self.plugins:
            module = self._manager.get_plugin(plugin.name)
            if module is not None:
                try:
                    for part in self._call(module, "recon_environment"):
                        lines.update(part)
                except Exception as error:  # noqa: BLE001 - a report must not fail for one plugin
                    lines[plugin.name] = f"{type(error).__name__}: {error}"
        return lines

    def _bare(self, kind: Kind, name: str) -> str | None:
        return next((e.qualified for e in self.entries(kind) if e.name == name), None)

    def _unknown(self, kind: Kind, name: str) -> str:
        names = [entry.name for entry in self.entries(kind)]
        owners = [e.name for e in self.entries(kind) if e.component.name == name.rpartition("/")[2]]
        text = f"unknown {kind} {name!r}"
        if owners:
            text += f"; did you mean {owners[0]!r}?"
        else:
            other = [k for (k, _), e in self._entries.items() if e.name == name]
            text += f"; it is registered as {other[0]}, not as {kind}" if other else suggest(name, names)
        if len(names) <= 40:
            text += f"; known: {', '.join(sorted(names)) or 'none'}"
        failed = [f"{p.name} ({p.state}: {p.reason})" for p in self.plugins if p.state in ("broken", "incompatible")]
        return text + (f"; plugins that did not load: {', '.join(failed)}" if failed else "")

    def _add(self, plugin: Plugin, load: Callable[[], Any]) -> Plugin:
        reason = self._refused(plugin)
        if reason:
            plugin = replace(plugin, state="disabled", reason=reason)
        else:
            try:
                plugin = self._load(plugin, load)
            except (Exception, SystemExit) as error:
                if self._strict:
                    raise
                if self._manager.get_plugin(plugin.name) is not None and not isinstance(error, _TakenError):
                    self._manager.unregister(name=plugin.name)
                state: State = "incompatible" if isinstance(error, _IncompatibleError) else "broken"
                ours = isinstance(error, (_IncompatibleError, _TakenError))
                reason = str(error) if ours else f"{type(error).__name__}: {error}"
                plugin = replace(plugin, state=state, reason=" ".join(reason.split()), error=error)
        self.plugins.append(plugin)
        for component in plugin.components:
            entry = Entry(plugin, component)
            self._entries[component.kind, entry.qualified] = entry
        return plugin

    def _refused(self, plugin: Plugin) -> str:
        if plugin.first_party:
            disabled = _words(self._environ.get("RECON_PLUGINS_DISABLE", "")) - {"*"}
            return "RECON_PLUGINS_DISABLE names it" if plugin.name in disabled else ""
        if self._environ.get("RECON_PLUGINS_AUTOLOAD") == "0" and plugin.version != "file":
            return "RECON_PLUGINS_AUTOLOAD=0"
        if {plugin.name, "*"} & _words(self._environ.get("RECON_PLUGINS_DISABLE", "")):
            return "RECON_PLUGINS_DISABLE names it"
        allow = self._environ.get("RECON_PLUGINS_ALLOW")
        if allow is not None and plugin.distribution not in {_normalise(word) for word in _words(allow)}:
            return f"RECON_PLUGINS_ALLOW does not name {plugin.distribution}"
        return ""

    def _load(self, plugin: Plugin, load: Callable[[], Any]) -> Plugin:
        if not _PLUGIN_NAME.match(plugin.name):
            raise ValueError(f"plugin name {plugin.name!r} must match [a-z][a-z0-9_]*")
        owner = next((p for p in self.plugins if p.name == plugin.name), None)
        if owner is not None:
            raise _TakenError(f"plugin name {plugin.name!r} is already taken by {owner.distribution}")
        module = load()
        api = getattr(module, "recon_api", PLUGIN_API)
        if api > PLUGIN_API:
            raise _IncompatibleError(f"needs plugin API {api}, this recon has {PLUGIN_API}: upgrade {DISTRIBUTION}")
        self._manager.register(module, name=plugin.name)
        known = {name for name in vars(hookspecs) if name.startswith("recon_")}
        # pluggy accepts a misspelt hook without a word; the plugin would look fine and offer nothing.
        callers = self._manager.get_hookcallers(module) or []
        if not callers:
            raise TypeError(f"{plugin.module} implements no hook: decorate recon_components with @recon.hookimpl")
        for caller in callers:
            if caller.name not in known:
                raise TypeError(f"unknown hook {caller.name!r}; recon has {', '.join(sorted(known))}")
        try:
            components = [c for part in self._call(module, "recon_components") for c in _listed(part, Component)]
        except TypeError as error:
            unknown = re.search(r"Component\.__init__\(\) got an unexpected keyword argument ('\w+')", str(error))
            if unknown is None:
                raise
            raise _IncompatibleError(
                f"uses the Component field {unknown[1]}, which plugin API {PLUGIN_API} does not have: "
                f"upgrade {DISTRIBUTION}"
            ) from error
        commands = [c for part in self._call(module, "recon_commands") for c in _listed(part, Command)]
        self._accept(plugin, components)
        return replace(plugin, components=tuple(components), commands=tuple(commands))

    def _accept(self, plugin: Plugin, components: list[Component]) -> None:
        seen: set[tuple[str, str]] = set()
        for component in components:
            if component.api > PLUGIN_API:
                raise _IncompatibleError(
                    f"needs plugin API {component.api}, this recon has {PLUGIN_API}: upgrade {DISTRIBUTION}"
                )
            key = (component.kind, component.name)
            bare = self._bare(component.kind, component.name) if plugin.first_party else None
            if key in seen or (bare and not component.namespaced):
                raise ValueError(f"{component.kind} {component.name!r} is declared twice")
            seen.add(key)

    def _call(self, module: object, hook: str) -> list[Any]:
        others = [p for p in self._manager.get_plugins() if p is not module]
        return list(self._manager.subset_hook_caller(hook, others)())


class _IncompatibleError(Exception):
    """The plugin asks for a newer interface."""


class _TakenError(Exception):
    """The plugin's name belongs to another one."""


_current: Registry | None = None


def registry() -> Registry:
    """Return the registry of this process, made on first use."""
    global _current
    if _current is None:
        _current = Registry()
    return _current


@contextmanager
def use_registry(other: Registry) -> Iterator[Registry]:
    """Make `other` the registry of this process for the length of a with block."""
    global _current
    before, _current = _current, other
    try:
        yield other
    finally:
        _current = before


def resolve_target(target: str) -> Any:
    """Import ``"package.module:Name"``."""
    module, _, name = target.partition(":")
    return getattr(importlib.import_module(module), name)


def suggest(name: str, known: Iterable[str]) -> str:
    """Return ``"; did you mean 'x'?"`` for the closest known name, or nothing."""
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f"; did you mean {close[0]!r}?" if close else ""


def _listed(part: object, wanted: type) -> list[Any]:
    name = "recon_components" if wanted is Component else "recon_commands"
    if isinstance(part, (wanted, str, Mapping)) or not isinstance(part, Iterable):
        raise TypeError(f"{name}() must give an iterable of {wanted.__name__}, not a {type(part).__name__}")
    items = list(part)
    for item in items:
        if not isinstance(item, wanted):
            raise TypeError(f"{name}() gave a {type(item).__name__}, not a {wanted.__name__}")
    return items


@cache
def _distribution(distribution: importlib.metadata.Distribution | None) -> tuple[str, str]:
    # One distribution may own dozens of entry points, and each look parses all of its metadata.
    if distribution is None:
        return "unknown", ""
    metadata = distribution.metadata
    return _normalise(metadata["Name"]), metadata["Version"]


def _normalise(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _words(text: str) -> set[str]:
    return {word.strip() for word in text.split(",") if word.strip()}
