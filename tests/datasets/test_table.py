"""Tables become numbers, by Keras layers that have seen the training rows only."""

import os
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pytest

from hpsearch.datasets import load_data
from hpsearch.experiment import DataSection, Experiment
from hpsearch.testing.trials import FakeDriver
from hpsearch.training.run import run_trial
from hpsearch.trial import Result, TrialSpec

ROWS = 60
CITIES = ("Bonn", "Köln", "Rom")


def frame(rows=ROWS):
    generator = np.random.default_rng(0)
    age = generator.integers(20, 70, rows).astype(float)
    age[3::10] = np.nan
    city = [CITIES[number % 3] for number in range(rows)]
    for number in range(0, rows, 4):
        city[number] = None
    return pd.DataFrame(
        {
            "age": age,
            "city": city,
            "zip": ["0" + str(number % 2) for number in range(rows)],
            "note, free": [f'say "word{number % 4}" often' for number in range(rows)],
            "income": generator.normal(3000, 500, rows),
            "bought": ["yes" if number % 2 else "no" for number in range(rows)],
        }
    )


def load(path, frame=None, name="csv", seed=0, **options):
    if frame is not None:
        frame.to_csv(path, index=False)
    return load_data(DataSection(name=name, options={"path": str(path), **options}, seed=seed))


@pytest.fixture
def file(tmp_path):
    return tmp_path / "people.csv"


def test_columns_become_one_vector_a_row(file):
    data = load(file, frame(), target="bought", categorical=["zip"], text=["note, free"])
    assert data.task == "classification"
    assert data.class_names == ("no", "yes")
    words = 1 + len({"say", "often", *(f"word{number}" for number in range(4))})
    # age, income, age missing; cities and missing; zips; each of them and a place for unknown ones
    assert data.input_shape == (3 + (1 + 4) + (1 + 2) + words,)
    assert data.train.x.dtype == np.float32
    assert all(np.isfinite(split.x).all() for split in (data.train, data.validation, data.test))


def test_statistics_are_those_of_the_training_rows_alone(tmp_path):
    table, drop = frame(), ["note, free", "zip", "bought"]
    table["goal"] = np.arange(ROWS) * 0.5
    data = load(tmp_path / "one.csv", table, target="goal", drop=drop)
    income = data.train.x[:, 1]
    np.testing.assert_allclose([income.mean(), income.std()], [0, 1], atol=1e-4)
    held_back = ~table["goal"].isin(data.train.y)  # by the seed alone, whatever the columns hold
    assert held_back.sum() == 24
    table.loc[held_back, ["income", "city"]] = [1e9, "Atlantis"]
    changed = load(tmp_path / "other.csv", table, target="goal", drop=drop)
    np.testing.assert_array_equal(changed.train.x, data.train.x)
    assert changed.test.x[:, 1].min() > 1e5
    assert changed.test.x[:, 3].tolist() == [1.0] * len(changed.test)  # a city that training has not seen


def test_missing_values_are_marked(file):
    data = load(file, frame(), target="income", drop=["note, free", "bought", "zip"])
    assert data.task == "regression"
    age, missing = data.train.x[:, 0], data.train.x[:, 1]
    assert set(missing.tolist()) == {0.0, 1.0}
    assert (age[missing == 1] == 0).all()
    np.testing.assert_allclose(age[missing == 0].std(), 1, atol=1e-4)


def test_the_preprocessing_is_a_keras_model_that_takes_the_files_own_rows(file, tmp_path):
    table = frame()
    data = load(file, table, target="bought", categorical=["zip"], text=["note, free"])
    data.preprocessing.save(tmp_path / "preprocessing.keras")
    loaded = keras.saving.load_model(tmp_path / "preprocessing.keras")
    columns = table.drop(columns="bought")
    raw = {
        name: columns[name].to_numpy(np.float32 if name in ("age", "income") else str)
        for name in columns.columns
    }
    raw["city"] = columns["city"].fillna("").to_numpy(str)
    everything = np.concatenate([data.train.x, data.validation.x, data.test.x])
    ours = np.asarray(loaded(raw))
    np.testing.assert_allclose(np.sort(ours, axis=0), np.sort(everything, axis=0), rtol=1e-5, atol=1e-6)


def test_several_targets_and_whole_numbers(file):
    table = frame().assign(kind=np.arange(ROWS) % 3)
    drop = ["note, free", "age"]
    assert load(file, table, target=["income", "kind"], drop=drop).train.y.shape == (36, 2)
    assert load(file, target="kind", drop=drop).class_names == ("0", "1", "2")


def test_parquet_is_read_like_csv(file, tmp_path):
    table = frame()
    table.to_parquet(tmp_path / "people.parquet")
    options = {"target": "bought", "categorical": "zip", "text": "note, free"}
    from_csv = load(file, table, **options)
    from_parquet = load(tmp_path / "people.parquet", name="parquet", **options)
    assert from_parquet.digest == from_csv.digest


