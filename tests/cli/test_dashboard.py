"""Optuna Dashboard over the study of a search of toys."""

import json
import re
import signal
import socket
import subprocess
import sys
from urllib.request import ProxyHandler, build_opener

import pytest

from hpsearch.cli.entry import call
from hpsearch.testing.searching import ToySearch


@pytest.fixture(scope="module")
def searched(tmp_path_factory):
    home = tmp_path_factory.mktemp("searched")
    ToySearch(home / "runs" / "toys", trials=3).run()
    return home


def test_it_shows_the_study_until_ctrl_c(searched):
    pytest.importorskip("optuna_dashboard", reason="optuna-dashboard is not installed")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "hpsearch", "dashboard", "--port", str(port)]
    with subprocess.Popen(command, cwd=searched, stdout=subprocess.PIPE, text=True) as served:
        said = served.stdout.readline()
        address = f"http://127.0.0.1:{port}"
        assert said == f"Optuna Dashboard shows toys at {address}/dashboard/studies/0. Ctrl-C ends it.\n"
        direct = build_opener(ProxyHandler({}))
        with direct.open(f"{address}/dashboard/studies/0") as page:
            assert b"Optuna Dashboard" in page.read()
        with direct.open(f"{address}/api/studies/0?after=0") as answer:
            assert [trial["number"] for trial in json.load(answer)["trials"]] == [0, 1, 2]
        served.send_signal(signal.SIGINT)
        assert served.communicate(timeout=20)[0] == "Ended.\n"
        assert served.returncode == 0


def test_what_keeps_it_from_being_shown_is_told(searched, monkeypatch, capsys):
    monkeypatch.chdir(searched)
    monkeypatch.setattr("hpsearch.cli.dashboard.find_spec", lambda _: None)
    assert call(["dashboard"]) == 2
    advice = r"`optuna-dashboard` is not installed\. Run `pip install 'hpsearch\[dashboard\]'`"
    assert re.search(advice, capsys.readouterr().err)

    monkeypatch.setattr("hpsearch.cli.dashboard.find_spec", lambda _: object())
    assert call(["dashboard", "toyz"]) == 2
    assert "toyz" in capsys.readouterr().err
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert call(["dashboard", "--port", str(port)]) == 2
    assert f"hpsearch dashboard: port {port} of 127.0.0.1 cannot be used" in capsys.readouterr().err
