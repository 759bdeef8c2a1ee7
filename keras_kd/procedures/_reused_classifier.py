"""A student with its teacher's classifier, as one model."""

import keras

from keras_kd._core.addresses import parse
from keras_kd._core.messages import listing
from keras_kd.distiller import Distiller
from keras_kd.projectors import Bottleneck
from keras_kd.taps import layer_paths


def reused_classifier(distiller: Distiller, *, pred: str, target: str) -> keras.Model:
    """What `simkd` trained, as one model: student, projector, and the teacher's classifier.

    The model shares its weights with the distiller's; save it after training.

    Args:
        distiller: A distiller trained with `simkd`, of a Functional or Sequential student and
            teacher.
        pred: The `pred` given to `simkd`.
        target: The `target` given to `simkd`.

    Returns:
        A `keras.Model` from the student's input to the outputs of the teacher's classifier.

    Raises:
        ValueError: If no term has a `Bottleneck` between these two, or a layer is not there.

    Example:

    >>> def network(filters):
    ...     layers = [keras.layers.Conv2D(filters, 3, name="c"), keras.layers.Flatten()]
    ...     return keras.Sequential([keras.Input((4, 4, 1)), *layers, keras.layers.Dense(5)])
    >>> layers = {"pred": "student:c", "target": "teacher:c"}
    >>> distiller = keras_kd.Distiller(
    ...     student=network(2), teacher=network(6), terms=keras_kd.recipes.simkd(**layers)
    ... )
    >>> keras_kd.procedures.reused_classifier(distiller, **layers).output_shape
    (None, 5)

    Reference: Chen et al., "Knowledge Distillation with the Reused Teacher Classifier", CVPR 2022,
    arXiv:2203.14001, section 3.
    """
    found = [
        term.projector
        for term in distiller.terms
        if getattr(term, "target", None) == target and term.pred == (pred, target)
    ]
    projector = next((p for p in found if isinstance(p, Bottleneck)), None)
    if projector is None:
        raise ValueError(
            f"No term of this distiller has a Bottleneck from '{pred}' to '{target}'; it has "
            f"{listing(distiller.term_names)}. Train it with keras_kd.recipes.simkd."
        )
    models = {**distiller.students, **distiller.teachers}
    (role, path), (other, tail_path) = parse(pred), parse(target)
    features = layer_paths(models[role])[path].output
    teacher = models[other]
    tail = keras.Model(layer_paths(teacher)[tail_path].output, teacher.outputs, name="classifier")
    outputs = tail(projector.map(features))
    return keras.Model(models[role].inputs, outputs, name=f"{models[role].name}_reused")
