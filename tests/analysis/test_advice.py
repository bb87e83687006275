"""What is advised of a hyperparameter, by what is known of it."""

import pytest

from hpsearch.analysis.advice import Evidence, advise
from hpsearch.space import Condition, Parameter

RATE = Parameter("rate", "float", 1e-3, low=1e-4, high=1e-1, sampling="log")
UNITS = Parameter("units", "int", 64, low=16, high=256, step=2, sampling="log")
INNER = Parameter("x", "float", 0.5, low=0.0, high=1.0, conditions=(Condition("kind", ("b", "c")),))
KIND = Parameter("kind", "choice", "a", values=("a", "b", "c"))


def of(declared, having, *, share=0.01, best=..., complete=9, tried=9, poor=(), everywhere=None):
    best = having[0] if best is ... else best
    everywhere = everywhere or [*having, *[1e-4] * 9]
    return advise(Evidence(share, best, having, everywhere, complete, tried, poor, declared))


@pytest.mark.parametrize(
    ("expected", "said"),
    [
        ("The best trial does without it.", of(KIND, ["a"], best=None)),
        ("Only with kind=b/c, which the best trial has not.", of(INNER, [0.5], best=None)),
        ("No clear effect: 2 of the best 3 have b, the very best a.", of(KIND, ["a", "b", "b"])),
        ("No clear effect: fix it, for example at 0.001.", of(RATE, [1e-3, 1e-4, 1e-1])),
        (
            "No clear effect: fix it, for example at 0.001.",  # most of all are there
            of(RATE, [1e-3, 2e-3, 1.5e-3], everywhere=[1e-3, 2e-3, 1.5e-3, 1e-3, 1e-4]),
        ),
        ("Avoid c: no trial there reached the median.", of(KIND, ["a", "b", "b"], poor=["c"])),
        (
            "Keep it between 0.001 and 0.002: all of the best trials are there. Avoid 0.01 to 0.1: no trial "
            "there reached the median.",
            of(RATE, [1e-3, 2e-3, 1.5e-3], poor=["0.01 to 0.1"]),
        ),
        (
            "Keep it between 0.05 and 0.1: all of the best trials are there. Try values above 0.1, too: "
            "most of the best are at that end of the range.",
            of(RATE, [5e-2, 1e-1, 1e-1]),
        ),
        ("No clear effect: fix it, for example at 64.", of(UNITS, [64, 64, 128])),  # neighbours: few values
        ("Matters: search it more closely around these values.", of(RATE, [1e-3, 1e-4, 1e-1], share=0.5)),
        ("Keep a: all of the best trials have it.", of(KIND, ["a", "a", "a"], share=0.5)),
        ("Keep a for now: all of the best trials have it.", of(KIND, ["a", "a", "a"], share=None)),
        (
            "Perhaps a: all of the best have it, but none of 5 with another are complete.",
            of(KIND, ["a", "a", "a"], share=None, complete=0, tried=5),
        ),
        ("Leave it as it is: the trials are too few to tell.", of(KIND, ["a", "b", "a"], share=None)),
        (
            "Try values above 256, too: most of the best are at that end of the range.",
            of(UNITS, [256, 256, 16], share=0.5),
        ),
        (
            "Keep 256, and try values above it: all of the best trials are at that end.",
            of(UNITS, [256, 256, 256], share=0.5),
        ),
    ],
)
def test_it_fits_the_evidence(expected, said):
    assert said == expected
