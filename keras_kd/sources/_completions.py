"""Language models behind the completions interface of OpenAI, which give their likeliest tokens."""

import hashlib
import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import numpy as np

from keras_kd._core.addresses import OUTPUT
from keras_kd._core.largest import Largest
from keras_kd._core.messages import listing
from keras_kd._core.probabilities import ROUNDING
from keras_kd.sources._classes import ABSENT, Classes, TokenIds
from keras_kd.sources._json_forms import Form, Rows, text

Prompt = str | Callable[[Any], Any] | None


class Completions(Form):
    """The token after a text: `{"prompt": [...], "logprobs": k}` and `choices`.

    Args:
        model: Which of the server's models.
        prompt: From an example to a text.
        classes: Which class a token stands for.
        top_k: How many of the likeliest tokens the server gives.
    """

    def __init__(self, model: str | None, prompt: Prompt, classes: Classes | TokenIds, top_k: int):
        self.model, self.prompt, self.classes, self.top_k = model, prompt, classes, top_k
        self.num_classes = classes.num_classes
        #: Whether an example had a class among its tokens, and the tokens of the last that had none.
        self._met, self._seen = False, list[str]()

    def body(self, x: Any) -> dict[str, Any]:
        return {**self._common(), "prompt": self._prompts(x), "logprobs": self.top_k}

    def _common(self) -> dict[str, Any]:
        # The sampled token is not read. At a temperature of 1 the log-probabilities are the model's
        # own, whether or not the server divides by it.
        common: dict[str, Any] = {"max_tokens": 1, "temperature": 1.0}
        if self.model is not None:
            common["model"] = self.model
        if self.classes.by_id:
            common["return_tokens_as_token_ids"] = True  # as vLLM calls it
        return common

    def _prompts(self, x: Any) -> list[Any]:
        rows = len(keras.tree.flatten(x)[0])
        return [
            self._prompt(keras.tree.map_structure(lambda leaf: text(leaf[row]), x))  # noqa: B023
            for row in range(rows)
        ]

    def _prompt(self, example: Any) -> Any:
        """The text for one example."""
        sent = example
        if callable(self.prompt):
            sent = self.prompt(example)
        elif self.prompt is not None:
            named = example if isinstance(example, Mapping) else {}
            try:
                sent = self.prompt.format(*([] if named else [example]), **named)
            except (IndexError, KeyError) as error:
                raise ValueError(
                    f"`prompt` has a place for {error.args[0]!r}, which no example has. Expected "
                    f"one for {listing(named) if named else '{}'}."
                ) from None
        if not isinstance(sent, str):
            raise ValueError(
                "A language model takes a text for each example. Give what makes one: "
                f"prompt='...{{}}...', or a function. Received: {type(sent).__name__}."
            )
        return str(sent)

    def read(self, response: Any, count: int) -> Rows:
        return {OUTPUT: [self._of_choice(choice) for choice in _choices(response, count)]}

    def _of_choice(self, choice: Any) -> Any:
        """The log-probabilities of a choice, and their classes."""
        return self._classes_of(_first(choice, "top_logprobs"))

    def _classes_of(self, given: Any) -> Any:
        values, classes = self.classes.of(given, self.top_k)
        if not self._met:
            self._seen = list(given)
            self._met = max(values) > ABSENT
        return values, classes

    def signals(self, rows: Rows, paths: Sequence[str], whose: str) -> dict[str, Any]:
        values, classes = (np.array(part) for part in zip(*rows[OUTPUT], strict=True))
        if not self._met:
            raise ValueError(
                f"{whose} gives no class for any example of the first batch, but the tokens "
                f"{listing(self._seen)}. One token must stand for each class: end the `prompt` so "
                "that it comes next, name the first token of a long word, or give a larger `top_k`."
            )
        most = np.exp(values.astype("float64")).sum(axis=-1).max()
        if most > 1.0 + ROUNDING:
            raise ValueError(
                f"{whose} gives log-probabilities that sum to a probability of {most:.6g}: expected "
                "at most 1. It may give logits, or those of another temperature."
            )
        largest = Largest(
            values.astype("float32"),
            classes.astype("int32"),
            np.zeros(values.shape[:-1], "float32"),
        )
        return {OUTPUT: largest}

    def settings(self) -> dict[str, Any]:
        return {
            "model": self.model, "prompt": _source(self.prompt), "top_k": self.top_k,
            "classes": self.classes.settings(),
        }  # fmt: skip


