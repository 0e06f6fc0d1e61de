"""Plugins from real distributions on a temporary path: the good, the bad, and what the user is told."""

import importlib.metadata
import json
import os
import subprocess
import sys
import textwrap
import warnings
from pathlib import Path

import pytest

from recon import Component
from recon.errors import ComponentError, MissingDependencyError
from recon.registry import DISTRIBUTION, Registry, registry, suggest, use_registry

GOOD = """
    from recon import Component, hookimpl

    @hookimpl
    def recon_components():
        yield Component(kind="operator", name="{name}", target="{module}_targets:Target", summary="fine")
"""

BAD = {
    "importerr": ("import does_not_exist", "broken", "ModuleNotFoundError: No module named 'does_not_exist'"),
    "raises": (
        """
        from recon import hookimpl
        @hookimpl
        def recon_components():
            raise RuntimeError("half\\nway")
            yield
        """,
        "broken",
        "RuntimeError: half way",
    ),
    "sysexit": ("raise SystemExit('bye')", "broken", "SystemExit: bye"),
    "wrongtype": (
        """
        from recon import hookimpl
        @hookimpl
        def recon_components():
            return [{"kind": "operator"}]
        """,
        "broken",
        "recon_components() gave a dict, not a Component",
    ),
    "badname": (GOOD.format(name="Bad Name", module="badname"), "broken", "component name 'Bad Name' must match"),
    "radon": (
        GOOD.format(name="other", module="radon"),
        "broken",
        "plugin name 'radon' is already taken by recon-toolkit",
    ),
    "typo": (
        """
        from recon import hookimpl
        @hookimpl
        def recon_componnets():
            return []
        """,
        "broken",
        "unknown hook 'recon_componnets'; recon has recon_commands, recon_components, recon_environment",
    ),
    "future": (
        "recon_api = 99\n" + textwrap.dedent(GOOD.format(name="later", module="future")),
        "incompatible",
        "needs plugin API 99, this recon has 1: upgrade recon-toolkit",
    ),
    "newfield": (
        GOOD.format(name="later", module="newfield").replace('summary="fine"', 'summary="fine", colour="blue"'),
        "incompatible",
        "Component field 'colour', which plugin API 1 does not have: upgrade recon-toolkit",
    ),
    "newkind": (
        GOOD.format(name="later", module="newkind").replace('kind="operator"', 'kind="oracle", api=2'),
        "incompatible",
        "needs plugin API 2, this recon has 1",
    ),
    "undecorated": ("def recon_components():\n    return []", "broken", "implements no hook"),
    "mapping": (
        "from recon import hookimpl\n@hookimpl\ndef recon_components():\n    return {}",
        "broken",
        "must give an iterable of Component, not a dict",
    ),
    "twice": (
        """
        from recon import Component, hookimpl
        @hookimpl
        def recon_components():
            for _ in range(2):
                yield Component(kind="loss", name="same", target="a:B", summary="s")
        """,
        "broken",
        "loss 'same' is declared twice",
    ),
    "BadName": (GOOD.format(name="fine", module="BadName"), "broken", "plugin name 'BadName' must match"),
}
EIGHT = ("importerr", "raises", "sysexit", "wrongtype", "badname", "radon", "typo", "future")


