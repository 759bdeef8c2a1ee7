"""Models of Hugging Face's transformers as teachers."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from keras_kd._core.addresses import OUTPUT
from keras_kd._core.messages import did_you_mean, listing
from keras_kd._core.output_kinds import FLOOR
from keras_kd.sources._outputs import LOGITS
from keras_kd.sources._torch import TorchTeacher

#: Signals that a model returns only with a flag, and the flag.
_ON_REQUEST = {
    "hidden_states": "output_hidden_states", "attentions": "output_attentions",
    "cross_attentions": "output_attentions",
}  # fmt: skip


class HuggingFaceTeacher(TorchTeacher):
    """A model of the library transformers as a teacher, whatever backend the student trains on.

    `"output"` is its `logits`. Every other output is a signal by its name, those in layers by
    their number as well: `"hidden_states/0"` (the embeddings), `"hidden_states/12"`,
    `"attentions/3"`, `"last_hidden_state"`. Inner modules are signals by their names, as of
    `keras_kd.sources.TorchTeacher`.

    Args:
        model: The model, of torch.
        processor: Its tokenizer, image processor or feature extractor, for inputs that are texts or
            images; a function from a batch to a dict of arrays will do. Texts are padded and cut to
            `max_length`. Defaults to `None`: the inputs are what the model takes, such as
            `{"input_ids": ..., "attention_mask": ...}`, or `pixel_values`, channels last.
        max_length: Tokens of a text. Defaults to `128`.
        name: What stores and messages call it. Defaults to the model's class.
        kind: What its logits are; `"values"` for a regression. Defaults to `"logits"`.

    Raises:
        ModuleNotFoundError: If torch is not installed.
        TypeError: If `model` is no torch module.
        ValueError: When it predicts, if it gives no such signal.
    """

    def __init__(
        self,
        model: Any,
        processor: Callable[..., Any] | None = None,
        *,
        max_length: int = 128,
        name: str | None = None,
        kind: str = "logits",
        floor: float = FLOOR,
    ):
        super().__init__(model, name=name, kind=kind, floor=floor)
        self.processor, self.max_length = processor, max_length

    def run(self, x: Any, paths: Sequence[str]) -> Any:
        inner = {name for name, _ in self.module.named_modules()}
        modules = [path for path in paths if path in inner or path.replace("/", ".") in inner]
        self._wanted = {path.split("/")[0] for path in paths if path not in modules}
        found = super().run(self._processed(x), modules)
        for path in paths:
            if path not in modules:
                found[path] = self._array(self._at(path), path)
        return found

    def _run(self, inputs: Any) -> Any:
        extra = {flag: True for name, flag in _ON_REQUEST.items() if name in self._wanted}
        named = (
            dict(inputs) if isinstance(inputs, Mapping) else {self.module.main_input_name: inputs}
        )
        self._given = self.module(**named, **extra, return_dict=True)
        return self._given

    def _has_channels(self, path: str) -> bool:
        return not path.split("/")[0].endswith("attentions")  # (batch, heads, tokens, tokens)

    def _at(self, path: str) -> Any:
        """One of the outputs of the last run: by name, and by place where there are several."""
        first, *places = (LOGITS if path == OUTPUT else path).split("/")
        found = self._given.get(first)
        for place in places:
            several = (
                isinstance(found, (list, tuple)) and place.isdigit() and int(place) < len(found)
            )
            found = found[int(place)] if several else None
        if isinstance(found, self.torch.Tensor):
            return found
        known = [
            f"{name}/0 to {name}/{len(given) - 1}" if isinstance(given, tuple) else name
            for name, given in self._given.items()
        ]
        what = "logits" if path == OUTPUT else f"'{path}'"
        advice = did_you_mean(path, known)
        if first.endswith("attentions") and first not in self._given:
            advice = " Models give attentions when made with attn_implementation='eager'."
        raise ValueError(
            f"The model '{self.name}' gives no {what}. Expected an inner module or one of "
            f"{listing(known)}, among the `addresses`." + advice
        )

    def _processed(self, x: Any) -> Any:
        if self.processor is None:
            return x
        if isinstance(x, np.ndarray) and x.dtype.kind in "OSU":
            texts = [each.decode() if isinstance(each, bytes) else str(each) for each in x.ravel()]
            fixed = {"padding": "max_length", "truncation": True, "max_length": self.max_length}
            made = self.processor(texts, **fixed, return_tensors="np")
        elif isinstance(x, np.ndarray) and x.ndim == 4:
            made = self.processor(images=list(x), return_tensors="np")
            # What it returns has channels first already.
            return {k: v.transpose(0, 2, 3, 1) if np.ndim(v) == 4 else v for k, v in made.items()}
        else:
            made = self.processor(x)
        return {key: np.asarray(value) for key, value in made.items()}

    def settings(self) -> dict[str, Any]:
        return {**super().settings(), "max_length": self.max_length}
