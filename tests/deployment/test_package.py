"""The packaged folder: complete, right, and running where there is nothing but NumPy and LiteRT."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml

from hpsearch.deployment.package import write_package
from hpsearch.deployment.verified import Verified, of_study, open_verified
from hpsearch.errors import ExportError, UsageError
from hpsearch.export.interpreter import Runner

ROWS = 64


def run(bare, folder, *arguments, code=0):
    command, environment = bare
    done = subprocess.run(
        [*command, str(folder / "predict.py"), *map(str, arguments)],
        env=environment,
        cwd=folder.parent,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == code, done.stderr
    return done.stderr if code else [json.loads(line) for line in done.stdout.splitlines()]


def samples(study):
    with np.load(study.champion["samples"]) as archive:
        return archive[archive.files[0]][:ROWS]


def file_says(folder, array):
    """Returns what the verified file says, by the export's own interpreter."""
    runner = Runner(folder / "model.tflite")
    (tensor,) = runner.inputs
    batch = tensor.shape[0] or len(array)
    parts = [runner({tensor.name: array[start : start + batch]}) for start in range(0, len(array), batch)]
    return np.concatenate([next(iter(part.values())) for part in parts])


def test_the_environment_has_nothing_else(bare):
    command, environment = bare
    for module in ("tensorflow", "keras", "hpsearch", "mlflow", "pandas", "fastapi"):
        done = subprocess.run(
            [*command, "-c", f"import {module}"], env=environment, cwd="/", capture_output=True, text=True
        )
        assert f"No module named '{module}'" in done.stderr


@pytest.mark.parametrize("fmt", ["float32", "int8"])
def test_pictures_are_classified_exactly_as_by_the_verified_file(pictures, packages, bare, tmp_path, fmt):
    folder, array = packages(pictures, fmt), samples(pictures)
    np.save(tmp_path / "rows.npy", array)
    lines = run(bare, folder, tmp_path / "rows.npy")
    expected = file_says(folder, array)
    assert [line["class"] for line in lines] == [str(number) for number in expected.argmax(axis=1)]
    (output,) = set(lines[0]) - {"class"}
    np.testing.assert_array_equal(np.array([line[output] for line in lines], np.float32), expected)
    assert len({line["class"] for line in lines}) > 3


def test_integers_go_in_and_out(pictures, packages, bare, tmp_path):
    """The script makes them of real numbers, and real numbers of them."""
    from hpsearch.assemble import export_model

    file = export_model(pictures, fmt="int8", output=tmp_path / "x.tflite", integer_io=True).path
    write_package(open_verified(Path(file)), tmp_path / "integers")
    described = json.loads((tmp_path / "integers" / "model.json").read_text())
    assert described["inputs"][0]["dtype"] == "float32"
    assert described["inputs"][0]["stored"]["dtype"] == "int8"
    array = samples(pictures)
    np.savez(tmp_path / "rows.npz", **{described["inputs"][0]["name"]: array})
    lines = run(bare, tmp_path / "integers", tmp_path / "rows.npz", "--classes")
    expected = file_says(tmp_path / "integers", array)
    assert lines == [{"class": str(number)} for number in expected.argmax(axis=1)]


def test_text_is_read_as_in_training(texts, packages, bare):
    import keras

    folder = packages(texts)
    said = [
        "The film was NOT boring; but, zebra!",
        "Her song is really lovely.",
        "",
        "\u00c9t\u00e9 \u00a0 is It's",
    ]
    lines = run(bare, folder, *(part for text in said for part in ("--text", text)))
    network = keras.models.load_model(texts.folder / "champion" / "end_to_end.keras")
    expected = network.predict(np.array(said, object), verbose=0)
    (output,) = set(lines[0]) - {"class"}
    np.testing.assert_allclose([line[output] for line in lines], expected, atol=1e-6)
    named = ["praise" if probability > 0.5 else "complaint" for (probability,) in expected]
    assert [line["class"] for line in lines] == named