def test_a_time_column_orders_the_rows_and_is_no_input(file):
    days = pd.date_range("2024-01-01", periods=ROWS)
    table = pd.DataFrame({"day": days.astype(str), "x": range(ROWS), "y": np.arange(ROWS) * 0.5})
    data = load(file, table.sample(frac=1, random_state=0), target="y", time="day")
    assert data.input_shape == (1,)
    joined = np.concatenate([data.train.y, data.validation.y, data.test.y])
    np.testing.assert_array_equal(joined, np.arange(ROWS) * np.float32(0.5))


def weighted_rows(rows=ROWS):
    x = np.random.default_rng(0).normal(size=rows)
    return pd.DataFrame(
        {"x": x, "w": 1 + x**2, "day": np.arange(rows)[::-1], "kind": np.where(x > 0, "a", "b")}
    )


@pytest.mark.parametrize("time", [None, "day"])
def test_a_column_of_weights_stays_with_its_rows_and_is_no_input(file, tmp_path, time):
    table = weighted_rows()
    options = {"target": "kind", "weight": "w", **({"time": time} if time else {"drop": "day"})}
    data = load(file, table, **options)
    assert data.input_shape == (1,)
    for split in (data.train, data.validation, data.test):
        assert split.sample_weight.dtype == np.float32
        scaled = np.sqrt(split.sample_weight - 1) * np.where(
            split.y == 0, 1, -1
        )  # that is `x` before it is scaled
        assert np.corrcoef(scaled, split.x[:, 0])[0, 1] == pytest.approx(1, abs=1e-5)
    table.to_parquet(tmp_path / "rows.parquet")
    assert load(tmp_path / "rows.parquet", name="parquet", **options).digest == data.digest
    without = load(file, target="kind", drop=["w", "day"])
    assert without.train.sample_weight is None


def test_a_trial_learns_from_weights(file, tmp_path):
    table = weighted_rows()

    def build(hp):
        model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, activation="sigmoid")])
        model.compile("adam", "binary_crossentropy")
        return model

    def trained(data, name):
        experiment = Experiment(
            name=name, model=build, data=data, objective="val_loss", training={"epochs": 1}
        )
        result = run_trial(experiment, TrialSpec(0, {}, 3, str(tmp_path / name)), FakeDriver())
        assert isinstance(result, Result), result
        return result.metrics

    options = {"path": str(file), "target": "kind", "drop": "day"}
    data = load(file, table, target="kind", drop="day", weight="w")
    arrays = {
        f"{key}_{part}": getattr(getattr(data, part), key)
        for key in ("x", "y", "sample_weight")
        for part in ("train", "validation", "test")
    }
    arrays["class_names"] = data.class_names
    section = DataSection(name="csv", options={**options, "weight": "w"})
    weighted = trained(section, "weighted")
    assert weighted == trained(DataSection(name="arrays", target=arrays), "arrays")
    plain = trained(DataSection(name="csv", options={**options, "drop": ["w", "day"]}), "plain")
    assert weighted["loss"] != plain["loss"]


def test_other_separators_marks_and_names(file):
    file.write_text(
        "\ufeffa/b;Größe\n" + "".join(f"{row};{row % 7}.5\n" for row in range(30)), encoding="utf-8"
    )
    data = load(file, target="Größe", separator=";")
    assert data.input_shape == (1,)
    np.testing.assert_allclose(np.asarray(data.preprocessing({"a/b": np.float32([14.5])})).shape, (1, 1))


def test_california_housing_has_missing_bedrooms_and_the_sea(tmp_path):
    rows = [
        f"-122.{row},37.8,41,880,{'' if row % 9 == 0 else 129},322,126,{row}.5,{1000 * row},"
        for row in range(40)
    ]
    seas = ("NEAR BAY", "INLAND")
    header = (
        "longitude,latitude,housing_median_age,total_rooms,total_bedrooms,population,households,"
        "median_income,median_house_value,ocean_proximity"
    )
    lines = [line + seas[row % 2] for row, line in enumerate(rows)]
    (tmp_path / "housing.csv").write_text("\n".join([header, *lines]))
    data = load_data(DataSection(name="california_housing", options={"path": str(tmp_path)}))
    assert data.task == "regression"
    assert data.input_shape == (8 + 1 + 3,)
    assert max(split.y.max() for split in (data.train, data.validation, data.test)) == pytest.approx(0.39)


@pytest.mark.skipif("HPSEARCH_DATA_DIR" not in os.environ, reason="needs HPSEARCH_DATA_DIR")
def test_the_real_california_housing():
    file = Path(os.environ["HPSEARCH_DATA_DIR"]) / "california_housing" / "housing.csv"
    if not file.is_file():
        pytest.skip(f"needs {file}")
    data = load_data(DataSection(name="california_housing"))
    assert sum(data.summary().sizes.values()) == 20640
    assert data.input_shape == (8 + 1 + 6,)
