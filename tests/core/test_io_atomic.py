"""Files and folders appear complete or not at all."""

import pytest

from recon.errors import UsageError
from recon.io.atomic import atomic_file, atomic_folder


def test_file_appears_when_complete(tmp_path):
    path = tmp_path / "scan.nii.gz"
    with atomic_file(path) as temporary:
        assert temporary.name.endswith(".nii.gz")
        assert temporary.parent == tmp_path
        temporary.write_text("new")
        assert not path.exists()
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


def test_file_after_an_exception_is_as_before(tmp_path):
    path = tmp_path / "scan.nii"
    path.write_text("old")
    with pytest.raises(RuntimeError), atomic_file(path) as temporary:  # noqa: PT012
        temporary.write_text("half")
        raise RuntimeError
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_file_keeps_the_usual_permissions(tmp_path):
    (tmp_path / "plain").write_text("x")
    with atomic_file(tmp_path / "atomic") as temporary:
        temporary.write_text("x")
    assert (tmp_path / "atomic").stat().st_mode == (tmp_path / "plain").stat().st_mode


@pytest.mark.parametrize("context", [atomic_file, atomic_folder])
def test_missing_parent_is_one_line(tmp_path, context):
    with pytest.raises(UsageError, match="does not exist; make it first"), context(tmp_path / "no" / "x"):
        pass


def test_file_name_of_a_folder(tmp_path):
    with pytest.raises(UsageError, match="is a folder"), atomic_file(tmp_path):
        pass


def test_folder_appears_when_complete(tmp_path):
    path = tmp_path / "run"
    with atomic_folder(path) as temporary:
        (temporary / "a").mkdir()
        (temporary / "a" / "b").write_text("1")
        assert not path.exists()
    assert (path / "a" / "b").read_text() == "1"
    assert list(tmp_path.iterdir()) == [path]


def test_folder_after_an_exception_is_not_there(tmp_path):
    with pytest.raises(RuntimeError), atomic_folder(tmp_path / "run") as temporary:  # noqa: PT012
        (temporary / "b").write_text("1")
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []


def test_folder_with_content_is_replaced_only_when_asked(tmp_path):
    path = tmp_path / "run"
    path.mkdir()
    (path / "old").write_text("old")
    with pytest.raises(UsageError, match="not empty"), atomic_folder(path):
        pass
    with atomic_folder(path, overwrite=True) as temporary:
        (temporary / "new").write_text("new")
    assert [p.name for p in path.iterdir()] == ["new"]
    assert list(tmp_path.iterdir()) == [path]


def test_folder_name_of_a_file(tmp_path):
    (tmp_path / "x").write_text("")
    with pytest.raises(UsageError, match="is a file"), atomic_folder(tmp_path / "x"):
        pass
