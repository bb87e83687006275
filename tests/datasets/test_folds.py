"""Cross-validation: which rows are in which fold, and that nothing of the others leaks into its training."""

import numpy as np
import pytest
from sklearn.model_selection import TimeSeriesSplit

from hpsearch.datasets import load_data
from hpsearch.errors import DataError
from hpsearch.experiment import DataSection
from hpsearch.experiment_evaluation import EvaluationSection

ROWS = 120
X = np.arange(ROWS, dtype=np.float32)[:, None]
CLASSES = np.arange(ROWS) % 3
AMOUNTS = X[:, 0] * 0.5


def load(evaluation, y=CLASSES, options=None, **given):
    """Returns the folds, and the split that trials of one training have."""
    section = DataSection(name="given", target={"x": X, "y": y, **given}, options=options or {})
    evaluation = EvaluationSection(**evaluation)
    folds = [load_data(section, evaluation, part) for part in evaluation.parts]
    return folds, load_data(section, evaluation)


def rows(split):
    return set(split.x[:, 0].astype(int).tolist())


@pytest.mark.parametrize("splitter", [None, "kfold", "stratified"])
def test_each_row_is_validated_once_in_a_repeat_and_the_test_rows_never(splitter):
    folds, whole = load({"folds": 4, "splitter": splitter, "repeats": 2})
    assert len(folds) == 8
    pool = rows(whole.train) | rows(whole.validation)
    for repeat in (folds[:4], folds[4:]):
        validated = [rows(fold.validation) for fold in repeat]
        assert set.union(*validated) == pool
        assert sum(map(len, validated)) == len(pool)
    for fold in folds:
        assert rows(fold.train) == pool - rows(fold.validation)
        assert rows(fold.test) == rows(whole.test)
        assert not rows(fold.test) & pool
    assert rows(folds[0].validation) != rows(folds[4].validation)


def test_classes_have_their_share_of_every_fold_unless_it_is_kfold():
    folds, _ = load({"folds": 4})
    assert {tuple(np.bincount(fold.validation.y)) for fold in folds} == {(8, 8, 8)}
    folds, _ = load({"folds": 4, "splitter": "kfold"})
    assert len({tuple(np.bincount(fold.validation.y, minlength=3)) for fold in folds}) > 1
    folds, _ = load({"folds": 4}, options={"stratify": False})
    assert len({tuple(np.bincount(fold.validation.y, minlength=3)) for fold in folds}) > 1


def test_the_same_seed_gives_the_same_folds_another_others():
    def validated(seed):
        section = DataSection(name="digits", seed=seed)
        evaluation = EvaluationSection(folds=3)
        return load_data(section, evaluation, evaluation.parts[1]).digest

    assert validated(0) == validated(0) != validated(1)


def test_repeats_alone_have_the_split_of_one_training():
    folds, whole = load({"repeats": 3})
    assert all(fold is whole for fold in folds)


def test_a_group_is_in_one_split_only():
    groups = np.repeat([f"patient {n}" for n in range(24)], 5)
    folds, whole = load({"folds": 4}, groups=groups)
    for data in (*folds, whole):
        parts = [set(groups[sorted(rows(split))]) for split in (data.train, data.validation, data.test)]
        assert all(parts)
        assert not parts[0] & parts[1]
        assert not (parts[0] | parts[1]) & parts[2]
    assert 3 <= len(set(groups[sorted(rows(whole.test))])) <= 7  # a fifth of 24
    again, _ = load({"folds": 4, "splitter": "group"}, groups=groups)
    assert [rows(fold.validation) for fold in again] == [rows(fold.validation) for fold in folds]


@pytest.mark.parametrize("gap", [0, 5])
def test_rows_in_order_are_validated_after_those_trained_on(gap):
    folds, whole = load({"folds": 3}, AMOUNTS, {"split": "ordered", "gap": gap})
    pool = np.arange(min(rows(whole.test)) - gap)
    for fold, (train, validation) in zip(folds, TimeSeriesSplit(3, gap=gap).split(pool), strict=True):
        assert rows(fold.train) == set(train)
        assert rows(fold.validation) == set(validation)
        assert max(rows(fold.train)) + gap < min(rows(fold.validation)) <= max(rows(whole.validation))


def test_windows_that_overlap_keep_their_distance():
    folds, _ = load({"folds": 3}, AMOUNTS, overlap=4)
    assert all(max(rows(fold.train)) + 4 < min(rows(fold.validation)) for fold in folds)


