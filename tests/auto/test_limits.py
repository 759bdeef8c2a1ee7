"""Limits: units, and errors that say what would be right."""

import pytest

from keras_kd.auto import Limits
from keras_kd.auto._limits import amount, seconds


@pytest.mark.parametrize(
    "given, name, value",
    [
        ({"size": "300 kB"}, "size", 300_000),
        ({"size": "300kb"}, "size", 300_000),
        ({"size": "64 KiB"}, "size", 65_536),
        ({"size": "1.5MB"}, "size", 1_500_000),
        ({"size": 20_000}, "size", 20_000),
        ({"latency": "5 ms"}, "latency", 5),
        ({"latency": "800 us"}, "latency", 0.8),
        ({"latency": "800 µs"}, "latency", 0.8),
        ({"latency": 2}, "latency", 2),
        ({"latency": "0.5 s"}, "latency", 500),
        ({"parameters": "30k"}, "parameters", 30_000),
        ({"flops": "2 M"}, "flops", 2e6),
        ({"arena": "64 kB"}, "arena", 64_000),
        ({"accuracy": "95 %"}, "accuracy", 0.95),
        ({"accuracy": 0.9}, "accuracy", 0.9),
    ],
)
def test_units(given, name, value):
    assert getattr(Limits(**given), name) == pytest.approx(value)


@pytest.mark.parametrize(
    "given, told",
    [
        ({"size": "300 kilo"}, r"`size` must be .*units 'B', 'kB'.*Received: size='300 kilo'"),
        ({"size": "kB"}, "such as '300 kB'"),
        ({"size": 0}, "a number above 0"),
        ({"size": -3}, "a number above 0"),
        ({"size": float("inf")}, "a number above 0"),
        ({"size": float("nan")}, "a number above 0"),
        ({"size": True}, "a number above 0"),
        ({"latency": "5 kB"}, "'us', 'ms', 's'"),
        ({"latency": "5 m"}, "'us', 'ms', 's'"),
        ({"accuracy": 95}, "at most 1"),
        ({"accuracy": "0 %"}, "0.95 or '95 %'"),
        ({}, "limits nothing"),
    ],
)
def test_what_is_no_limit(given, told):
    with pytest.raises(ValueError, match=told):
        Limits(**given)


def test_a_budget():
    assert [seconds(t) for t in ("30 min", "90s", "1.5h", 60, "2 minutes")] == [
        1800,
        90,
        5400,
        60,
        120,
    ]
    with pytest.raises(ValueError, match=r"`budget` must be .*'s', 'min', 'h'.*'30 min'"):
        seconds("30 ms")


def test_what_is_broken():
    limits = Limits(size="1 kB", latency="5 ms", accuracy=0.9)
    assert limits.broken({"size": 1000, "latency": 5.0}) == []
    assert limits.broken({"size": 1001, "latency": None}) == ["size"]
    assert limits.broken({"size": 2000, "latency": 6, "accuracy": 0.1}) == ["size", "latency"]
    assert str(limits) == "size at most 1 kB, latency at most 5 ms, accuracy at least 90 %"


@pytest.mark.parametrize(
    "name, value, text",
    [
        ("size", 300_000, "300 kB"),
        ("size", 512, "512 B"),
        ("latency", 0.52, "0.52 ms"),
        ("latency", 0.00061, "0.61 us"),
        ("parameters", 1210, "1.21k"),
        ("flops", 2.5e6, "2.5M"),
        ("accuracy", 0.981, "98.1 %"),
    ],
)
def test_amounts_in_words(name, value, text):
    assert amount(name, value) == text