class Site:
    """A folder like site-packages, into which distributions are put by hand."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def add(self, name: str, code: str, *, entry: str | None = None, distribution: str | None = None) -> None:
        module = f"sited_{name}"
        distribution = distribution or f"recon-{name}"
        (self.path / f"{module}.py").write_text(textwrap.dedent(code))
        info = self.path / f"{distribution.replace('-', '_')}-1.5.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.5\n")
        (info / "entry_points.txt").write_text(f"[recon.plugins]\n{entry or name} = {module}\n")

    def good(self, name: str = "good", component: str = "thing") -> None:
        self.add(name, GOOD.format(name=component, module=f"sited_{name}"))

    def run(self, *arguments: str, **environ: str) -> subprocess.CompletedProcess:
        environment = {**os.environ, "PYTHONPATH": str(self.path), **environ}
        command = [sys.executable, "-m", "recon", *arguments]
        return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=120, check=False)


@pytest.fixture
def site(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    for name in [name for name in os.environ if name.startswith("RECON_")]:
        monkeypatch.delenv(name)
    before = set(sys.modules)
    yield Site(tmp_path)
    for name in set(sys.modules) - before:
        if name.startswith("sited_"):
            del sys.modules[name]


def states(found: Registry) -> dict[tuple[str, str], tuple[str, str]]:
    return {(p.name, p.distribution): (p.state, p.reason) for p in found.plugins}


def test_bad_plugins_give_one_clear_line_each_and_harm_no_one(site):
    site.good()
    for name, (code, _, _) in BAD.items():
        site.add(name.lower() if name != "BadName" else "badcase", code, entry=name)
    found = Registry(environ={})
    by_name = states(found)
    for name, (_, state, words) in BAD.items():
        distribution = f"recon-{name.lower() if name != 'BadName' else 'badcase'}"
        got_state, reason = by_name[name, distribution]
        assert (name, got_state) == (name, state)
        assert words in reason
        assert "\n" not in reason
    assert by_name["good", "recon-good"] == ("ok", "")
    assert found.find("operator", "good/thing").plugin.version == "1.5"
    assert by_name["radon", DISTRIBUTION][0] == "ok"
    assert found.find("operator", "radon").plugin.first_party


def test_command_line_lists_the_eight_and_works_on(site):
    site.good()
    for name in EIGHT:
        site.add(name, BAD[name][0])
    done = site.run("plugins")
    assert done.returncode == 1
    assert done.stderr == ""
    lines = done.stdout.splitlines()
    for name in EIGHT:
        _, state, words = BAD[name]
        assert [line for line in lines if line.startswith(name) and f" {state} " in line and words in line], name
    assert any("good/thing" in line for line in lines)
    assert "Traceback" not in done.stdout
    assert "Traceback" in site.run("plugins", "--trace").stdout
    shown = site.run("plugins", "-v").stdout
    assert "[recon-good 1.5, sited_good]" in shown
    records = {(r["name"], r["distribution"]): r for r in json.loads(site.run("plugins", "--json").stdout)}
    assert records["sysexit", "recon-sysexit"]["state"] == "broken"
    assert records["good", "recon-good"]["components"][0]["name"] == "good/thing"
    unknown = site.run("show", "operator", "nonsense")
    assert unknown.returncode == 2
    assert unknown.stderr.count("\n") == 1
    assert "plugins that did not load" in unknown.stderr
    assert "typo (broken" in unknown.stderr
    doctor = site.run("doctor")
    assert doctor.returncode == 1
    assert "does_not_exist" in doctor.stdout


def test_without_bad_plugins_the_exit_code_is_zero(site):
    site.good()
    done = site.run("plugins", RECON_PLUGINS_DISABLE="*")
    assert "disabled" in done.stdout
    assert Registry(environ={}).plugin("good").state == "ok"


@pytest.mark.parametrize(
    ("switch", "value", "words"),
    [
        ("RECON_PLUGINS_DISABLE", "other, heavy", "RECON_PLUGINS_DISABLE names it"),
        ("RECON_PLUGINS_DISABLE", "*", "RECON_PLUGINS_DISABLE names it"),
        ("RECON_PLUGINS_AUTOLOAD", "0", "RECON_PLUGINS_AUTOLOAD=0"),
        ("RECON_PLUGINS_ALLOW", "recon-other", "RECON_PLUGINS_ALLOW does not name recon-heavy"),
    ],
)
def test_what_is_switched_off_is_not_imported(site, switch, value, words):
    site.add("heavy", "import torch\n" + textwrap.dedent(GOOD.format(name="thing", module="heavy")))
    code = """
        import sys
        from recon.registry import registry
        plugin = registry().plugin("heavy")
        print(plugin.state, plugin.reason, "torch" in sys.modules, "sited_heavy" in sys.modules, sep="|")
        print(registry().find("operator", "radon").name)
    """
    environment = {**os.environ, "PYTHONPATH": str(site.path), switch: value}
    command = [sys.executable, "-c", textwrap.dedent(code)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=120, check=True)
    assert done.stdout.splitlines() == [f"disabled|{words}|False|False", "radon"]


def test_allow_list_admits_by_distribution_in_any_spelling(site):
    site.good()
    found = Registry(environ={"RECON_PLUGINS_ALLOW": "Recon_Good,else"})
    assert found.plugin("good").state == "ok"
    assert Registry(environ={"RECON_PLUGINS_ALLOW": ""}).plugin("good").state == "disabled"


def test_first_party_plugins_are_disabled_by_name_alone(site):
    found = Registry(environ={"RECON_PLUGINS_DISABLE": "*,gaussian_noise"})
    assert found.plugin("gaussian_noise").state == "disabled"
    assert found.plugin("radon").state == "ok"


def test_strict_raises_the_first_error(site):
    site.add("raises", BAD["raises"][0])
    points = importlib.metadata.entry_points(group="recon.plugins", name="raises")
    assert Registry(points, environ={}).plugin("raises").state == "broken"
    with pytest.raises(RuntimeError, match="half"):
        Registry(points, environ={"RECON_PLUGINS_STRICT": "1"})


def test_bare_names_are_first_party_for_ever(site):
    site.good("thief", "gaussian_noise")
    found = Registry(environ={})
    assert found.plugin("thief").state == "ok"
    assert found.find("operator", "gaussian_noise").plugin.distribution == DISTRIBUTION
    assert found.find("operator", "thief/gaussian_noise").name == "thief/gaussian_noise"
    assert found.find("operator", "gaussian_noise/gaussian_noise").name == "gaussian_noise"
    site.good("solo", "singular")
    with pytest.raises(ComponentError, match="did you mean 'solo/singular'"):
        Registry(environ={}).find("operator", "singular")


def test_order_does_not_depend_on_installation(site):
    for name in ("zeta", "alpha", "mid"):
        site.good(name)
    points = list(importlib.metadata.entry_points(group="recon.plugins"))
    one = [p.name for p in Registry(points, environ={}).plugins]
    two = [p.name for p in Registry(reversed(points), environ={}).plugins]
    assert one == two
    assert one[-3:] == ["alpha", "mid", "zeta"]


def test_unknown_names_get_help(site):
    site.good()
    found = Registry(environ={})
    with pytest.raises(ComponentError, match="did you mean 'gaussian_noise'") as caught:
        found.find("operator", "gausian_noise")
    assert "known:" in str(caught.value)
    with pytest.raises(ComponentError, match="; it is registered as operator, not as model"):
        found.find("model", "gaussian_noise")
    with pytest.raises(ComponentError, match="no plugin is called 'god'; did you mean 'good'"):
        found.plugin("god")
    assert suggest("xyz", ["abc"]) == ""


def test_missing_packages_are_named_without_an_import(site):
    site.add(
        "needy",
        GOOD.format(name="thing", module="sited_needy").replace(
            'summary="fine"', 'summary="fine", requires=("no_such_astra",), extra="gpu"'
        ),
    )
    entry = Registry(environ={}).find("operator", "needy/thing")
    with pytest.raises(MissingDependencyError) as caught:
        entry.load()
    message = "operator 'needy/thing' needs no_such_astra: pip install 'recon-needy[gpu]'"
    assert str(caught.value) == message


def test_targets_that_do_not_import_are_one_line(site):
    site.good()
    entry = Registry(environ={}).find("operator", "good/thing")
    with pytest.raises(ComponentError, match="of plugin 'good' does not import: ModuleNotFoundError"):
        entry.load()
    (site.path / "sited_good_targets.py").write_text("raise SystemExit(3)")
    with pytest.raises(ComponentError, match="SystemExit"):
        entry.load()


def test_replaced_components_warn(site):
    site.add(
        "old",
        GOOD.format(name="thing", module="sited_old").replace('summary="fine"', 'summary="f", replaced_by="new/thing"'),
    )
    with pytest.warns(DeprecationWarning, match="'old/thing' is replaced by 'new/thing'"):
        Registry(environ={}).find("operator", "old/thing")


def test_commands_run_lazily_and_cannot_replace_recons_own(site):
    site.add(
        "verbs",
        """
        from recon import Command, hookimpl
        @hookimpl
        def recon_commands():
            yield Command(name="hello", target="sited_verbs_main:main", summary="say hello")
            yield Command(name="plugins", target="sited_verbs_main:main", summary="steal")
        """,
    )
    (site.path / "sited_verbs_main.py").write_text("def main(words):\n    print('hello', *words)\n    return 7\n")
    done = site.run("hello", "you", "--loud")
    assert (done.returncode, done.stdout) == (7, "hello you --loud\n")
    assert "hello" not in site.run("plugins", "--json").stdout.splitlines()[0]


def test_environment_hooks_report_and_fail_alone(site):
    head = "from recon import hookimpl\n@hookimpl\ndef recon_environment():\n    "
    site.add("speaks", head + "return {'driver': '12.4'}")
    site.add("fails", head + "raise OSError('no driver')")
    before = Registry(environ={"RECON_PLUGINS_DISABLE": "*"}).environment()  # what recon's own plugins report
    lines = Registry(environ={}).environment()
    assert lines == {**before, "driver": "12.4", "fails": "OSError: no driver"}


def test_plugin_files_load_by_name_only(tmp_path, monkeypatch):
    path = tmp_path / "my_file_plugin.py"
    path.write_text(
        textwrap.dedent(GOOD.format(name="thing", module="x")).replace("x_targets", "my_file_plugin")
        + "\nclass Target:\n    pass\n"
    )
    monkeypatch.chdir(tmp_path)
    found = Registry(environ={"RECON_PLUGINS_AUTOLOAD": "0"})
    assert "my_file_plugin" not in [p.name for p in found.plugins]
    try:
        assert found.load_file(path).state == "ok"
        assert found.find("operator", "my_file_plugin/thing").load().__name__ == "Target"
    finally:
        sys.modules.pop("my_file_plugin", None)
    with pytest.raises(ComponentError, match=r"not an existing \.py file"):
        found.load_file(tmp_path / "nothing.py")
    shadow = tmp_path / "json.py"
    shadow.write_text("")
    with pytest.raises(ComponentError, match="a module 'json' exists already"):
        found.load_file(shadow)
    for name in ("_symtable.py", "my.plugin.py", "My-plugin.py"):  # one is the name of a module inside Python itself
        (tmp_path / name).write_text("")
        with pytest.raises(ComponentError, match="its stem is the plugin's name and must match"):
            found.load_file(tmp_path / name)
    inside = "faulthandler"  # has no file
    monkeypatch.delitem(sys.modules, inside, raising=False)
    (tmp_path / f"{inside}.py").write_text("")
    with pytest.raises(ComponentError, match=f"a module '{inside}' exists already"):
        found.load_file(tmp_path / f"{inside}.py")
    broken = tmp_path / "broken_file_plugin.py"
    broken.write_text("1/0")
    with pytest.raises(ComponentError, match="is broken: ZeroDivisionError"):
        found.load_file(broken)
    assert "broken_file_plugin" not in sys.modules


def test_use_registry_is_undone():
    before = registry()
    other = Registry([], environ={})
    with use_registry(other):
        assert registry() is other
    assert registry() is before


def test_fixture_gives_first_party_plugins_alone(recon_registry):
    assert registry() is recon_registry
    assert all(plugin.first_party for plugin in recon_registry.plugins if plugin.state == "ok")


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("kind", "oracle", "must be one of operator"),
        ("name", "no-dash", "must match"),
        ("target", "pkg.mod", "package.module:Name"),
        ("examples", "pkg", "package.module:Name"),
        ("summary", "two\nlines", "one line"),
        ("summary", "", "one line"),
    ],
)
def test_components_refuse_what_a_listing_cannot_carry(field, value, words):
    fields = {"kind": "operator", "name": "thing", "target": "a.b:C", "summary": "s", field: value}
    with pytest.raises(ValueError, match=words):
        Component(**fields)


def test_components_are_frozen_plain_data():
    component = Component(kind="operator", name="thing", target="a.b:C", summary="s")
    with pytest.raises(AttributeError):
        component.name = "else"
    assert hash(component) == hash(Component(kind="operator", name="thing", target="a.b:C", summary="s"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert component.api == 1
