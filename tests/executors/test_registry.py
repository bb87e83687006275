from __future__ import annotations

import subprocess
import sys

import pytest
from pydantic import ValidationError

from hpsearch import executors
from hpsearch.errors import UsageError
from hpsearch.executors.inline import InlineExecutor
from hpsearch.executors.local import LocalExecutor
from hpsearch.experiment import ResourcesSection


def test_executors_are_found_by_the_name_of_their_file():
    assert executors.names() == ("inline", "local", "ray")
    assert isinstance(executors.create(ResourcesSection(executor="inline")), InlineExecutor)
    local = executors.create(ResourcesSection(executor="local", slots=3))
    assert isinstance(local, LocalExecutor)
    assert local.slots == 3


def test_an_unknown_executor_is_named():
    resources = ResourcesSection.model_construct(executor="locl")
    with pytest.raises(UsageError) as caught:
        executors.create(resources)
    assert str(caught.value) == (
        "resources.executor: no such executor; expected `inline` or `local` or `ray`; received locl."
        " Did you mean `local`?"
    )


def test_ray_is_asked_for_where_it_is_not_installed(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UsageError) as caught:
        executors.create(ResourcesSection(executor="ray"))
    assert str(caught.value) == (
        "resources.executor: `ray` needs the package Ray. Run `pip install 'hpsearch[ray]'`."
    )


@pytest.mark.parametrize("address", ["ray://10.0.0.1:10001", "10.0.0.1", "", "cluster"])
def test_an_address_is_auto_or_host_and_port(address):
    with pytest.raises(ValidationError):
        ResourcesSection(executor="ray", address=address)


def test_the_driver_and_a_worker_that_has_nothing_to_do_stay_light():
    heavy = {"tensorflow", "keras", "optuna", "mlflow", "pydantic", "ray"}
    modules = "hpsearch.executors.local, hpsearch.executors.ray, hpsearch.executors.worker"
    code = f"import sys, {modules}; print({heavy} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
