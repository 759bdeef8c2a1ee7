"""Torch modules as teachers: the same outputs as torch gives, the same student as of a Keras twin."""

import keras
import numpy as np
import pytest

import keras_kd as kd
from keras_kd import sources, stores

torch = pytest.importorskip("torch")

CLASSES = 10


def module(seed=0):
    torch.manual_seed(seed)
    return torch.nn.Sequential(
        torch.nn.Conv2d(1, 6, 3, padding=1), torch.nn.ReLU(), torch.nn.BatchNorm2d(6),
        torch.nn.Dropout(0.5), torch.nn.Flatten(), torch.nn.Linear(6 * 64, CLASSES),
    )  # fmt: skip


def twin(of):
    """A Keras model with the weights of `module`."""
    model = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            keras.layers.Conv2D(6, 3, padding="same", activation="relu", name="maps"),
            keras.layers.BatchNormalization(epsilon=1e-5),
            keras.layers.Dropout(0.5),
            keras.layers.Permute((3, 1, 2)),  # torch flattens channels first
            keras.layers.Flatten(),
            keras.layers.Dense(CLASSES),
        ],
        name="twin",
    )
    state = {name: tensor.detach().numpy() for name, tensor in of.state_dict().items()}
    model.set_weights(
        [state["0.weight"].transpose(2, 3, 1, 0), state["0.bias"], state["2.weight"],
         state["2.bias"], state["2.running_mean"], state["2.running_var"], state["5.weight"].T,
         state["5.bias"]]
    )  # fmt: skip
    return model


@pytest.fixture(scope="module")
def part():
    return kd.data.load("digits")["train"].take(np.arange(160))


@pytest.fixture
def moved():
    """A module whose BatchNormalization is no identity, in training mode as after training."""
    made = module()
    with torch.no_grad():
        made(torch.rand(32, 1, 8, 8))
    return made.train()


def test_the_same_outputs_as_torch_and_as_a_keras_twin(moved, part):
    teacher = sources.TorchTeacher(moved)
    outputs = teacher.signals(part.x, ("output", "1"))
    assert moved.training, "it is left in the mode that it was in"
    moved.eval()
    with torch.no_grad():
        expected = moved(torch.as_tensor(part.x.transpose(0, 3, 1, 2))).numpy()
    np.testing.assert_allclose(outputs["output"], expected, atol=1e-6)
    keras_twin = twin(moved)
    np.testing.assert_allclose(outputs["output"], keras_twin.predict(part.x, verbose=0), atol=1e-5)
    maps = keras.Model(keras_twin.inputs, keras_twin.get_layer("maps").output)
    np.testing.assert_allclose(outputs["1"], maps.predict(part.x, verbose=0), atol=1e-5)


def trained(feed, y=None, target="teacher:1", **roles):
    keras.utils.set_random_seed(5)
    student = keras.Sequential(
        [keras.Input((8, 8, 1)), keras.layers.Conv2D(6, 3, padding="same", name="conv"),
         keras.layers.Flatten(), keras.layers.Dense(CLASSES)]
    )  # fmt: skip
    hint = kd.Term(kd.losses.FeatureMatch(), pred="student:conv", target=target)
    distiller = kd.Distiller(student=student, terms=[*kd.recipes.hinton(), hint], **roles)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    distiller.compile(keras.optimizers.SGD(0.1), loss)
    distiller.fit(feed, y, batch_size=32, shuffle=False, verbose=0)
    return [np.asarray(weight.numpy()) for weight in student.weights]


def test_the_same_student_as_of_a_keras_teacher(moved, part, tmp_path):
    """Five steps with logits and a hint, from a store and live."""
    teacher = sources.TorchTeacher(moved, name="cnn")
    settings = {"addresses": ("output", "1"), "dtype": "float32"}
    stores.write(teacher, part, tmp_path / "a", **settings)
    wanted = trained(part.x, part.y, teacher=twin(moved), target="teacher:maps")
    stored = trained(stores.read(tmp_path / "a", part, batch_size=32, teacher=teacher))
    live = trained(sources.live(teacher, part, addresses=("output", "1"), batch_size=32))
    for one, two, three in zip(wanted, stored, live, strict=True):
        np.testing.assert_allclose(two, one, atol=1e-4)
        np.testing.assert_allclose(three, one, atol=1e-4)