def test_columns_are_encoded_as_in_training(tables, packages, bare, tmp_path):
    import keras

    folder = packages(tables)
    (tmp_path / "rows.csv").write_text(
        'note,age,city,height,unused\nbad food,33,Rome,170,1\n"Good, GOOD wine",,Oslo,155.5,2\n,41,,160,3\n'
    )
    lines = run(bare, folder, tmp_path / "rows.csv")
    columns = {
        "age": np.array([33, np.nan, 41]),
        "height": np.array([170, 155.5, 160]),
        "city": np.array(["Rome", "Oslo", ""], object),
        "note": np.array(["bad food", "Good, GOOD wine", ""], object),
    }
    network = keras.models.load_model(tables.folder / "champion" / "end_to_end.keras")
    expected = network.predict(columns, verbose=0)
    (output,) = set(lines[0]) - {"class"}
    np.testing.assert_allclose([line[output] for line in lines], expected, atol=1e-6)
    assert [line["class"] for line in lines] == [("no", "yes")[row.argmax()] for row in expected]


def test_photographs_are_read_where_pillow_is(pictures, packages, tmp_path):
    from PIL import Image

    folder, array = packages(pictures), samples(pictures)[:2]
    for row, picture in enumerate(array):
        grey = Image.fromarray(np.round(picture[..., 0] * 255).astype(np.uint8))
        grey.convert("RGB").save(tmp_path / f"{row}.png")
    files = [str(tmp_path / f"{row}.png") for row in range(2)]
    done = subprocess.run(
        [sys.executable, str(folder / "predict.py"), "--classes", *files], capture_output=True, text=True
    )
    classes = [json.loads(line)["class"] for line in done.stdout.splitlines()]
    assert classes == [str(number) for number in file_says(folder, array).argmax(axis=1)]


def test_without_rows_the_script_says_what_it_takes(pictures, packages, bare):
    command, environment = bare
    script = packages(pictures) / "predict.py"
    done = subprocess.run([*command, str(script)], env=environment, capture_output=True, text=True)
    said = json.loads(done.stdout)
    assert list(said["inputs"].values()) == ["(rows, 8, 8, 1) float32"]
    assert said["classes"] == [str(number) for number in range(10)]


def test_rows_that_do_not_fit_are_refused(pictures, packages, bare, tmp_path):
    folder = packages(pictures)
    np.save(tmp_path / "flat.npy", np.zeros((2, 64)))
    said = run(bare, folder, tmp_path / "flat.npy", code=2)
    assert re.fullmatch(
        r"input `\w+`: wrong shape; expected \(rows, 8, 8, 1\) float32; received \(2, 64\)\.\n", said
    )
    assert "No such file" in run(bare, folder, tmp_path / "none.npy", code=2)
    np.save(tmp_path / "objects.npy", np.array([None]), allow_pickle=True)
    assert "not an array of NumPy" in run(bare, folder, tmp_path / "objects.npy", code=2)
    assert "unknown kind of file" in run(bare, folder, folder / "Dockerfile", code=2)


def test_a_file_that_was_changed_is_not_run(pictures, packages, bare, tmp_path):
    shutil.copytree(packages(pictures), tmp_path / "changed")
    with open(tmp_path / "changed" / "model.tflite", "ab") as file:
        file.write(b"x")
    assert "not the file that was verified" in run(bare, tmp_path / "changed", code=2)


def test_the_numbers_are_those_of_the_record(pictures, packages):
    folder = packages(pictures)
    record = of_study(pictures, fmt="float32").record
    text = (folder / "README.md").read_text()
    assert f"| size | {record['size_bytes'] / 1024:.1f} KiB |" in text
    assert f"| accuracy of the file on {record['comparison']['samples']} test rows | " in text
    assert f"{record['comparison']['scores']['accuracy']:.4f}" in text
    assert f"{record['speed']['latencies'][0]['median_ms']:.3g} ms" in text
    assert "white is 1" in text
    assert "{{" not in text
    assert not re.search("\n{4}", text)