class Chat(Completions):
    """The first token of a reply: `{"messages": [...], "top_logprobs": k}` and `choices`."""

    most = 1

    def body(self, x: Any) -> dict[str, Any]:
        (content,) = self._prompts(x)
        messages = [{"role": "user", "content": content}]
        return {
            **self._common(),
            "messages": messages,
            "logprobs": True,
            "top_logprobs": self.top_k,
        }

    def _of_choice(self, choice: Any) -> Any:
        given = _first(choice, "content")["top_logprobs"]
        return self._classes_of({each["token"]: each["logprob"] for each in given})


class PromptLogprobs(Completions):
    """The token after each one of a text that comes as token ids, as vLLM gives them.

    What it gives for a prompt's token `t + 1` is the prediction at `t`; that at the last one is
    the completion's.
    """

    def body(self, x: Any) -> dict[str, Any]:
        return {**super().body(x), "prompt_logprobs": self.top_k}

    def _prompt(self, example: Any) -> list[int]:
        ids = np.asarray(self.prompt(example) if callable(self.prompt) else example)
        if ids.ndim != 1 or ids.dtype.kind not in "iu":
            raise ValueError(
                "form='prompt_logprobs' takes token ids, whole numbers of shape (length,) for each "
                "example; `prompt` may be a function that gives them. Received: "
                f"{ids.dtype.name} of shape {ids.shape}."
            )
        return ids.tolist()

    def _of_choice(self, choice: Any) -> Any:
        given = choice.get("prompt_logprobs")
        if not given:
            raise ValueError(
                "responds without 'prompt_logprobs', which vLLM has. Of other servers read the token "
                "after a text: form='completions'."
            )
        tokens = [
            {f"token_id:{token}": each["logprob"] for token, each in position.items()}
            for position in given[1:]  # nothing comes before the first
        ]
        tokens.append(_first(choice, "top_logprobs"))
        pairs = [self._classes_of(position) for position in tokens]
        return tuple(np.stack(part) for part in zip(*pairs, strict=True))


COMPLETION_FORMS: dict[str, type[Completions]] = {
    "completions": Completions, "chat": Chat, "prompt_logprobs": PromptLogprobs,
}  # fmt: skip


def _choices(response: Any, count: int) -> list[Any]:
    """One choice for each prompt, in their order."""
    choices = response.get("choices") if isinstance(response, Mapping) else None
    if not isinstance(choices, list):
        raise ValueError(f"responds without 'choices': {response!r:.200}.")
    by_place = {choice.get("index", place): choice for place, choice in enumerate(choices)}
    if len(choices) != count or set(by_place) != set(range(count)):
        raise ValueError(
            f"was sent {count} texts and responds with the choices {sorted(by_place)}: one for each "
            "is expected."
        )
    return [by_place[place] for place in range(count)]


def _first(choice: Any, key: str) -> Any:
    """What a choice has for its first token."""
    given = choice.get("logprobs")
    if not isinstance(given, Mapping) or not given.get(key):
        raise ValueError(
            "gives no log-probabilities of the first token. Not every server and model does: look "
            "for `logprobs` in its documentation."
        )
    return given[key][0]


def _source(prompt: Prompt) -> str | None:
    """The text that identifies a prompt."""
    if prompt is None or isinstance(prompt, str):
        return prompt
    try:
        return hashlib.sha256(inspect.getsource(prompt).encode()).hexdigest()[:32]
    except (OSError, TypeError):  # made at a prompt, or no plain function
        return getattr(prompt, "__qualname__", type(prompt).__qualname__)


def check_prompt(prompt: Any) -> None:
    if prompt is not None and not isinstance(prompt, str) and not callable(prompt):
        raise TypeError(
            "`prompt` must be a text with {} or {NAME} for an example's input, or a function from "
            f"an example to a text. Received: {prompt!r}."
        )
    if isinstance(prompt, str) and not re.search(r"\{[^{}]*\}", prompt):
        raise ValueError(
            "`prompt` must have {} where the example's text comes, or {NAME} for an input of "
            f"several. Received: {prompt!r}."
        )
