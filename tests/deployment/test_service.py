"""The service: a real uvicorn on a socket, many clients at once, and whatever they may send by mistake."""

import http.client
import json
import re
import shutil
import signal
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from urllib.request import urlopen

import numpy as np
import pytest

from hpsearch.cli.entry import call
from hpsearch.deployment.verified import of_study
from hpsearch.export.interpreter import Runner

JSON, CSV = "application/json", "text/csv"
LIMIT_MIB = 0.25


class Service:
    """`hpsearch serve` in another process."""

    def __init__(self, command, cwd):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.process = subprocess.Popen(
            [*command, "--port", str(self.port)],
            cwd=cwd,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.line = self.process.stdout.readline()
        if not self.line:
            raise AssertionError(self.process.stderr.read())

    def post(self, body, kind=JSON, path="/invocations"):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            if body is None or isinstance(body, dict | list):
                body = json.dumps(body)
            connection.request("POST", path, body, {"Content-Type": kind} if kind else {})
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())
        finally:
            connection.close()

    def get(self, path):
        with urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=60) as answer:
            return answer.read().decode()

    def stop(self, number=signal.SIGINT):
        self.process.send_signal(number)
        out, err = self.process.communicate(timeout=30)
        return self.process.returncode, self.line + out, err


def hpsearch(*arguments):
    return [sys.executable, "-m", "hpsearch", "serve", *map(str, arguments)]


@pytest.fixture(scope="module")
def service(pictures, packages):
    service = Service(hpsearch(packages(pictures), "--max-body-mib", LIMIT_MIB), packages(pictures))
    yield service
    code, out, err = service.stop()
    noted = [line for line in err.splitlines() if not line.startswith("INFO: Created TensorFlow Lite")]
    assert (code, noted) == (0, [])  # not one request was a failure of the service
    assert out.endswith("Ended.\n")


@pytest.fixture(scope="module")
def table_service(tables, packages):
    service = Service(hpsearch(packages(tables)), packages(tables))
    yield service
    assert service.stop()[0] == 0


@pytest.fixture(scope="module")
def text_service(texts, packages):
    service = Service([sys.executable, "serve.py"], packages(texts))  # as in a container
    yield service
    assert service.stop(signal.SIGTERM)[0] == 0


@pytest.fixture(scope="module")
def rows(pictures):
    with np.load(pictures.champion["samples"]) as archive:
        return archive[archive.files[0]][:40]


@pytest.fixture(scope="module")
def expected(pictures, rows):
    runner = Runner(of_study(pictures).file)
    (tensor,) = runner.inputs
    return next(iter(runner({tensor.name: rows}).values()))


def test_every_form_gives_the_predictions_of_the_file(service, rows, expected):
    flat = rows.reshape(len(rows), -1)
    columns = [f"pixel_{place}" for place in range(64)]
    lines = [",".join(columns), *(",".join(map(str, row)) for row in flat.tolist())]
    name = json.loads(service.get("/metadata"))["inputs"].popitem()[0]
    bodies = [
        ({"inputs": rows.tolist()}, JSON),
        ({"inputs": {name: rows.tolist()}}, "application/json; charset=utf-8"),
        ({"instances": rows.tolist()}, JSON),
        ({"instances": [{name: row} for row in rows.tolist()]}, JSON),
        ({"dataframe_split": {"columns": columns, "data": flat.tolist()}}, JSON),
        ({"dataframe_split": {"columns": [name], "data": [[row] for row in rows.tolist()]}}, JSON),
        ({"dataframe_records": [dict(zip(columns, row, strict=True)) for row in flat.tolist()]}, JSON),
        ("\n".join(lines), CSV),
    ]
    for body, kind in bodies:
        status, answer = service.post(body, kind)
        assert status == 200, answer
        np.testing.assert_array_equal(np.array(answer["predictions"], np.float32), expected)
        assert answer["classes"] == [str(number) for number in expected.argmax(axis=1)]