def test_manifests_are_what_their_readers_expect(pictures, packages):
    folder = packages(pictures)
    deployment, service = yaml.safe_load_all((folder / "kubernetes.yaml").read_text())
    pod = deployment["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert (deployment["kind"], service["kind"]) == ("Deployment", "Service")
    assert service["spec"]["selector"] == deployment["spec"]["template"]["metadata"]["labels"]
    assert container["ports"][0]["containerPort"] == int(container["env"][0]["value"]) == 8080
    assert container["readinessProbe"]["httpGet"]["path"] == "/health"
    assert pod["securityContext"]["runAsNonRoot"]
    assert '  name: "pictures"\n' in (folder / "kubernetes.yaml").read_text()  # a study may be called `yes`
    run_service = yaml.safe_load((folder / "cloudrun.yaml").read_text())
    (container,) = run_service["spec"]["template"]["spec"]["containers"]
    assert run_service["apiVersion"] == "serving.knative.dev/v1"
    assert container["ports"][0]["containerPort"] == 8080
    docker = (folder / "Dockerfile").read_text()
    copied = re.findall(r"^COPY (.+) \S+$", docker, re.M)
    assert all((folder / name).exists() for line in copied for name in line.split())
    assert 'CMD ["python", "serve.py", "--host", "0.0.0.0"]' in docker
    versions = of_study(pictures).record["versions"]
    assert f"ai-edge-litert=={versions['ai-edge-litert']}" in (folder / "requirements.txt").read_text()


@pytest.mark.parametrize("name", ["Größe 1", "2_x", "---", "x" * 100])
def test_names_of_containers_are_accepted_by_kubernetes(name):
    from hpsearch.deployment.package import _label

    assert re.fullmatch(r"[a-z]([a-z0-9-]{0,61}[a-z0-9])?", _label(name))


def test_the_array_of_c_is_the_file(pictures, packages, tmp_path):
    if shutil.which("g++") is None:
        pytest.skip("needs a C++ compiler")
    folder = packages(pictures)
    (tmp_path / "main.cc").write_text(
        '#include "model_data.h"\n#include <cstdio>\n#include <cstdint>\nint main() {\n'
        "  if (reinterpret_cast<std::uintptr_t>(pictures_model) % 16) return 1;\n"
        "  return fwrite(pictures_model, 1, pictures_model_len, stdout) != pictures_model_len;\n}\n"
    )
    sources = [str(tmp_path / "main.cc"), str(folder / "model_data.cc")]
    program = tmp_path / "program"
    command = ["g++", "-std=c++11", "-Wall", "-Werror", f"-I{folder}", *sources, "-o", str(program)]
    subprocess.run(command, check=True)
    done = subprocess.run([str(program)], check=True, capture_output=True)
    assert done.stdout == (folder / "model.tflite").read_bytes()


def test_nothing_is_overwritten_unless_it_is_asked_for(pictures, packages, tmp_path):
    verified = of_study(pictures)
    folder = tmp_path / "out"
    write_package(verified, folder, with_c_array=True)
    (folder / "mine.txt").write_text("mine")
    with pytest.raises(
        UsageError, match=r"is not empty; expected a folder that is new or empty; received .*--force"
    ):
        write_package(verified, folder)
    assert (folder / "model_data.cc").exists()
    write_package(verified, folder, force=True)
    assert not (folder / "model_data.cc").exists()  # it would be of another file
    assert (folder / "mine.txt").read_text() == "mine"
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.txt").write_text("mine")
    with pytest.raises(UsageError, match="holds something else than a package"):
        write_package(verified, tmp_path / "other", force=True)
    with pytest.raises(UsageError, match="is a file"):
        write_package(verified, tmp_path / "other" / "thesis.txt", force=True)
    with pytest.raises(UsageError, match="the folder cannot be written; received"):
        write_package(verified, tmp_path / "other" / "thesis.txt" / "inside")


def test_only_what_was_verified_is_packaged(pictures, tmp_path):
    source = of_study(pictures).file
    file = tmp_path / "x.tflite"
    shutil.copy(source, file)
    with pytest.raises(
        ExportError, match=r"nothing says that the file was verified; expected its record, x\.tflite\.json"
    ):
        open_verified(file)
    shutil.copy(f"{source}.json", f"{file}.json")
    assert isinstance(open_verified(file), Verified)
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    with pytest.raises(ExportError, match="it has changed since its export; expected SHA-256"):
        open_verified(file)
    Path(f"{file}.json").write_text("{}")
    with pytest.raises(ExportError, match="cannot be read as the record of an export"):
        open_verified(file)
    with pytest.raises(UsageError, match="the file does not exist"):
        open_verified(tmp_path / "none.tflite")
    with pytest.raises(UsageError, match=r"--format: LiteRT does not run such files.*Did you mean `int8`"):
        of_study(pictures, fmt="int")


def test_mlflow_loads_the_folder(pictures, tables, packages, tmp_path):
    """In a process of its own, where hpsearch is not."""
    np.save(tmp_path / "rows.npy", samples(pictures)[:5])
    code = """
import sys
import mlflow.pyfunc, numpy as np, pandas as pd
model = mlflow.pyfunc.load_model(sys.argv[1])
np.save(sys.argv[2], model.predict(np.load(sys.argv[3])))
table = mlflow.pyfunc.load_model(sys.argv[4])
columns = {"age": [33.0, None], "height": [170.0, 150], "city": ["Rome", None], "note": ["", "good"]}
frame = pd.DataFrame(columns)
assert table.predict(frame).shape == (2, 2)
assert not {"hpsearch", "tensorflow", "keras"} & set(sys.modules)
"""
    folders = [packages(pictures), packages(tables)]
    arguments = [folders[0], tmp_path / "out.npy", tmp_path / "rows.npy", folders[1]]
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    expected = file_says(folders[0], samples(pictures)[:5])
    np.testing.assert_array_equal(np.load(tmp_path / "out.npy"), expected)


def test_states_are_not_passed_on(tmp_path):
    """Of a file that keeps state, each call begins anew; within a call it runs on."""
    import keras

    from hpsearch.deployment.litert_runtime.model import Model
    from hpsearch.export import export
    from hpsearch.trial import Export, ExportResult

    keras.utils.set_random_seed(0)
    layers = [keras.layers.LSTM(4, stateful=True), keras.layers.Dense(3)]
    model = keras.Sequential([keras.Input((6, 3), batch_size=2), *layers])
    model.save(tmp_path / "model.keras")
    rows = np.random.default_rng(0).normal(size=(8, 6, 3)).astype("float32")
    np.savez(tmp_path / "samples.npz", x=rows)
    job = Export(
        model=str(tmp_path / "model.keras"),
        samples=str(tmp_path / "samples.npz"),
        target=str(tmp_path / "x.tflite"),
        measure=False,
    )
    assert isinstance(export(job), ExportResult)
    write_package(open_verified(tmp_path / "x.tflite"), tmp_path / "package")
    packaged = Model.load(tmp_path / "package")
    name = packaged.description["inputs"][0]["name"]
    first, second = (next(iter(packaged.predict({name: rows}).values())) for _ in range(2))
    np.testing.assert_array_equal(first, second)
    model.layers[0].reset_states()
    expected = np.concatenate([model(rows[start : start + 2]) for start in range(0, 8, 2)])
    np.testing.assert_allclose(first, expected, atol=1e-5)
    assert np.abs(next(iter(packaged.predict({name: rows[2:4]}).values())) - first[2:4]).max() > 1e-3
