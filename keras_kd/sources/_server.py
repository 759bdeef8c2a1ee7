"""A model behind a server as a teacher."""

import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from types import TracebackType
from typing import Any

import keras

from keras_kd._core.external import ExternalTeacher
from keras_kd._core.messages import did_you_mean, listing
from keras_kd._core.output_kinds import FLOOR
from keras_kd._core.scalars import count, is_number
from keras_kd.sources._address import Address
from keras_kd.sources._classes import Classes, TokenIds
from keras_kd.sources._completions import COMPLETION_FORMS, Prompt, check_prompt
from keras_kd.sources._http import Service
from keras_kd.sources._json_forms import JSON_FORMS, Form, Rows

FORMS = (*JSON_FORMS, *COMPLETION_FORMS)


class ServerTeacher(ExternalTeacher):
    """A model behind an HTTP server as a teacher.

    A batch is sent in requests of `batch_size` examples, over several connections at once. A
    request that fails by a timeout, a broken connection or the status 408, 429 or 5xx is tried
    again, later each time, and not before the server wants it (`Retry-After`). What fails for good
    ends the writing of a store, which keeps its whole shards and goes on there.

    The `form` is what is sent, and where the outputs stand in the response:

    | | sent | returned |
    |---|---|---|
    | `"instances"` | `{"instances": [...]}`, one entry for each example, as TensorFlow Serving has it | `{"predictions": [...]}` |
    | `"inputs"` | `{"inputs": ...}`, one list for each input | `{"outputs": ...}` |
    | `"completions"` | texts, to the completions interface of OpenAI | the likeliest next tokens |
    | `"chat"` | one text in each request, as a user's message | the likeliest first tokens of the reply |
    | `"prompt_logprobs"` | token ids `(batch, length)`, to vLLM's completions | the likeliest tokens after each |

    Several inputs are a dict of arrays. Several outputs are signals by their names.

    The last three give a `keras_kd.stores.Largest` of log-probabilities, for
    `keras_kd.losses.SparseSoftTarget(temperature=1.0)`. With `classes` it has all of them in their
    order; a class that is not among the `top_k` likeliest tokens has the probability 1e-12, and
    what other tokens have is left out, so that an example weighs as much as its classes are likely.
    Without `classes` the ids of the `top_k` likeliest tokens are the classes, which vLLM gives.

    Args:
        url: Of the model's interface, such as `"http://localhost:8501/v1/models/NAME:predict"` or
            `"https://HOST/v1/completions"`.
        form: What is sent, see above. Defaults to `None`: `"chat"` or `"completions"` where the url
            ends so, else `"instances"`.
        name: Its name in stores and messages. Two servers are the same teacher when it and what
            follows are the same. Defaults to the url, without credentials and query. With a
            name of your own, a store goes on when the server has moved.
        kind: What plain JSON gives: see `keras_kd.sources.FunctionTeacher`. Defaults to
            `"logits"`.
        floor: The probability that 0 counts as. Defaults to `1e-7`.
        output: Which of several outputs of plain JSON is the output. Defaults to `None`: the only
            one, or the one called `"logits"`.
        model: Which of a language server's models. Defaults to `None`.
        prompt: From an example to the text that is sent: a template with `{}`, or with `{NAME}` for
            inputs that are a dict, or a function, which is known by its source. Defaults to `None`:
            the example is the text.
        classes: For each class of the student, in the order of its outputs, the token that stands
            for it, or a tuple of several: words (spaces around them do not count), or token ids.
            Defaults to `None`.
        top_k: How many of the likeliest tokens are given. Many servers allow no more than 20, some 5. Defaults to
            `20`.
        api_key: Sent as `Authorization: Bearer ...`; no file, message or `repr` shows it. Defaults
            to `None`.
        api_key_env: The environment variable that holds the key. Defaults to `None`.
        batch_size: Examples in one request; in form `"chat"` always one. Defaults to `8`.
        connections: Requests at the same time, of one batch: 128 examples at once, as
            `keras_kd.stores.write` has them, are 16 requests of 8. Defaults to `16`.
        timeout: Seconds without a sign of the server after which a request has failed. Defaults to
            `60.0`.
        retries: How often a request is tried again. Defaults to `6`.
        backoff: Seconds before the first of these, twice as many before each further one and 60 at
            most, each varied by up to half. Defaults to `1.0`.
        rate: Requests a second at most. Defaults to `None`: as many as come.
        seed: Of the variation. Defaults to `0`.

    Raises:
        ValueError: If an argument does not fit; when it predicts, if the response is no JSON, or not
            one output for each example.
        RuntimeError: When it predicts, if the server cannot be reached, refuses, or fails each
            time.

    Example:

    >>> teacher = keras_kd.sources.ServerTeacher(
    ...     "https://me:secret@models.example/v1/completions", classes=["negative", "positive"],
    ...     prompt="Review: {}\\nNegative or positive? Answer:", model="large")
    >>> teacher, teacher.form, teacher.num_classes
    (<ServerTeacher 'models.example/v1/completions'>, 'completions', 2)
    """

    def __init__(
        self,
        url: str,
        *,
        form: str | None = None,
        name: str | None = None,
        kind: str = "logits",
        floor: float = FLOOR,
        output: str | None = None,
        model: str | None = None,
        prompt: Prompt = None,
        classes: Sequence[Any] | None = None,
        top_k: int = 20,
        api_key: str | None = None,
        api_key_env: str | None = None,
        batch_size: int = 8,
        connections: int = 16,
        timeout: float = 60.0,
        retries: int = 6,
        backoff: float = 1.0,
        rate: float | None = None,
        seed: int = 0,
    ):
        address = Address(url, api_key, api_key_env)
        super().__init__(name or str(address), kind=kind, floor=floor)
        for argument, value in (("timeout", timeout), ("backoff", backoff), ("rate", rate)):
            if value is not None and (not is_number(value) or not 0 < value < float("inf")):
                raise ValueError(
                    f"`{argument}` must be a number above 0. Received: {argument}={value!r}."
                )
        self.form = _form_of(address.path) if form is None else form
        self.batch_size = count(batch_size, "batch_size")
        self.connections = count(connections, "connections")
        if self.form not in FORMS:
            raise ValueError(
                f"`form` must be one of {listing(FORMS)}. Received: form={self.form!r}."
                + did_you_mean(str(self.form), FORMS)
            )
        language = {"model": model, "prompt": prompt, "classes": classes}
        plain = {"output": output, "kind": None if kind == "logits" else kind}
        _check_none_of(language if self.form in JSON_FORMS else plain, self.form)
        self._form: Form
        if self.form in JSON_FORMS:
            self._form = JSON_FORMS[self.form](output)
        else:
            check_prompt(prompt)
            which = TokenIds() if classes is None else Classes(classes)
            self._form = COMPLETION_FORMS[self.form](model, prompt, which, count(top_k, "top_k"))
        self._service = Service(
            address, timeout=timeout, retries=count(retries, "retries", 0), backoff=backoff,
            rate=rate, seed=seed,
        )  # fmt: skip
        self._threads: ThreadPoolExecutor | None = None

    @property
    def num_classes(self) -> int | None:
        """How many classes there are, where that is known."""
        return self._form.num_classes

    def run(self, x: Any, paths: Sequence[str]) -> dict[str, Any]:
        examples = len(keras.tree.flatten(x)[0])
        size = min(self.batch_size, self._form.most or self.batch_size)
        parts = [
            keras.tree.map_structure(lambda leaf: leaf[start : start + size], x)  # noqa: B023
            for start in range(0, examples, size)
        ]
        rows: Rows = {}
        for response in self._all(parts):
            if rows and set(response) != set(rows):
                raise ValueError(
                    f"{self._whose()} gives the outputs {listing(response)} to one request, and "
                    f"{listing(rows)} to the one before."
                )
            for path, entries in response.items():
                rows.setdefault(path, []).extend(entries)
        return self._form.signals(rows, paths, self._whose())

    def _all(self, parts: Sequence[Any]) -> list[Rows]:
        """What comes back for each part, in their order."""
        if self._threads is None:
            self._threads = ThreadPoolExecutor(self.connections, "ServerTeacher")
        stop = threading.Event()
        futures: list[Future[Rows]] = [
            self._threads.submit(self._one, part, stop) for part in parts
        ]
        try:
            done, _ = wait(futures, return_when=FIRST_EXCEPTION)
            for future in futures:
                if future in done and (error := future.exception()):
                    raise error
            return [future.result() for future in futures]
        finally:  # those still waiting for another try would keep Python from ending
            stop.set()
            for future in futures:
                future.cancel()

    def _one(self, part: Any, stop: threading.Event) -> Rows:
        response = self._service.post(self._form.body(part), stop)
        try:
            return self._form.read(response, len(keras.tree.flatten(part)[0]))
        except ValueError as error:
            text = f"{self._whose()} {self._service.address.masked(str(error))}"
        except (AttributeError, IndexError, KeyError, TypeError) as error:
            text = (
                f"{self._whose()} responds otherwise than form={self.form!r} expects: "
                f"{type(error).__name__}: {error}. Give its form: one of {listing(FORMS)}."
            )
        raise ValueError(text)

    def _whose(self) -> str:
        return f"The server {self._service.address}"

    def settings(self) -> dict[str, Any]:
        return {"form": self.form, **self._form.settings()}

    def close(self) -> None:
        """Closes the connections. Further batches open them again."""
        if self._threads is not None:
            self._threads.shutdown()
            self._threads = None
        self._service.close()

    def __enter__(self) -> "ServerTeacher":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _check_none_of(foreign: Mapping[str, Any], form: str) -> None:
    for argument, value in foreign.items():
        if value is not None:
            other = "completions" if form in JSON_FORMS else "instances"
            raise ValueError(
                f"`{argument}` has no meaning in form={form!r}. Leave it out, or give the server's "
                f"form, such as form={other!r}."
            )


def _form_of(path: str) -> str:
    """The form of a server by the end of its url."""
    if path.rstrip("/").endswith("/chat/completions"):
        return "chat"
    return "completions" if path.rstrip("/").endswith("/completions") else "instances"
