"""Names of things in the user's own code."""

import sys

import pytest

from hpsearch.errors import DataError, ModelError
from hpsearch.references import blame, is_reference, resolve, summary


@pytest.fixture(autouse=True)
def _own_path(monkeypatch):
    monkeypatch.setattr(sys, "path", list(sys.path))


def find(reference, error=ModelError):
    return resolve(reference, where="model.name", error=error)


def test_a_reference_has_a_colon():
    assert is_reference("a.b:c")
    assert is_reference("dir/a.py:c")
    assert not is_reference("mlp")


def test_a_module_and_a_dotted_name():
    import json

    assert find("json:dumps") is json.dumps
    assert find("json.decoder:JSONDecoder.decode") is json.JSONDecoder.decode


def test_a_module_in_the_working_folder(tmp_path, monkeypatch):
    (tmp_path / "hp_net_here.py").write_text("WIDTH = 7\n")
    monkeypatch.chdir(tmp_path)
    assert find("hp_net_here:WIDTH") == 7


def test_a_file_is_imported_once_under_its_own_name(tmp_path):
    (tmp_path / "hp_net_once.py").write_text(
        "import sys\nsys.hp_imports = getattr(sys, 'hp_imports', 0) + 1\nclass A: pass\n"
    )
    first = find(f"{tmp_path}/hp_net_once.py:A")
    assert find(f"{tmp_path}/hp_net_once.py:A") is first
    assert first.__module__ == "hp_net_once"
    assert sys.hp_imports == 1
    import hp_net_once

    assert hp_net_once.A is first


def test_files_of_one_name_in_two_folders_are_two_modules(tmp_path):
    for number in (1, 2):
        (tmp_path / str(number)).mkdir()
        (tmp_path / str(number) / "hp_net_twin.py").write_text(f"N = {number}\n")
    assert [find(f"{tmp_path}/{n}/hp_net_twin.py:N") for n in (1, 2, 1)] == [1, 2, 1]


def test_a_file_called_like_a_library_does_not_replace_it(tmp_path):
    (tmp_path / "json.py").write_text("N = 5\n")
    assert find(f"{tmp_path}/json.py:N") == 5
    import json

    assert hasattr(json, "dumps")


def test_a_file_with_dataclasses_in_a_path_with_a_space(tmp_path):
    folder = tmp_path / "my models"
    folder.mkdir()
    (folder / "hp net-1.py").write_text(
        "from __future__ import annotations\nfrom dataclasses import dataclass\n"
        "@dataclass\nclass C:\n    n: int = 3\n"
    )
    assert find(f"{folder}/hp net-1.py:C")().n == 3


def test_a_failed_import_is_tried_again(tmp_path):
    file = tmp_path / "hp_net_mended.py"
    file.write_text("raise RuntimeError('not yet')\n")
    with pytest.raises(
        DataError, match=r"importing .* failed; received RuntimeError: not yet .*hp_net_mended.py:1"
    ):
        find(f"{file}:N", DataError)
    file.write_text("N = 4\n")
    assert find(f"{file}:N") == 4


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ("json:", "model.name: half a reference; expected `package.module:name`"),
        ("json:dmps", "`json` has no `dmps`; received json:dmps. Did you mean `dumps`?"),
        ("hp_no_such.module:x", "there is no module `hp_no_such`"),
        ("json.hp_nothing:x", "there is no module `json.hp_nothing`"),
        ("/no/where/net.py:x", "the file does not exist; expected a Python file; received /no/where/net.py"),
    ],
)
def test_what_is_wrong_is_said(reference, message):
    with pytest.raises(ModelError) as caught:
        find(reference)
    assert message in str(caught.value)


def test_a_missing_library_is_not_mistaken_for_a_missing_file(tmp_path):
    (tmp_path / "hp_net_needs.py").write_text("import hp_not_installed\n")
    with pytest.raises(
        ModelError, match=r"importing .* failed; received ModuleNotFoundError: .*hp_not_installed"
    ):
        find(f"{tmp_path}/hp_net_needs.py:x")


def test_the_blame_is_on_the_users_line_not_the_librarys():
    import json

    with pytest.raises(ValueError) as caught:
        json.loads("{")
    assert blame(caught.value).endswith('json.loads("{")')
    assert "test_references.py:" in blame(caught.value)
    assert summary(caught.value).startswith("JSONDecodeError: Expecting property name")


def test_a_summary_is_one_line_without_kerass_padding():
    failure = ValueError(
        'Exception encountered when calling MLP.call().\n\nInput 0 of layer "d" is incompatible.\n\n'
        "Arguments received by MLP.call():\n  • x=tf.Tensor"
    )
    assert summary(failure) == 'ValueError: Input 0 of layer "d" is incompatible'
    assert summary(KeyError()) == "KeyError"
