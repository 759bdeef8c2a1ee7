"""JSON sent to a server over connections that stay open, and tried again when that fails."""

import email.utils
import http.client
import json
import random
import socket
import ssl
import threading
import time
from typing import Any

from keras_kd.sources._address import Address

#: No wait between two tries is longer, unless the server wants it.
_LONGEST = 60.0
#: A server that is busy for longer than this is left alone.
_LONGEST_WANTED = 600.0
#: How a connection fails that the server closed while nobody used it.
_CLOSED = (ConnectionResetError, BrokenPipeError, ConnectionAbortedError)
#: Nothing of these passes by itself where the server was never reached.
_UNREACHABLE = (socket.gaierror, ConnectionRefusedError, ssl.SSLError)


class Stopped(Exception):
    """Another request has failed for good, and this one is no longer needed."""


class Pace:
    """When requests may leave: so many a second.

    Args:
        rate: How many; `None` for as many as there are.
    """

    def __init__(self, rate: float | None):
        self._gap = 1.0 / rate if rate else 0.0
        self._next = 0.0
        self._lock = threading.Lock()

    def reserve(self, now: float) -> float:
        """How many seconds after `now` the request may leave that takes the next place."""
        with self._lock:
            at = max(self._next, now)
            self._next = at + self._gap
        return at - now


class Service:
    """Requests to one address, from several threads.

    Args:
        address: Where to.
        timeout: Seconds without a sign of the server after which a request has failed.
        retries: How often a request that failed is tried again.
        backoff: Seconds before the first of these; each further wait is twice as long, and each is
            varied by up to half.
        rate: Requests a second at most.
        seed: Of the variation.
    """

    def __init__(
        self,
        address: Address,
        *,
        timeout: float,
        retries: int,
        backoff: float,
        rate: float | None,
        seed: int,
    ):
        self.address, self.timeout, self.retries = address, timeout, retries
        self.backoff, self.pace = backoff, Pace(rate)
        self._random = random.Random(seed)
        self._idle: list[http.client.HTTPConnection] = []
        self._was_reached = False

    def post(self, body: Any, stop: threading.Event) -> Any:
        """The server's response, parsed as JSON.

        Args:
            body: What to send, as JSON.
            stop: Ends the waiting.

        Raises:
            RuntimeError: If the server refuses, or fails each time.
            ValueError: If the body or the response is no JSON.
        """
        data = _encoded(body)
        for attempt in range(self.retries + 1):
            _wait(self.pace.reserve(time.monotonic()), stop)
            wanted = None
            try:
                status, headers, text = self._once(data)
            except (OSError, http.client.HTTPException) as error:
                trouble = self._quoted(f"{type(error).__name__}: {error}")
                if isinstance(error, _UNREACHABLE) and not self._was_reached:
                    raise RuntimeError(
                        f"The server {self.address} cannot be reached: {trouble}. See that it "
                        "runs, and that the url has its host, its port and http or https."
                    ) from None
            else:
                self._was_reached = True
                if status == 200:
                    return self._parsed(text)
                trouble = f"{status}: {self._quoted(text)}"
                if status < 500 and status not in (408, 429):
                    raise self._refused(status, headers, trouble)
                wanted = _seconds(headers.get("Retry-After"), time.time())
            if attempt < self.retries:
                _wait(self._pause(attempt, wanted), stop)
        raise RuntimeError(
            f"The server {self.address} failed {self.retries + 1} times for one request, the last "
            f"time with {trouble}. Try again when it is well; if it is overloaded, with fewer "
            "`connections`, a `rate`, a longer `timeout` or a smaller `batch_size`."
        )

    def close(self) -> None:
        """Closes what is open; a further request opens it again."""
        while self._idle:
            self._idle.pop().close()

    def _once(self, data: bytes) -> tuple[int, Any, bytes]:
        """Status, headers and text for one request."""
        try:
            kept = self._idle.pop()
        except IndexError:
            kept = None
        if kept is not None:
            try:
                return self._exchange(kept, data)
            except _CLOSED:
                pass
        return self._exchange(self.address.connect(self.timeout), data)

    def _exchange(self, connection: http.client.HTTPConnection, data: bytes) -> Any:
        try:
            connection.request("POST", self.address.target(), data, {
                "Content-Type": "application/json", "Accept": "application/json",
                **self.address.headers(),
            })  # fmt: skip
            response = connection.getresponse()
            text = response.read()
        except BaseException:
            connection.close()
            raise
        self._idle.append(connection)
        return response.status, response.headers, text

    def _pause(self, attempt: int, wanted: float | None) -> float:
        """How many seconds to wait after a try that failed.

        Args:
            attempt: How many failed before it.
            wanted: What the server wants, or `None`.
        """
        if wanted is not None and wanted > _LONGEST_WANTED:
            raise RuntimeError(
                f"The server {self.address} wants no further request for {wanted:.0f} seconds. "
                "Try again then."
            )
        own = min(self.backoff * 2**attempt, _LONGEST) * self._random.uniform(0.5, 1.5)
        return max(own, wanted or 0.0)

    def _parsed(self, text: bytes) -> Any:
        try:
            return json.loads(text)
        except ValueError:
            html = text.lstrip()[:1] == b"<"
            raise ValueError(
                f"The server {self.address} responds with {'HTML' if html else 'a text'} and not with "
                f"JSON: {self._quoted(text)}. The url must be that of the model's interface, not of "
                "a page for people, and nothing may stand between that wants a login."
            ) from None

    def _refused(self, status: int, headers: Any, trouble: str) -> RuntimeError:
        if 300 <= status < 400:
            place = self._quoted(str(headers.get("Location")).partition("?")[0])
            advice = f"It has moved to {place}: give that as `url`."
        elif status in (401, 403, 407):
            key = "another key" if self.address.has_key else "a key"
            advice = f"It wants {key}: api_key_env='NAME' of the variable that holds it."
        elif status == 404:
            advice = (
                "There is nothing at this path, or no model of this name. TensorFlow Serving has "
                "'/v1/models/NAME:predict', servers of language models have '/v1/completions' and "
                "'/v1/chat/completions'."
            )
        elif status == 413:
            advice = "The request is too large: give a smaller `batch_size`."
        else:
            advice = "See whether inputs, `form` and `model` are those that it expects."
        return RuntimeError(f"The server {self.address} refuses the request, {trouble}. {advice}")

    def _quoted(self, text: str | bytes) -> str:
        """The beginning of what a server wrote, on one line, without secrets."""
        if isinstance(text, bytes):
            text = text.decode("utf-8", "replace")
        line = " ".join(self.address.masked(text).split())
        return (line[:300] + " ..." if len(line) > 300 else line).rstrip(".")


def _encoded(body: Any) -> bytes:
    try:
        return json.dumps(body, allow_nan=False).encode()
    except ValueError:
        raise ValueError(
            "The inputs hold NaN or infinite values, which JSON cannot hold. Replace them by what "
            "the model takes for a missing value."
        ) from None


def _seconds(retry_after: str | None, now: float) -> float | None:
    """The seconds of `Retry-After`, which is a number of seconds or a date."""
    if retry_after is None:
        return None
    try:
        return max(float(retry_after), 0.0)
    except ValueError:
        pass
    try:
        return max(email.utils.parsedate_to_datetime(retry_after).timestamp() - now, 0.0)
    except (ValueError, TypeError):
        return None


def _wait(seconds: float, stop: threading.Event) -> None:
    if stop.wait(seconds) if seconds > 0 else stop.is_set():
        raise Stopped
