"""Names that were others in the version before: they lead on, with a warning, and files are read."""

import keras
import pytest

import keras_kd
from tests.models import mlp

FORMER = {
    "losses.ProbabilityMatch": "losses.NeighborDistribution",
    "losses.PooledPower": "losses.LogPowerDistance",
    "losses.SelectivityMatch": "losses.MaximumMeanDiscrepancy",
    "teachers.OnInput": "teachers.SelectInput",
    "teachers.Stacked": "teachers.StackedEnsemble",
    "data.Colour": "data.Color",
    "recipes.hint_layers": "procedures.hint_layers",
    "recipes.assistant": "procedures.assistant",
    "recipes.born_again": "procedures.born_again",
    "recipes.reused_classifier": "procedures.reused_classifier",
}


def find(path):
    room, name = path.split(".")
    return getattr(getattr(keras_kd, room), name)


@pytest.mark.parametrize("old, new", FORMER.items())
def test_a_former_name_leads_to_the_new_one(old, new):
    with pytest.warns(FutureWarning, match=rf"keras_kd\.{old} is deprecated .* keras_kd\.{new}\."):
        assert find(old) is find(new)


@pytest.mark.parametrize(
    "old, make",
    [
        ("ProbabilityMatch", keras_kd.losses.NeighborDistribution),
        ("PooledPower", lambda: keras_kd.losses.LogPowerDistance(2.0)),
        ("SelectivityMatch", keras_kd.losses.MaximumMeanDiscrepancy),
        ("OnInput", lambda: keras_kd.teachers.SelectInput(mlp("t"), "weak")),
        ("Stacked", lambda: keras_kd.teachers.StackedEnsemble([mlp("a")], mlp("h", features=3))),
    ],
)
def test_files_with_a_former_name_are_read(old, make):
    made = make()
    config = keras.saving.serialize_keras_object(made)
    assert config["registered_name"] == f"keras_kd>{type(made).__name__}"
    former = {**config, "registered_name": f"keras_kd>{old}", "class_name": old, "module": None}
    assert type(keras.saving.deserialize_keras_object(former)) is type(made)