def test_clients_at_once_each_get_their_own_answer(service, rows, expected):
    def client(seed):
        order = np.random.default_rng(seed).permutation(len(rows))
        for place in (*order, *order):
            some = rows[place : place + 1 + seed % 3]
            status, answer = service.post({"inputs": some.tolist()})
            assert status == 200, answer
            given = np.array(answer["predictions"], np.float32)
            np.testing.assert_allclose(given, expected[place : place + len(some)], atol=1e-6)
        return len(order)

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(client, range(8))) == 320


NUMBERS = [[0.0] * 64]
SHAPE = r"expected \(rows, 8, 8, 1\) float32"
# name: body, Content-Type, status, what the message must say
REFUSED = {
    "nothing": (b"", JSON, 400, "the body: not JSON; expected a JSON object with one of inputs, instances"),
    "no JSON": ("{inputs: 1}", JSON, 400, "the body: not JSON"),
    "half of it": ('{"inputs": [[1, 2', JSON, 400, "the body: not JSON"),
    "not UTF-8": (b'{"inputs": "\xff"}', JSON, 400, "the body: not JSON"),
    "a list": ([1, 2], JSON, 400, "the body: not an object; expected .*; received list"),
    "null": (None, JSON, 400, "received NoneType"),
    "no form": ({"data": NUMBERS}, JSON, 400, "which form it has is unclear; .*received `data`"),
    "two forms": ({"inputs": NUMBERS, "instances": NUMBERS}, JSON, 400, "received `inputs`, `instances`"),
    "empty object": ({}, JSON, 400, "received an empty object"),
    "one row": ({"inputs": np.zeros((8, 8, 1)).tolist()}, JSON, 400, rf"{SHAPE}; received \(8, 8, 1\)"),
    "other shape": ({"inputs": NUMBERS}, JSON, 400, rf"wrong shape; {SHAPE}; received \(1, 64\)"),
    "ragged": ({"inputs": [[1, 2], [3]]}, JSON, 400, "lists of different lengths"),
    "a number": ({"inputs": 3}, JSON, 400, r"wrong shape; .*received \(\)"),
    "text": ({"inputs": [["a"] * 64]}, JSON, 400, "not all values are numbers"),
    "nulls": ({"inputs": [[None] * 64]}, JSON, 400, "not all values are numbers; expected .*no text"),
    "booleans": ({"inputs": np.ones((1, 8, 8, 1), bool).tolist()}, JSON, 400, "wrong type; .*received bool"),
    "no rows": ({"inputs": []}, JSON, 400, rf"{SHAPE}; received \(0,\)"),
    "no instances": ({"instances": []}, JSON, 400, "`instances`: there are no rows; .*an empty list"),
    "instances of nothing": ({"instances": 1}, JSON, 400, "`instances`: there are no rows; .*received int"),
    "unknown input": ({"inputs": {"x": NUMBERS}}, JSON, 400, "is missing; expected `input_0`; received `x`"),
    "one input more": ({"inputs": {"input_0": 1, "b": 1}}, JSON, 400, "there is no input `b`"),
    "mixed instances": ({"instances": [{"input_0": 1}, 3]}, JSON, 400, "not a list of objects"),
    "NaN": ('{"inputs": [NaN]}', JSON, 400, "NaN is no number of JSON; expected finite numbers"),
    "infinity": ('{"inputs": [[-Infinity]]}', JSON, 400, "-Infinity is no number of JSON"),
    "infinite all the same": (
        json.dumps({"inputs": np.zeros((1, 8, 8, 1)).tolist()}).replace("0.0", "1e999", 1),
        JSON,
        400,
        "input `input_0`: NaN or infinity; expected finite numbers",
    ),
    "larger than float32": (
        {"inputs": np.full((1, 8, 8, 1), 1e300).tolist()},
        JSON,
        400,
        rf"too large for float32; {SHAPE}; received 1e\+300",
    ),
    "endless": ("[" * 100_000, JSON, 400, "lists within lists without end"),
    "deep": ('{"inputs": ' + "[" * 80 + "]" * 80 + "}", JSON, 400, "lists of different lengths or depths"),
    "long number": ('{"inputs": [' + "9" * 5000 + "]}", JSON, 400, "the body: not JSON; .*4300"),
    "no table": ({"dataframe_split": [[1]]}, JSON, 400, "`dataframe_split`: not a table"),
    "half a table": ({"dataframe_split": {"columns": ["a"]}}, JSON, 400, "not a table; .*received `columns`"),
    "short row": (
        {"dataframe_split": {"columns": ["a", "b"], "data": [[1]]}},
        JSON,
        400,
        "row 1: wrong number of values; expected 2, one a column; received 1",
    ),
    "other columns": (
        {"dataframe_split": {"columns": ["a"], "data": [[1]]}},
        JSON,
        400,
        r"expected `input_0` \(rows, 8, 8, 1\) float32, or 64 columns of numbers; received 1: `a`",
    ),
    "column twice": (
        {"dataframe_split": {"columns": ["a", "a"], "data": [[1, 2]]}},
        JSON,
        400,
        "`a` is there twice",
    ),
    "uneven records": (
        {"dataframe_records": [{"a": 1}, {"b": 1}]},
        JSON,
        400,
        "row 2: other names than in row 1",
    ),
    "records of nothing": ({"dataframe_records": []}, JSON, 400, "not a list of objects"),
    "empty CSV": ("", CSV, 400, r"there are no rows; expected a header and rows; received 0 line\(s\)"),
    "header only": ("a,b\n", CSV, 400, r"received 1 line\(s\)"),
    "CSV of other columns": ("a,b\n1,2\n", CSV, 400, "the columns: they do not fit the model"),
    "CSV with text": (
        ",".join(map(str, range(64))) + "\n" + ",".join(["x"] * 64),
        CSV,
        400,
        "column `0`, row 1: not a finite number; expected a number; received 'x'",
    ),
    "CSV with NaN": (
        ",".join(map(str, range(64))) + "\n" + ",".join(["nan"] * 64),
        CSV,
        400,
        "column `0`, row 1: not a finite number",
    ),
    "CSV not in UTF-8": (b"a\n\xff", CSV, 400, "not CSV in UTF-8"),
    "XML": (
        "<a/>",
        "application/xml",
        415,
        "expected application/json or text/csv, in UTF-8; received application/xml",
    ),
    "no Content-Type": ("{}", None, 415, "received none"),
    "other alphabet": ("{}", "application/json; charset=latin-1", 415, "charset=latin-1"),
    "too large": (b" " * int(LIMIT_MIB * 2**20 + 1), JSON, 413, "too large; expected at most 0.25 MiB"),
    "much too large": (b" " * int(10 * LIMIT_MIB * 2**20), JSON, 413, "too large"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_mistakes_are_refused_with_a_reason(service, name):
    body, kind, status, message = REFUSED[name]
    got, answer = service.post(body, kind)
    assert got == status, answer
    assert re.search(message, answer["message"])
    assert set(answer) == {"error_code", "message"}


def test_a_body_whose_length_is_not_said_is_limited_too(service):
    got, answer = service.post(iter([b" " * 2**16] * 5))  # http.client sends it in chunks
    assert (got, answer["error_code"]) == (413, "REQUEST_TOO_LARGE")


def test_other_addresses_and_methods(service):
    got, answer = service.post({}, path="/predict")
    assert (got, answer) == (404, {"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "Not Found"})
    got, answer = service.post({}, path="/health")
    assert (got, answer["error_code"]) == (405, "METHOD_NOT_ALLOWED")


def test_a_client_that_hangs_up_hurts_nobody(service, rows):
    for _ in range(5):
        with socket.create_connection(("127.0.0.1", service.port)) as client:
            client.sendall(b"POST /invocations HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n")
            client.sendall(b"Content-Length: 1000\r\n\r\n{")
    assert service.post({"inputs": rows.tolist()})[0] == 200


def test_what_it_says_of_itself(service, pictures):
    assert service.line.startswith("pictures (float32) at http://127.0.0.1:")
    assert json.loads(service.get("/ping")) == json.loads(service.get("/health")) == {"status": "ok"}
    told = json.loads(service.get("/metadata"))
    assert (told["study"], told["format"]) == ("pictures", "float32")
    assert list(told["inputs"].values()) == ["(rows, 8, 8, 1) float32"]
    assert told["scores"]["accuracy"] > 0.5
    page = service.get("/docs")
    assert "/invocations" in page
    assert not re.search(r"(src|href)=.?(https?:)?//", page)  # nothing comes from the internet
    assert service.get("/") == page
    assert "/invocations" in json.loads(service.get("/openapi.json"))["paths"]


def test_columns_of_a_table(table_service):
    row = {"age": 33, "height": 170.5, "city": "Rome", "note": "bad food"}
    forms = [
        {"dataframe_records": [row]},
        {"instances": [row]},
        {"inputs": {name: [value] for name, value in row.items()}},
        {"dataframe_split": {"columns": list(row), "data": [list(row.values())]}},
    ]
    answers = [table_service.post(form) for form in forms]
    answers.append(table_service.post("target,age,height,city,note\nno,33,170.5,Rome,bad food\n", CSV))
    assert [status for status, _ in answers] == [200] * 5
    assert len({json.dumps(answer) for _, answer in answers}) == 1
    assert answers[0][1]["classes"][0] in ("no", "yes")
    missing = table_service.post({"dataframe_records": [dict.fromkeys(row)]})
    assert missing == table_service.post("age,height,city,note\nNA,,null,\n", CSV)
    assert missing[0] == 200


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"age": "old"}, "column `age`, row 1: not a number; expected a number, or null; received 'old'"),
        ({"age": True}, "column `age`, row 1: not a finite number"),
        ({"age": 1e300}, "column `age`, row 1: not a finite number"),
        ({"age": [1]}, "column `age`, row 1: not a finite number"),
        ({"city": ["Rome"]}, "column `city`, row 1: not a text"),
        ({"note": {}}, "column `note`, row 1: not a text; expected a string, or null; received {}"),
    ],
)
def test_wrong_values_of_a_table(table_service, changes, message):
    row = {"age": 33, "height": 170.5, "city": "Rome", "note": "bad food", **changes}
    status, answer = table_service.post({"instances": [row]})
    assert status == 400
    assert answer["message"].startswith(message)


