"""The conformance kit finds faults planted in losses, models, metrics, datasets and readers."""

import pytest

from recon.registry import registry
from recon.testing.suite import conformance_suite


@pytest.mark.parametrize(
    ("kind", "target", "examples", "check", "words"),
    [
        ("loss", "InfiniteLoss", "images", "scalar", "inf"),
        ("loss", "NegativeLoss", "images", "scalar", "below zero"),
        ("loss", "BareRoot", "images", "identity", "not finite"),
        ("loss", "Rising", "images", "decreases", None),
        ("loss", "Rising", "images", "identity", None),
        ("loss", "ItemWise", "images", "scalar", "shape (3,)"),
        ("loss", "OrderMatters", "images", "batch_permutation", None),
        ("loss", "CutGradient", "images", "gradcheck", None),
        ("loss", "AsksTooMuch", "images", "inputs_known", "weather"),
        ("model", "DeadParameter", "images", "gradients", "unused.bias, unused.weight"),
        ("model", "AlwaysDrops", "images", "deterministic", "two calls"),
        ("model", "BatchNormAlways", "images", "batch_independent", "item 0"),
        ("model", "InplaceModel", "images", "input_untouched", "inplace"),
        ("model", "Float32Only", "images", "autocast", "expected float"),
        ("model", "GoodModel", "counted", "parameter_count", "10 parameters, not 11"),
        ("metric", "WrongWay", "images", "best_at_identity", None),
        ("metric", "OneNumber", "images", "per_item", "3 items"),
        ("metric", "BatchRange", "images", "batch_independent", None),
        ("metric", "NoConvention", "images", "convention", None),
        ("dataset", "EagerDataset", "folders", "lazy", "0.bin"),
        ("dataset", "Endless", "folders", "length", "gives an item"),
        ("dataset", "RandomItems", "folders", "deterministic", "differs"),
        ("dataset", "RandomItems", "folders", "global_state", "random state"),
        ("dataset", "OpenFile", "folders", "pickles", "after use"),
        ("dataset", "NoTensor", "folders", "items", "path"),
        ("dataset", "Cached", "folders", "shares_nothing", None),
        ("reader", "Trusting", "file", "refuses", "without an error"),
        ("reader", "RawErrors", "file", "refuses", "FileNotFoundError"),
    ],
)
def test_finds(outcomes, failures, kind, target, examples, check, words):
    found = failures(outcomes(kind, f"planted_parts:{target}", examples))
    assert check in found, found
    assert words is None or words in found[check]
    assert "\n" not in found[check]


@pytest.mark.parametrize(
    ("kind", "target", "examples"),
    [
        ("loss", "GoodLoss", "images"),
        ("model", "GoodModel", "images"),
        ("metric", "GoodMetric", "images"),
        ("dataset", "GoodDataset", "folders"),
        ("reader", "GoodReader", "file"),
    ],
)
def test_passes_what_is_right(outcomes, failures, kind, target, examples):
    results = outcomes(kind, f"planted_parts:{target}", examples)
    assert failures(results) == {}
    assert len(results) > 5


@pytest.mark.parametrize("name", ["dataset/shepp_logan", "dataset/image_folder", "writer/nifti", "reader/nifti"])
def test_kit_leaves_the_working_folder_alone(tmp_path, monkeypatch, name):
    """Its checks make, empty and damage files: in folders of their own, never where the user happens to be."""
    theirs = tmp_path / "folder" / "patient.nii"
    theirs.parent.mkdir()
    theirs.write_bytes(b"precious")
    before = theirs.stat()
    theirs.chmod(0o444)
    monkeypatch.chdir(tmp_path)
    kind, _, bare = name.partition("/")
    results = conformance_suite(registry().find(kind, bare))
    assert [result for result in results if result.outcome == "failed"] == []
    after = theirs.stat()
    assert theirs.read_bytes() == b"precious"
    assert (after.st_mtime_ns, after.st_ino) == (before.st_mtime_ns, before.st_ino)
    assert list(tmp_path.rglob("*")) == [theirs.parent, theirs]
