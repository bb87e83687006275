import subprocess
import sys

import pytest

import hpsearch


@pytest.mark.parametrize("module", ["hpsearch.assemble", "hpsearch.cli.app", "hpsearch.driver"])
def test_a_search_begins_before_what_takes_seconds_is_imported(module):
    slow = {"optuna", "scipy", "mlflow", "pandas", "sklearn"}
    code = f"import sys, {module}; print({slow} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr) == ("set()\n", "")


def test_the_public_names_exist_and_are_few():
    assert len(hpsearch.__all__) <= 20
    for name in hpsearch.__all__:
        assert getattr(hpsearch, name) is not None
    assert set(dir(hpsearch)) >= set(hpsearch.__all__)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="module `hpsearch` has no attribute `serch`"):
        _ = hpsearch.serch


HEAVY = "{'tensorflow', 'keras', 'keras_tuner', 'mlflow', 'optuna', 'pandas', 'matplotlib'}"


@pytest.mark.parametrize(
    ("code", "heavy"),
    [
        ("import hpsearch", HEAVY),
        ("import hpsearch.cli", HEAVY),
        ("from hpsearch.export import formats; [formats.find(n) for n in formats.names()]", HEAVY),
        ("from hpsearch import search", "{'tensorflow', 'keras', 'keras_tuner', 'mlflow', 'matplotlib'}"),
    ],
)
def test_nothing_heavy_is_imported_before_it_is_needed(code, heavy):
    code = f"import sys; {code}; print(sorted(set(sys.modules) & {heavy}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
