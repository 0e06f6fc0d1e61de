"""The conformance kit finds every fault planted in an operator, by the check that is meant for it."""

import pytest
import torch

from recon.testing.suite import counts


@pytest.mark.parametrize(
    ("target", "check", "words"),
    [
        ("FlippedAdjoint", "adjoint", "dot-test gap"),
        ("MutatesInput", "input_untouched", "forward changes its input"),
        ("NotPicklable", "pickles", "does not pickle"),
        ("Leaky", "batch_independent", "item 0 alone and in the batch"),
        ("WrongDtype", "dtype_kept", "float32 of float64"),
        ("DetachedBackward", "backward", "backward of forward"),
        ("DetachedBackward", "gradcheck", "forward"),
        ("Nondeterministic", "deterministic", "declare stochastic"),
        ("Nondeterministic", "global_state", "torch random state"),
        ("NoGeneratorNeeded", "needs_generator", "without a generator"),
        ("GlobalSeed", "global_state", "torch random state"),
        ("GlobalDtype", "global_state", "default dtype"),
        ("GlobalThreads", "global_state", "number of threads"),
        ("Unannotated", "parameters", "no annotation"),
        ("Positional", "parameters", "keyword-only"),
        ("Kwargs", "parameters", "**options"),
        ("WrongShape", "shapes", "output_shape"),
        ("Affine", "linearity", None),
        ("Contiguous", "noncontiguous", None),
        ("WrongNormal", "normal", None),
        ("Remembers", "value_unchanged", "calls"),
        ("HiddenComplex", "complex_declared", "complex_output = True"),
        ("NoDocstring", "docstring", "no docstring"),
    ],
)
def test_finds(outcomes, failures, target, check, words):
    threads = torch.get_num_threads()
    try:
        found = failures(outcomes("operator", f"planted_operators:{target}", "images"))
    finally:
        torch.set_default_dtype(torch.float32)
        torch.set_num_threads(threads)
    assert check in found, found
    assert words is None or words in found[check]
    assert "\n" not in found[check]


@pytest.mark.parametrize("target", ["LosesArgument", "UnkeptValue"])
def test_finds_arguments_that_are_not_kept(outcomes, failures, target):
    found = failures(outcomes("operator", f"planted_operators:{target}", "with_factor"))
    assert "factor" in found["arguments_kept"]


def test_finds_the_rotate_back_adjoint(outcomes, failures):
    results = outcomes("operator", "planted_operators:RotateBackRadon", "radon")
    assert {"adjoint", "backward"} <= set(failures(results))
    gap = float(results["adjoint"].reason.partition("gap ")[2].partition(",")[0])
    assert 1e-3 < gap < 1
    assert results["gradcheck"].outcome == "passed"  # autograd is right, only the adjoint is another map
    # A declared tolerance admits it; one that is too small does not.
    assert not failures(outcomes("operator", "planted_operators:RotateBackRadon", "radon", adjoint_rtol=2.0))
    assert "adjoint" in failures(outcomes("operator", "planted_operators:RotateBackRadon", "radon", adjoint_rtol=1e-3))


@pytest.mark.parametrize("target", ["Good", "GoodNoise"])
def test_passes_what_is_right(outcomes, failures, target):
    results = outcomes("operator", f"planted_operators:{target}", "images")
    assert failures(results) == {}
    counted = counts(results.values())
    assert counted["passed"] == counted["run"] >= 18
    assert {"cuda"} >= {name for name, result in results.items() if result.outcome == "skipped"}


def test_expected_failures_are_strict(outcomes, failures):
    def run(*expected):
        return outcomes("operator", "planted_operators:FlippedAdjoint", "images", expected_failures=expected)

    reason = "half a step off"
    known = [(name, reason) for name in failures(run())]
    results = run(*known)
    assert failures(results) == {}
    assert results["adjoint"].outcome == "xfailed"
    assert results["adjoint"].reason == reason
    assert counts(results.values())["xfailed"] == len(known)
    stale = failures(run(*known, ("linearity", "was wrong once")))
    assert list(stale) == ["linearity"]
    assert "was wrong once" in stale["linearity"]
    assert "remove" in stale["linearity"]
    unknown = failures(run(*known, ("adjiont", "a slip")))
    assert "adjiont" in unknown["expected_failures"]


def test_no_example_fails_once(outcomes, failures):
    for examples in (None, "no_examples"):
        results = outcomes("operator", "planted_operators:Good", examples)
        assert list(failures(results)) == ["example"]
        assert "pickles" not in results


def test_missing_package_is_one_skip(outcomes):
    results = outcomes("operator", "planted_operators:Good", "images", requires=("no_such_package",))
    assert counts(results.values()) == {"run": 0, "passed": 0, "failed": 0, "skipped": 1, "xfailed": 0}
    assert "no_such_package" in results["loads"].reason


def test_target_that_does_not_import_fails_once(outcomes, failures):
    for target in ("planted_nowhere:Good", "planted_operators:Nowhere"):
        results = outcomes("operator", target, "images")
        assert list(results) == ["loads"]
        assert target.partition(":")[2] in failures(results)["loads"]


def test_foreign_components_are_not_asked_for_style(outcomes, failures):
    found = outcomes("operator", "planted_operators:Positional", "images", foreign=True)
    assert failures(found) == {}
    assert "parameters" not in found


def test_undeclared_precision_is_skipped(outcomes):
    results = outcomes("operator", "planted_operators:WrongDtype", "images", dtypes=("float32",))
    assert results["dtype_kept"].outcome == "passed"
    assert results["gradcheck"].outcome == "skipped"
