"""Objectives: directions are right or asked for, names exist."""

import inspect

import pytest

from hpsearch.errors import ObjectiveError
from hpsearch.experiment import ObjectiveSection
from hpsearch.objective import Objective, infer_direction, resolve

KNOWN = ("loss", "accuracy", "val_loss", "val_accuracy", "val_f1_macro", "val_f1_class_a")

# The name each metric of Keras reports, unless its class says so itself, and what is better.
REPORTED = {
    "AUC": "auc",
    "BinaryIoU": "binary_io_u",
    "FalseNegatives": "false_negatives",
    "FalsePositives": "false_positives",
    "IoU": "io_u",
    "MeanIoU": "mean_io_u",
    "OneHotIoU": "one_hot_io_u",
    "OneHotMeanIoU": "one_hot_mean_io_u",
    "Precision": "precision",
    "PrecisionAtRecall": "precision_at_recall",
    "Recall": "recall",
    "RecallAtPrecision": "recall_at_precision",
    "SensitivityAtSpecificity": "sensitivity_at_specificity",
    "SpecificityAtSensitivity": "specificity_at_sensitivity",
    "TrueNegatives": "true_negatives",
    "TruePositives": "true_positives",
}
NO_DIRECTION = {"Mean", "Sum", "Metric", "MeanMetricWrapper"}
MINIMIZED = ("Crossentropy", "Hinge", "Error", "Divergence", "Poisson", "FalseNegatives", "FalsePositives")


def keras_metrics():
    from keras import metrics

    return {
        name: found
        for name, found in vars(metrics).items()
        if inspect.isclass(found) and issubclass(found, metrics.Metric)
    }


@pytest.fixture(scope="module")
def built_in():
    return keras_metrics()


def reported_name(name, metric):
    default = inspect.signature(metric.__init__).parameters["name"].default
    return REPORTED.get(name) or default


def test_every_metric_of_keras_has_its_direction(built_in):
    assert len(built_in) > 40
    wrong = {}
    for name, metric in built_in.items():
        usual = "minimize" if name.endswith(MINIMIZED) else "maximize"
        expected = None if name in NO_DIRECTION else usual
        reported = reported_name(name, metric)
        spellings = (
            [name] if reported is None else [name, reported, f"val_{reported}", f"val_head_{reported}_2"]
        )
        for spelling in spellings:
            if infer_direction(spelling) != expected:
                wrong[spelling] = infer_direction(spelling)
    assert not wrong


def test_the_table_of_reported_names_is_what_keras_does(built_in):
    arguments = {
        "IoU": {"num_classes": 2, "target_class_ids": [0]},
        "MeanIoU": {"num_classes": 2},
        "OneHotIoU": {"num_classes": 2, "target_class_ids": [0]},
        "OneHotMeanIoU": {"num_classes": 2},
        "PrecisionAtRecall": {"recall": 0.5},
        "RecallAtPrecision": {"precision": 0.5},
        "SensitivityAtSpecificity": {"specificity": 0.5},
        "SpecificityAtSensitivity": {"sensitivity": 0.5},
    }
    for name, expected in REPORTED.items():
        reported = built_in[name](**arguments.get(name, {})).name
        assert reported.rstrip("0123456789").rstrip("_") == expected


@pytest.mark.parametrize(
    ("metric", "direction"),
    [
        ("val_loss", "minimize"),
        ("head_loss", "minimize"),
        ("val_f1_macro", "maximize"),
        ("val_f1_weighted", "maximize"),
        ("test_precision_class_T-shirt/top", "maximize"),
        ("val_f1_class_loss", "maximize"),  # a class that is called `loss`
        ("val_class_loss", "minimize"),  # an output that is called `class`
        ("val_r2", "maximize"),
        ("r2_score_1", "maximize"),
        ("val_auc_3", "maximize"),
        ("MSE", "minimize"),
        ("rmse", "minimize"),
        ("val_mean_absolute_error", "minimize"),
        ("neg_mean_squared_error", "maximize"),  # scikit-learn's way
        ("val_negative_log_likelihood", "minimize"),
        ("val_true_negative_rate", "maximize"),
        ("brier_score", "minimize"),
        ("flops", "minimize"),
        ("val_dice", "maximize"),
        ("dice_loss", "minimize"),
        ("recall_at_5", "maximize"),
        ("val_top_k_categorical_accuracy", "maximize"),
        ("binary_focal_crossentropy", "minimize"),
        ("word_error_rate", "minimize"),
        ("val_cosine_similarity", "maximize"),
    ],
)
def test_directions(metric, direction):
    assert infer_direction(metric) == direction


@pytest.mark.parametrize(
    "metric", ["score", "my_metric", "mean", "learning_rate", "tversky", "accuracy_std", "2", ""]
)
def test_doubtful_names_have_no_direction(metric):
    assert infer_direction(metric) is None


def test_a_known_metric_is_resolved():
    assert resolve(ObjectiveSection(metric="val_f1_macro"), KNOWN) == Objective("val_f1_macro", "maximize")
    assert resolve(ObjectiveSection(metric="val_loss")).direction == "minimize"


def test_an_unknown_metric_is_refused_with_the_list():
    with pytest.raises(ObjectiveError) as caught:
        resolve(ObjectiveSection(metric="val_f1"), KNOWN, where="x.yaml: objective")
    assert str(caught.value) == (
        "x.yaml: objective: there is no such metric; expected one of loss, accuracy, val_loss, val_accuracy, "
        "val_f1_macro, val_f1_class_a; received val_f1. Did you mean `val_f1_macro`?"
    )


def test_a_metric_of_validation_is_proposed_where_the_prefix_is_missing():
    with pytest.raises(ObjectiveError, match="Did you mean `val_f1_macro`"):
        resolve(ObjectiveSection(metric="f1_macro"), KNOWN)


def test_training_of_the_users_own_may_report_any_metric():
    section = ObjectiveSection(metric="reward", direction="maximize")
    assert resolve(section, KNOWN, any_metric=True) == Objective("reward", "maximize")
    with pytest.raises(
        ObjectiveError, match="whether `reward` is better when larger or smaller is not known"
    ):
        resolve(ObjectiveSection(metric="reward"), KNOWN, any_metric=True)


def test_a_direction_is_asked_for_in_words_to_copy():
    with pytest.raises(ObjectiveError) as caught:
        resolve(ObjectiveSection(metric="val_score"), ["val_score"])
    assert "expected a `direction`, `minimize` or `maximize`" in str(caught.value)
    assert "objective: {metric: val_score, direction: maximize}" in str(caught.value)


def test_a_metric_of_the_training_data_is_warned_of():
    warning = resolve(ObjectiveSection(metric="accuracy"), KNOWN).warning
    assert warning is not None
    assert "measured on the training data" in warning
    assert "`val_accuracy`" in warning
    assert resolve(ObjectiveSection(metric="val_accuracy"), KNOWN).warning is None


def test_an_unusual_direction_is_taken_and_warned_of():
    objective = resolve(ObjectiveSection(metric="val_accuracy", direction="minimize"), KNOWN)
    assert objective.direction == "minimize"
    assert (
        objective.warning
        == "objective: `val_accuracy` is to minimize as asked, though it is usually to maximize."
    )
