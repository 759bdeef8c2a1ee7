"""Whether a file answers as its student does, or is not to be kept."""

from keras_kd.exporting._compare import Comparison
from keras_kd.exporting._formats import Quantization
from keras_kd.exporting._proof import Answer, ExportError, Proof
from keras_kd.report import proportion

#: What keeps more of a student, by how numbers are stored.
_BETTER = {
    "int8": "quantization='int16x8', 'dynamic' or 'float16'",
    "int16x8": "quantization='dynamic' or 'float16'",
    "int4": "quantization='dynamic' or 'int8'",
    "dynamic": "quantization='float16'",
    "float16": "quantization='float32'",
}


def judge(
    proof: Proof, comparison: Comparison, asked: float | None, settings: Quantization
) -> list[str]:
    """An error when the file does not answer as the student does; else what is to be noted.

    `asked` is an agreement that the file must have on these examples. Without it the limit of
    `settings` serves, and of few examples a share is enough that leaves it possible.
    """
    least = settings.min_agreement if asked is None else asked
    notes = []
    for answer in proof.answers:
        if answer.agreement < least:
            low, high = proportion(answer.agreement * proof.examples, proof.examples)
            if asked is not None or high < least:
                raise ExportError(_disagrees(proof, answer, least))
            notes.append(
                f"It decides as the student on {proof.agreeing} of {proof.examples} examples, less "
                f"than min_agreement={least}; so few leave open a share from {low:.3f} to "
                f"{high:.3f} (95 %). Give more `examples` to know."
            )
        # Decisions may agree by chance, when they are all the same: a file without its weights
        # has one answer to everything.
        if (unlike := comparison.unlike[answer.name]) > settings.most_unlike:
            raise ExportError(
                f"The file's output '{answer.name}' is {answer.mean_difference:.3g} away from the "
                f"student's in the mean, {unlike:.0%} of how much that one varies over these "
                "examples. It was not kept."
            )
    if (micro := proof.micro) is not None and micro.agreement < least:
        _, high = proportion(micro.agreement * micro.examples, micro.examples)
        if asked is not None or high < least:
            raise ExportError(
                f"In tflite-micro the file agrees with the student on {micro.agreement:.4f} of "
                f"the decisions over {micro.examples} examples, less than min_agreement={least}. "
                f"It was not kept.{_remedy(proof, micro.agreement)}"
            )
    return notes


def _disagrees(proof: Proof, answer: Answer, least: float) -> str:
    right = ""
    if answer.accuracy is not None and answer.student_accuracy is not None:
        right = (
            f" By the labels the file is right about {answer.accuracy:.1%}, the student about "
            f"{answer.student_accuracy:.1%}."
        )
    return (
        f"The file agrees with the student on {answer.agreement:.4f} of the decisions of output "
        f"'{answer.name}' ({proof.agreeing} of {proof.examples} examples in all), less than "
        f"min_agreement={least} (largest difference {answer.max_difference:.3g}).{right} It was "
        f"not kept.{_remedy(proof, answer.agreement)}"
    )


def _remedy(proof: Proof, agreement: float) -> str:
    lower = int(100 * agreement) / 100
    ways = [f"If it is good enough: min_agreement={lower} (--min-agreement {lower})."]
    if proof.quantization in _BETTER:
        kept = f"More of the student is kept by {_BETTER[proof.quantization]}"
        if proof.quantization in ("int8", "int16x8"):
            kept += ", by more `calibration` examples"
        if proof.quantization in ("int8", "int4"):
            kept += ", or by training with keras_kd.compression.quantize_aware"
        ways.append(f"{kept}.")
    return f" {' '.join(ways)}"
