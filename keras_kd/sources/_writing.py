"""How a model writes: prompts as tokens in, prompts with what follows them out."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import keras
import numpy as np

from keras_kd._core.scalars import count

Tokens = dict[str, np.ndarray]
IDS, MASK = "token_ids", "padding_mask"


class Written(NamedTuple):
    """Texts as tokens, `(texts, length)` each."""

    tokens: np.ndarray
    mask: np.ndarray  # true at the prompt and at what was written, the end token among it
    prompt: np.ndarray  # true at the prompt


class Writing:
    """Writes with a model, by its `generate` or by a function of yours.

    Args:
        model: A `keras.Model` with the `generate` of KerasHub's causal models; with `generate=`
            any model.
        max_length: Number of tokens of a text, prompt and all.
        generate: Function `(model, {"token_ids", "padding_mask"}) -> {"token_ids",
            "padding_mask"}` in NumPy arrays, which fills up what the mask leaves free and marks
            what it has written.
        stop_token_ids: Numbers of the tokens that end a text; `"auto"`: those of the model's
            tokenizer; `None`: none does.
    """

    def __init__(
        self,
        model: keras.Model,
        max_length: int,
        generate: Callable[[Any, Tokens], Mapping[str, Any]] | None,
        stop_token_ids: Sequence[int] | str | None,
    ):
        self.model, self.max_length = model, max_length
        self._generate = generate
        self.stop = _stop_tokens(model, stop_token_ids)
        if generate is None and not callable(getattr(model, "make_generate_function", None)):
            raise TypeError(
                f"'{model.name}' has no `generate`, as KerasHub's causal models have. Give "
                "`generate=`, a function (model, {'token_ids', 'padding_mask'}) -> the same two "
                "arrays, with the texts continued."
            )
        self._filler = next(
            t for t in range(len(self.stop or ()) + 1) if t not in (self.stop or ())
        )
        longest = _longest(model)
        if longest is not None and max_length > longest:
            raise ValueError(
                f"`max_length` is {max_length}, and '{model.name}' takes texts of at most {longest} "
                f"tokens. Give max_length={longest} or less."
            )

    def __call__(self, prompts: Tokens, seed: tuple[int, int]) -> Written:
        """The texts; `seed` makes the draws of a sampler that has a seed."""
        given = prompts[MASK].astype(bool)
        # Samplers take a free place for an end when it holds a token that ends texts.
        prompts = {**prompts, IDS: np.where(given, prompts[IDS], self._filler)}
        if self._generate is not None:
            found = self._generate(self.model, {k: v.copy() for k, v in prompts.items()})
        else:
            self._set_seed(seed)
            write = self.model.make_generate_function()
            found = write(
                {k: keras.ops.convert_to_tensor(v) for k, v in prompts.items()},
                stop_token_ids=self.stop,
            )
        if not isinstance(found, Mapping) or not {IDS, MASK} <= set(found):
            raise TypeError(
                "`generate` must return a dict with 'token_ids' and 'padding_mask'. Received: "
                f"{type(found).__name__}."
            )
        tokens, mask = (keras.ops.convert_to_numpy(found[name]) for name in (IDS, MASK))
        if tokens.shape != given.shape or mask.shape != given.shape:
            raise ValueError(
                f"`generate` must return arrays of the shape it was given, {given.shape}. Received: "
                f"{tokens.shape} and {mask.shape}."
            )
        return Written(tokens.astype("int32"), mask.astype(bool) | given, given)

    def ended(self, written: Written) -> np.ndarray:
        """Whether each text ends in a token that ends texts, before the length does."""
        if self.stop is None:
            return np.zeros(len(written.tokens), bool)
        last = written.mask.shape[1] - 1 - written.mask[:, ::-1].argmax(axis=1)
        rows = np.arange(len(last))
        own = ~written.prompt[rows, last]
        return own & np.isin(written.tokens[rows, last], self.stop)

    def sampler(self) -> dict[str, Any] | None:
        """How the next token is drawn, as far as the model says."""
        found = getattr(self.model, "sampler", None)
        if found is None or self._generate is not None:
            return None
        return {"name": type(found).__name__, **found.get_config(), "seed": None}

    def _set_seed(self, seed: tuple[int, int]) -> None:
        """Draws that depend on the seed alone, and not on what was written before."""
        sampler = getattr(self.model, "sampler", None)
        for state in getattr(sampler, "variables", ()):
            state.assign(np.asarray(seed, state.dtype))


def batch_of(written: Written, as_dict: bool) -> tuple[Any, np.ndarray, np.ndarray]:
    """Inputs, next tokens, and weights: 1 where the next token was written, else 0."""
    tokens, mask, prompt = written
    x = {IDS: tokens[:, :-1], MASK: mask[:, :-1]}
    own = (mask & ~prompt)[:, 1:]
    return (x if as_dict else x[IDS]), tokens[:, 1:], own.astype("float32")


def drawn(examples: int, size: int, step: int, seed: int) -> np.ndarray:
    """Row numbers of a step's batch: each row once before any comes again, in seeded orders."""
    places = step * size + np.arange(size)
    orders = {
        turn: np.random.default_rng((seed, 1, turn)).permutation(examples)
        for turn in set((places // examples).tolist())
    }
    return np.array([orders[place // examples][place % examples] for place in places.tolist()])


def listed(texts: Any, what: str) -> list[Any]:
    """Texts, lists of token numbers, or a dict of the arrays of tokens and mask, as a list."""
    if isinstance(texts, Mapping):
        if not {IDS, MASK} <= set(texts):
            raise ValueError(
                f"`{what}` as a dict must have '{IDS}' and '{MASK}'. Received: {sorted(texts)}."
            )
        mask = np.asarray(texts[MASK]).astype(bool)
        texts = [ids[kept] for ids, kept in zip(np.asarray(texts[IDS]), mask, strict=True)]
    if isinstance(texts, (str, bytes)) or not isinstance(texts, Iterable):
        raise TypeError(
            f"`{what}` must be a list of texts, or of lists of token numbers. Received: "
            f"{texts!r:.80}."
        )
    found = list(texts)
    if not found:
        raise ValueError(f"`{what}` are empty. Give some texts, or lists of token numbers.")
    for row, text in enumerate(found):
        if not len(text.strip() if isinstance(text, (str, bytes)) else text):
            raise ValueError(f"`{what}` has an empty text in row {row}. Leave it out.")
    return found


def as_tokens(texts: list[Any], model: keras.Model, max_length: int, what: str) -> Tokens:
    """Texts, or lists of token numbers, as arrays filled up to `max_length`.

    Raises:
        TypeError: If they are none of these.
        ValueError: If one leaves no room.
    """
    if all(isinstance(text, (str, bytes)) for text in texts):
        rows = _tokenized(texts, model, max_length, what)
    else:
        rows = [np.asarray(text) for text in texts]
        for row, tokens in enumerate(rows):
            if tokens.ndim != 1 or (len(tokens) and tokens.dtype.kind not in "iu"):
                raise TypeError(
                    f"`{what}` must be texts, or lists of token numbers of one text each. Received "
                    f"in row {row}: {texts[row]!r:.80}."
                )
    for row, tokens in enumerate(rows):
        if len(tokens) >= max_length:
            raise ValueError(
                f"`{what}` has {len(tokens)} tokens or more in row {row}, which leaves no room in "
                f"max_length={max_length}. Give a larger `max_length` or shorter texts."
            )
    ids = np.zeros((len(rows), max_length), "int32")
    mask = np.zeros((len(rows), max_length), bool)
    for row, tokens in enumerate(rows):
        ids[row, : len(tokens)] = tokens
        mask[row, : len(tokens)] = True
    return {IDS: ids, MASK: mask}


def preprocessor_of(model: keras.Model, what: str) -> Any:
    """The preprocessor attached to the model; an error where there is none."""
    found = getattr(model, "preprocessor", None)
    if found is None:
        raise TypeError(
            f"`{what}` are texts, and '{model.name}' has no preprocessor that makes tokens of them. "
            "Give lists of token numbers, or attach a KerasHub preprocessor to the model."
        )
    return found


def _tokenized(texts: list[Any], model: keras.Model, max_length: int, what: str) -> list[Any]:
    # One place more than there are, so that a text that is cut off is seen.
    found = preprocessor_of(model, what).generate_preprocess(texts, sequence_length=max_length + 1)
    ids, mask = (keras.ops.convert_to_numpy(found[name]) for name in (IDS, MASK))
    return [row[kept] for row, kept in zip(ids, mask.astype(bool), strict=True)]


def _stop_tokens(model: keras.Model, given: Sequence[int] | str | None) -> tuple[int, ...] | None:
    if given is None:
        return None
    if not isinstance(given, str):
        return tuple(count(token, "stop_token_ids", least=0) for token in given)
    tokenizer = getattr(getattr(model, "preprocessor", None), "tokenizer", None)
    ends = [getattr(tokenizer, name, None) for name in ("end_token_id", "end_token2_id")]
    if given != "auto" or ends[0] is None:
        raise ValueError(
            "`stop_token_ids` must be numbers of tokens, None, or 'auto' for a model with a "
            f"tokenizer. Received: stop_token_ids={given!r} for '{model.name}'."
        )
    return tuple(int(end) for end in ends if end is not None)


def _longest(model: keras.Model) -> int | None:
    """How many tokens the model has positions for; `None` where it has no limit of its own."""
    found = getattr(getattr(model, "backbone", None), "max_sequence_length", None)
    return found if isinstance(found, int) else None
