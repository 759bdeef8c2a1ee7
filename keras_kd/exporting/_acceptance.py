"""Whether a file agrees with its student, or is not to be kept."""

from keras_kd.exporting._compare import Comparison
from keras_kd.exporting._format import Quantization
from keras_kd.exporting._proof import Answer, ExportError, Proof
from keras_kd.report import proportion


def check_agreement(
    proof: Proof, comparison: Comparison, settings: Quantization, required: float | None = None
) -> list[str]:
    """An error when the file does not agree with the student; else what is to be noted.

    `required` is an agreement that the file must have on these examples. Without it the limit of
    `settings` serves, and of few examples a share is enough that leaves it possible.
    """
    minimum = settings.min_agreement if required is None else required
    notes = []
    for answer in proof.answers:
        if answer.agreement < minimum:
            low, high = proportion(answer.agreement * proof.examples, proof.examples)
            if required is not None or high < minimum:
                raise ExportError(_disagrees(proof, answer, minimum, settings))
            notes.append(
                f"It decides as the student on {proof.agreeing} of {proof.examples} examples, less "
                f"than min_agreement={minimum}; so few leave open a share from {low:.3f} to "
                f"{high:.3f} (95 %). Give more `examples` to know."
            )
        # Decisions may agree by chance, when they are all the same: a file without its weights
        # has one output for everything.
        if (deviation := comparison.deviation[answer.name]) > settings.max_deviation:
            raise ExportError(
                f"The file's output '{answer.name}' is {answer.mean_difference:.3g} away from the "
                f"student's in the mean, {deviation:.0%} of how much that one varies over these "
                "examples. It was not kept."
            )
    if (micro := proof.micro) is not None and micro.agreement < minimum:
        _, high = proportion(micro.agreement * micro.examples, micro.examples)
        if required is not None or high < minimum:
            raise ExportError(
                f"In tflite-micro the file agrees with the student on {micro.agreement:.4f} of "
                f"the decisions over {micro.examples} examples, less than min_agreement={minimum}. "
                f"It was not kept.{_remedy(micro.agreement, settings)}"
            )
    return notes


def _disagrees(proof: Proof, answer: Answer, minimum: float, settings: Quantization) -> str:
    right = ""
    if answer.accuracy is not None and answer.student_accuracy is not None:
        right = (
            f" By the labels the file is right about {answer.accuracy:.1%}, the student about "
            f"{answer.student_accuracy:.1%}."
        )
    return (
        f"The file agrees with the student on {answer.agreement:.4f} of the decisions of output "
        f"'{answer.name}' ({proof.agreeing} of {proof.examples} examples in all), less than "
        f"min_agreement={minimum} (largest difference {answer.max_difference:.3g}).{right} It was "
        f"not kept.{_remedy(answer.agreement, settings)}"
    )


def _remedy(agreement: float, settings: Quantization) -> str:
    lower = int(100 * agreement) / 100
    enough = f" If it is good enough: min_agreement={lower} (--min-agreement {lower})."
    return (
        f"{enough} More of the student is kept by {settings.better}." if settings.better else enough
    )