def test_preprocessing_is_fitted_on_the_training_rows_of_each_fold_alone():
    seen = []

    def centre(x):
        seen.append(set(x[:, 0].astype(int).tolist()))
        mean = x.mean()
        return lambda given: given - mean

    folds, whole = load({"folds": 3}, AMOUNTS, preprocess=centre)

    def original(split):
        return set((split.y * 2).astype(int).tolist())

    assert seen == [original(data.train) for data in (*folds, whole)]
    for fold, fitted in zip(folds, seen, strict=False):
        assert not fitted & (original(fold.validation) | original(fold.test))
        assert fold.train.x.mean() == pytest.approx(0.0, abs=1e-4)
        for split in (fold.validation, fold.test):
            np.testing.assert_allclose(split.x[:, 0], split.y * 2 - np.mean(list(fitted)), rtol=1e-5)
    assert len({float(fold.preprocessing(0.0)) for fold in folds}) == 3


def test_a_tables_statistics_and_a_texts_words_are_those_of_a_folds_training_rows(tmp_path):
    lines = [f"{n},word{n},{n % 2},{n // 6}" for n in range(60)]
    (tmp_path / "table.csv").write_text("\n".join(["size,say,label,patient", *lines]))
    options = {"path": str(tmp_path / "table.csv"), "target": "label", "text": "say", "groups": "patient"}
    section, evaluation = DataSection(name="csv", options=options), EvaluationSection(folds=3)
    for part in evaluation.parts:
        fold = load_data(section, evaluation, part)
        [words] = [each for each in fold.preprocessing.layers if each.name == "encode_text_0"]
        known = {int(word.removeprefix("word")) for word in words.get_vocabulary()[1:]}
        assert len(known) == len(fold.train)  # each row has a word of its own
        [numbers] = [each for each in fold.preprocessing.layers if each.name == "encode_numbers"]
        assert float(np.ravel(numbers.mean)[0]) == pytest.approx(np.mean(list(known)), rel=1e-5)
        np.testing.assert_allclose(fold.train.x[:, 0].mean(), 0.0, atol=1e-5)
        patients = {n // 6 for n in known}
        assert len(known) == 6 * len(patients)  # whole groups


def test_folds_of_reconstructions_have_their_inputs_as_targets():
    folds, _ = load({"folds": 2}, options={"reconstruct": True})
    np.testing.assert_array_equal(folds[0].train.x, folds[0].train.y)
    assert folds[0].labelled.class_names == ("0", "1", "2")


RARE = np.where(np.arange(ROWS) < 5, 1, 0)


@pytest.mark.parametrize(
    ("evaluation", "given", "message"),
    [
        ({"splitter": "group"}, {}, "evaluation.splitter: the data has no groups; received group"),
        ({"splitter": "kfold"}, {"groups": X[:, 0]}, "would divide a group among training and validation"),
        ({"splitter": "time_series"}, {}, "is for rows in order of time"),
        ({"splitter": "kfold"}, {"overlap": 2, "y": AMOUNTS}, "training would see what comes after"),
        ({"splitter": "stratified"}, {"y": AMOUNTS}, "needs one target of classes; expected kfold"),
        ({"folds": 9}, {"y": RARE}, "class `1` has too few rows to be in the validation rows of every fold"),
        ({"folds": 99}, {"y": AMOUNTS}, "too few rows for so many folds; expected at least 99"),
        ({"folds": 3}, {"groups": np.arange(ROWS) % 3}, "too few groups for so many folds"),
        ({}, {"groups": np.zeros(ROWS)}, "too few groups to split"),
        ({}, {"groups": X[:9, 0]}, "`groups` does not fit; expected one group for each of the 120 rows"),
        (
            {},
            {"groups": X[:, 0], "overlap": 1},
            "split in their order cannot be split by groups",
        ),
        ({}, {"groups": X[:, 0], "options": {"stratify": True}}, "cannot give each part the same share"),
        ({"folds": 40}, {"overlap": 30, "y": AMOUNTS}, "the rows cannot be divided into folds"),
    ],
)
def test_what_would_leak_or_cannot_be_divided_is_refused(evaluation, given, message):
    with pytest.raises(DataError) as caught:
        load({"folds": 4, **evaluation}, **given)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    "target",
    [
        {"x_train": X, "y_train": CLASSES, "x_validation": X, "y_validation": CLASSES},
        load_data(DataSection(name="blobs")),
    ],
)
def test_validation_rows_that_were_set_apart_are_not_mixed_with_others(target):
    with pytest.raises(DataError) as caught:
        load_data(DataSection(name="given", target=target), EvaluationSection(folds=2))
    assert "evaluation.folds: data given comes with validation rows of its own" in str(caught.value)
    load_data(DataSection(name="given", target=target), EvaluationSection(repeats=2))


def test_a_class_that_a_fold_does_not_train_on_is_refused():
    y = np.r_[np.arange(60) % 2, np.full(5, 2), np.arange(31) % 2, np.arange(24) % 3]
    with pytest.raises(DataError, match="class `2` has rows to validate on in fold 1, and none to train on"):
        load({"folds": 2}, y, {"split": "ordered", "gap": 0})