def test_a_table_without_a_column(table_service):
    status, answer = table_service.post({"inputs": {"age": [1], "height": [2], "city": ["Rome"]}})
    assert status == 400
    expected = (
        "`note` is missing; expected `age`, `height`, `city`, `note`; received `age`, `height`, `city`."
    )
    assert answer["message"] == f"the input: {expected}"
    status, answer = table_service.post(
        {"inputs": {"age": [1], "height": [2, 3], "city": ["Rome"], "note": [""]}}
    )
    assert "the number of rows differs" in answer["message"]


def test_texts(text_service):
    said = ["The film was dull.", "Her song is lovely!"]
    forms = [
        ({"inputs": said}, JSON),
        ({"instances": [{"text": text} for text in said]}, JSON),
        ({"dataframe_split": {"columns": ["message"], "data": [[text] for text in said]}}, JSON),
        ('text\n"The film was dull."\nHer song is lovely!\n', CSV),
    ]
    answers = [text_service.post(*form) for form in forms]
    assert [status for status, _ in answers] == [200] * 4
    assert len({json.dumps(answer) for _, answer in answers}) == 1
    assert set(answers[0][1]["classes"]) <= {"complaint", "praise"}
    status, answer = text_service.post({"inputs": ["a", 3]})
    assert (status, answer["message"]) == (400, "`text`, row 2: not a text; expected a string; received 3.")
    assert text_service.post('{"inputs": ["\\ud800"]}')[0] == 200  # half a character


