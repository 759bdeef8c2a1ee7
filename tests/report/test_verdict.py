import pytest

from keras_kd.report import Paired, bootstrap, mcnemar, paired
from keras_kd.report._verdict import p_value, verdict


def said(change=None, n=2000, errors=(0.05, 0.072, 0.0515), sizes=(1000, 90, 90), **kwargs):
    names = ("teacher", "student alone", "distilled")
    told = {
        "judged": "distilled",
        "baseline": "student alone",
        "teacher": "teacher",
        "change": change,
        "errors": dict(zip(names, errors, strict=True)),
        "parameters": dict(zip(names, sizes, strict=True)),
        "examples": n,
        "runs": 0,
        "counts_errors": True,
    }
    return verdict(**{**told, **kwargs})


def test_fewer_errors():
    """41 of 44 errors that the teacher makes less."""
    assert said(Paired(-41 / 2000, -60 / 2000, -22 / 2000, 2000)) == (
        "distilled makes 41 fewer errors than student alone on 2,000 examples (95 % interval 22 to "
        "60); 93 % of the teacher's gain at 9 % of its size."
    )


def test_more_errors():
    assert said(Paired(12 / 2000, 3 / 2000, 21 / 2000, 2000)) == (
        "distilled makes 12 more errors than student alone on 2,000 examples (95 % interval 3 to 21)."
    )


def test_no_difference():
    assert said(Paired(-3 / 640, -9 / 640, 4 / 640, 640), n=640) == (
        "distilled and student alone: no difference that this test set can show (3 fewer errors on "
        "640 examples, 95 % interval from 9 fewer errors to 4 more errors)."
    )


def test_over_runs():
    change = Paired(-44.25 / 640, -63.1 / 640, -24.9 / 640, 5)
    assert said(change, n=640, runs=5, teacher=None) == (
        "distilled makes 44.2 fewer errors than student alone on 640 examples, the mean of 5 runs "
        "(95 % interval 24.9 to 63.1)."
    )
    assert "can show over 5 runs (" in said(Paired(0.0, -0.1, 0.1, 5), n=640, runs=5)


def test_as_many_runs_as_examples():
    assert "on 5 examples, the mean of 5 runs (" in said(Paired(-0.6, -0.8, -0.4, 5), n=5, runs=5)
    assert "on 5 examples (" in said(Paired(-0.6, -0.8, -0.4, 5), n=5)


@pytest.mark.parametrize("runs, why", [(3, "too few"), (6, "too much alike")])
def test_runs_that_cannot_say(runs, why):
    change = paired([60] * runs, [30] * runs)
    change = Paired(change.mean / 640, change.low, change.high, runs)
    assert said(change, n=640, runs=runs) == (
        f"distilled and student alone: {runs} runs are {why} to say which is better (30 fewer "
        f"errors on 640 examples, the mean of {runs} runs)."
    )


def test_equal_answers():
    assert said(paired([0.5] * 9, [0.5] * 9), n=9, counts_errors=False) == (
        "distilled and student alone: no difference on 9 examples."
    )
    said_of_runs = said(paired([4, 7, 5], [4, 7, 5]), n=640, runs=3)
    assert said_of_runs.endswith(": no difference on 640 examples over 3 runs.")


def test_the_sentence_and_p_agree():
    """4 examples won and none lost are no difference, with p = 0.125 beside it; 6 are one."""
    for won, start in ((4, "distilled and student alone: no difference"), (6, "distilled makes 6")):
        change = bootstrap([1] * won + [0] * (100 - won), [0] * 100)
        assert said(change, n=100).startswith(start)
        assert (mcnemar(0, won) < 0.05) == (change.direction == "less")


def test_what_leaves_out_0_is_not_printed_as_0():
    assert "(95 % interval 0.02 to 9)" in said(Paired(-0.045, -0.09, -0.0002, 100), n=100)
    assert p_value(0.04996) == "0.04996" and p_value(0.05004) == "0.05" and p_value(0.2) == "0.2"
    assert p_value(0.04999997) == "0.04999997" and p_value(1.23456e-7) == "1.2e-07"


def test_against_the_teacher():
    assert said(Paired(0.01, 0.005, 0.02, 2000), baseline="teacher") == (
        "distilled makes 20 more errors than teacher on 2,000 examples (95 % interval 10 to 40), at "
        "9 % of its size."
    )


def test_a_teacher_worse_than_the_student_has_no_gain():
    change = Paired(-0.01, -0.02, -0.005, 2000)
    assert "gain" not in said(change, errors=(0.2, 0.072, 0.062))


def test_alone():
    errors = (0.05, 0.072, 0.06)
    assert (
        said(baseline=None, errors=errors) == "distilled makes 120 errors on 2,000 examples, 6.0 %."
    )


def test_distances():
    change = Paired(-0.1, -0.125, -0.05, 2000)
    assert said(change, counts_errors=False, errors=(0.1, 0.3, 0.2), sizes=(1000, 5, 5)) == (
        "distilled has a 0.1 smaller mean absolute error than student alone on 2,000 examples (95 % "
        "interval 0.05 to 0.125); 50 % of the teacher's gain at 0.5 % of its size."
    )
