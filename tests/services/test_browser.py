"""A person looks at a finished search with `hpsearch ui`, in a real browser. Pictures are kept."""

import os
import re
import signal
import subprocess
import sys

import pytest

from .conftest import free_port

pytestmark = pytest.mark.slow

EXPERIMENT = """
model: {name: mlp, options: {max_layers: 2}}
data: blobs
objective: val_accuracy
search: {strategy: random, trials: 3}
training: {epochs: 3}
tracking: {system_metrics: true}
"""
HPSEARCH = [sys.executable, "-m", "hpsearch"]


@pytest.fixture(scope="module")
def searched(tmp_path_factory, browser):
    """A search, with its file changed and not committed."""
    home = tmp_path_factory.mktemp("searched")
    (home / "shown.yaml").write_text(EXPERIMENT)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    git = ["git", "-c", "user.name=me", "-c", "user.email=me@host", "-c", "init.defaultBranch=main"]
    for arguments in (["init"], ["add", "."], ["commit", "-m", "first"]):
        subprocess.run([*git, *arguments], cwd=home, env=environment, check=True, capture_output=True)
    (home / "shown.yaml").write_text(f"{EXPERIMENT}# a change\n")
    run = [*HPSEARCH, "run", "shown.yaml", "--quiet"]
    done = subprocess.run(run, cwd=home, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return home


@pytest.fixture(scope="module")
def address(searched):
    port = free_port()
    command = [*HPSEARCH, "ui", "--port", str(port)]
    with subprocess.Popen(command, cwd=searched, stdout=subprocess.PIPE, text=True) as ui:
        said = ui.stdout.readline()
        assert f"at http://127.0.0.1:{port}:" in said
        yield f"http://127.0.0.1:{port}/#"
        ui.send_signal(signal.SIGINT)
        assert ui.wait(30) == 0


def test_optuna_dashboard(browser, searched, tmp_path):
    from playwright.sync_api import expect

    pytest.importorskip("optuna_dashboard", reason="optuna-dashboard is not installed")
    command = [*HPSEARCH, "dashboard", "shown", "--port", str(free_port())]
    with subprocess.Popen(command, cwd=searched, stdout=subprocess.PIPE, text=True) as served:
        page = browser.new_page(viewport={"width": 1500, "height": 1000})
        page.goto(re.search(r"at (http://\S+)\. Ctrl-C", served.stdout.readline())[1])
        expect(page.get_by_text("shown").first).to_be_visible()
        expect(page.locator(".js-plotly-plot .scatterlayer .trace").first).to_be_attached()
        page.screenshot(path=tmp_path / "dashboard.png")
        page.close()
        served.send_signal(signal.SIGINT)
        assert served.wait(30) == 0


def test_what_a_person_finds_in_the_interface(browser, address, searched, tmp_path):
    from playwright.sync_api import expect

    expect.set_options(timeout=20_000)
    page = browser.new_page(viewport={"width": 1500, "height": 1000})
    page.set_default_timeout(20_000)
    broken, asked = [], set()
    page.on("pageerror", lambda error: broken.append(str(error)))
    page.on("request", lambda request: asked.add(re.sub(r"^(\w+:(//[^/:]*)?).*", r"\1", request.url)))

    def go(tab):
        page.get_by_role("tab", name=tab).click()

    def look(name):
        page.screenshot(path=tmp_path / f"{name}.png")

    page.goto(f"{address}/experiments/1/runs")
    expect(page.get_by_text(re.compile(r"4\s+matching runs"))).to_be_visible()  # the study's, three trials'
    look("runs")

    page.get_by_role("link", name="shown", exact=True).last.click()
    for number in range(3):
        expect(page.get_by_role("link", name=f"trial-000{number}").first).to_be_visible()
    head = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=searched, capture_output=True, text=True, check=True
    )
    expect(page.get_by_text(head.stdout[:6])).to_be_visible()
    expect(page.get_by_text("main", exact=True)).to_be_visible()
    look("study")
    trial = page.get_by_role("link", name="trial-0000").first.get_attribute("href")

    go("Artifacts")
    expect(page.get_by_text("code.diff")).to_be_visible()  # MLflow shows no preview of it, only the file
    run_id = re.search(r"/runs/(\w+)", page.url)[1]
    file = page.request.get(f"{address[:-2]}/get-artifact?path=code.diff&run_uuid={run_id}")
    assert file.text().endswith("\n+# a change\n")
    look("code")

    page.goto(address.removesuffix("#") + trial.removeprefix("/"))
    expect(page.get_by_role("heading", name="trial-0000")).to_be_visible()
    go("Model metrics")
    expect(page.locator(".js-plotly-plot .scatterlayer path.js-line").first).to_be_attached()
    look("metrics")
    go("System metrics")
    expect(page.get_by_text("cpu_utilization_percentage").first).to_be_visible()
    look("system")

    go("Artifacts")
    page.get_by_text("curves.png").first.click()
    picture = page.locator("img[src^='blob:'], img[src*='curves.png']").first
    expect(picture).to_be_visible()
    assert picture.evaluate("image => image.naturalWidth") > 100
    look("picture")

    page.goto(f"{address}/models/shown")
    expect(page.get_by_role("link", name="Version 1")).to_be_visible()
    expect(page.get_by_text("champion").first).to_be_visible()
    look("model")

    assert broken == []
    assert asked <= {"http://127.0.0.1", "blob:", "data:"}  # nothing outside is asked for anything
    page.close()