def test_it_warns_before_others_can_reach_it(pictures, packages):
    service = Service(hpsearch(packages(pictures), "--host", "0.0.0.0"), packages(pictures))
    assert json.loads(service.get("/ping")) == {"status": "ok"}
    code, _, err = service.stop(signal.SIGTERM)
    assert code == 0
    assert re.match(r"Warning: 0\.0\.0\.0:\d+ can be reached from other machines\. .*no.* password", err)


@pytest.mark.parametrize(
    "target", ["models:/pictures@champion", "models:/pictures/1", "pictures", "champion", None, "file"]
)
def test_whatever_can_be_served(pictures, texts, deployed, target, monkeypatch):
    """A registered model by alias and version, a study by name, the last one, a file."""
    from hpsearch.deployment.targets import open_model

    monkeypatch.chdir(deployed)
    pictures.files.journal.touch()  # the one that changed last
    target = str(of_study(pictures).file) if target == "file" else target
    model = open_model(target, workdir=None, trial=None, fmt=None, uri="sqlite:///mlflow.db")
    assert model.description["name"] == "pictures"
    assert model.description["inputs"][0]["shape"][1:] == [8, 8, 1]


def test_a_registered_model_of_text_brings_its_vocabulary(texts, deployed, monkeypatch):
    from hpsearch.deployment.targets import open_model

    monkeypatch.chdir(deployed)
    model = open_model(
        "models:/texts@champion", workdir=None, trial=None, fmt=None, uri="sqlite:///mlflow.db"
    )
    assert "film" in model.description["text"]["vocabulary"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["models:/pictures"], "no address of a registered model; expected models:/NAME@champion"),
        (["models:/nobody@champion"], "models:/nobody@champion: cannot be fetched; received .*not found"),
        (
            ["models:/pictures@champion", "--format", "int8"],
            "has no file in the format int8; expected one of float32",
        ),
        (["models:/x@champion", "--uri", "sqlite:///none.db"], "--uri: there are no records at"),
        (
            ["pictures", "--format", "onnx"],
            "--format: LiteRT does not run such files; expected one of float32",
        ),
        (["pictures", "--trial", "9"], "trial 9 left no model"),
        (["nothing"], "there is no study `nothing`"),
        (
            ["models:/x@champion", "--trial", "3"],
            "--trial 3: there is nothing to choose from: .*models:/x@champion",
        ),
        (["x.tflite", "--format", "int8"], "--format int8: there is nothing to choose from"),
        (["nothing.tflite"], "the file does not exist; expected an exported `.tflite` file"),
        (["pictures", "--port", "0"], "hpsearch serve: --port:"),
        (["pictures", "--host", "256.0.0.1"], "port 8000 of 256.0.0.1 cannot be used"),
    ],
)
def test_what_cannot_be_served(pictures, deployed, capsys, monkeypatch, arguments, message):
    monkeypatch.chdir(deployed)
    assert call(["serve", *arguments]) == 2
    assert re.search(message, capsys.readouterr().err)