def test_other_weights_are_another_teacher(moved, part, tmp_path):
    stores.write(sources.TorchTeacher(moved, name="cnn"), part, tmp_path / "a")
    stores.read(tmp_path / "a", part, teacher=sources.TorchTeacher(moved, name="renamed"))
    with pytest.raises(stores.StoreError, match="its weights are others"):
        stores.read(tmp_path / "a", part, teacher=sources.TorchTeacher(module(1), name="cnn"))


class Named(torch.nn.Module):
    """Several outputs by name, inputs by name, and a layer that runs twice."""

    def __init__(self):
        super().__init__()
        self.inner = torch.nn.Linear(3, 2)
        self.pair = torch.nn.Linear(3, 3)

    def forward(self, a, b):
        x = self.pair(self.pair(a)) + b
        return {"logits": self.inner(x), "hidden": x.to(torch.bfloat16)}


def test_inputs_and_outputs_by_name():
    x = {"a": np.ones((4, 3), "float32"), "b": np.zeros((4, 3), "float32")}
    own = Named()
    teacher = sources.TorchTeacher(own)
    assert teacher(x).shape == (4, 2)
    hidden = sources.TorchTeacher(own, output="hidden", kind="values")(x)
    assert hidden.shape == (4, 3) and hidden.dtype == "float32"
    assert teacher.signals(x, ("inner",))["inner"].shape == (4, 2)
    for address, words in (
        ("pair", "The module 'pair' of the teacher 'Named' runs more than once for a batch"),
        (
            "iner",
            "has no inner module 'iner'. Expected 'output' or one of 'inner', 'pair'. Did you",
        ),
    ):
        with pytest.raises(ValueError) as caught:
            teacher.signals(x, (address,))
        assert words in str(caught.value)
    with pytest.raises(ValueError, match=r"gives several outputs: .* Received: output='score'"):
        sources.TorchTeacher(own, output="score")(x)


def test_modules_with_channels_last(part):
    last = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, CLASSES))
    x = np.random.default_rng(0).normal(size=(5, 4, 4, 4)).astype("float32")
    given = sources.TorchTeacher(last, data_format="channels_last")(x)
    with torch.no_grad():
        np.testing.assert_allclose(given, last(torch.as_tensor(x)).numpy(), atol=1e-6)
    assert not np.allclose(sources.TorchTeacher(last)(x), given)


def test_programs_from_files(moved, part, tmp_path):
    moved.eval()
    x = torch.as_tensor(part.x[:3].transpose(0, 3, 1, 2))
    expected = sources.TorchTeacher(moved)(part.x)
    torch.jit.trace(moved, x).save(str(tmp_path / "script.pt"))
    batch = torch.export.Dim("batch")
    exported = torch.export.export(moved, (x,), dynamic_shapes=({0: batch},))
    torch.export.save(exported, tmp_path / "program.pt2")
    for name in ("script.pt", "program.pt2"):
        teacher = sources.TorchTeacher(tmp_path / name)
        assert teacher.name == name.split(".")[0]
        np.testing.assert_allclose(teacher(part.x), expected, atol=1e-5)


def test_files_without_a_program(moved, tmp_path):
    """A pickle runs code when it is opened, and is not."""
    torch.save(moved, tmp_path / "pickled.pt")
    torch.save(moved.state_dict(), tmp_path / "weights.pt2")
    for name in ("pickled.pt", "weights.pt2"):
        with pytest.raises(ValueError, match="could not be read as a TorchScript or exported"):
            sources.TorchTeacher(tmp_path / name)
    with pytest.raises(ValueError, match="There is no file"):
        sources.TorchTeacher(tmp_path / "none.pt")
    with pytest.raises(TypeError, match="Received: Sequential"):
        sources.TorchTeacher(keras.Sequential())
    with pytest.raises(ValueError, match=r"`data_format` must be one of 'channels_first'"):
        sources.TorchTeacher(moved, data_format="NCHW")