def test_a_port_that_is_taken(pictures, deployed, capsys, monkeypatch):
    monkeypatch.chdir(deployed)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        assert call(["serve", "pictures", "--port", port]) == 2
    said = f"hpsearch serve: port {port} of 127.0.0.1 cannot be used; received Address already in use"
    assert said in capsys.readouterr().err


def test_a_package_that_was_changed_is_not_served(pictures, packages, tmp_path, capsys):
    shutil.copytree(packages(pictures), tmp_path / "changed")
    (tmp_path / "changed" / "model.tflite").write_bytes(b"x")
    assert call(["serve", str(tmp_path / "changed")]) == 2
    assert "not the file that was verified" in capsys.readouterr().err


def test_package_from_the_command_line(pictures, deployed, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(deployed)
    out = str(tmp_path / "out")
    assert call(["package", "pictures", "-o", out, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert {"model.tflite", "predict.py", "Dockerfile", "README.md"} <= set(document["files"])
    assert "model_data.cc" not in document["files"]
    assert call(["package", "pictures", "-o", out]) == 2
    assert "is not empty" in capsys.readouterr().err
    assert call(["package", "pictures", "--output", out, "--force", "--c-array"]) == 0
    assert capsys.readouterr().out.startswith(f"{out} (float32, ")
    assert (tmp_path / "out" / "model_data.cc").exists()
    assert call(["package", "pictures"]) == 2
    assert "missing option '--output'" in capsys.readouterr().err
    assert call(["package", "pictures", "-o", f"{out}2", "--format", "keras"]) == 2
    assert "LiteRT does not run such files" in capsys.readouterr().err
    assert not (tmp_path / "out2").exists()
