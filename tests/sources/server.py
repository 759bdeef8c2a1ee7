"""A model server over loopback, with the troubles of real ones.

    python server.py

prints its port, and ends when its standard input does. Paths:

- `/v1/models/small:predict`: TensorFlow Serving's form. The logits are `x @ weights`; of named
  inputs "a" and "b" their difference, with a second output "twice".
- `/inputs`: the same by columns.
- `/v1/completions`, `/v1/chat/completions`: as vLLM has them, of a model whose log-probabilities
  are those of `log_probabilities(text)`; of token ids, those of `after(ids)`.
- `/ways/NAME`: one of the wrong ways in `WAYS`, with key and path as they came in place of `%s`.
- `/troubled/...`: any of the forms, with errors, broken connections and waits drawn by a seed.
- `/slow/...`: any of the forms, after 0.05 seconds.
- GET `/counts`: how many requests there were of each, connections, and requests at once; since the
  last time.
"""

import collections
import json
import random
import socket
import struct
import sys
import threading
import time
import zlib
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np

FEATURES, CLASSES = 8, 4
WORDS = [" yes", " no", " The", "No", "\n", " maybe", " nope", "Yes"]
#: Of so many requests: an error or a broken connection, and an answer that comes too late.
FAILING, LATE, SECONDS_LATE = 0.05, 0.02, 0.45


def weights():
    return np.random.default_rng(1).normal(size=(FEATURES, CLASSES))


def predictions(x):
    """Row by row, so that they do not depend on the batch."""
    return np.stack([(np.asarray(row, "float64")[:, None] * weights()).sum(0) for row in x])


def log_probabilities(text):
    """Of all `WORDS`, after a text."""
    logits = np.random.default_rng(zlib.crc32(text.encode())).normal(scale=2.0, size=len(WORDS))
    return logits - np.log(np.exp(logits).sum())


def after(ids):
    return log_probabilities(" ".join(map(str, ids)))


def likeliest(values, k, by_id, sampled=5):
    """The k likeliest, and the sampled one beside them."""
    places = list(np.argsort(-values)[:k])
    places += [sampled] if sampled not in places else []
    random.Random(float(values[0])).shuffle(places)
    return {f"token_id:{p}" if by_id else WORDS[p]: float(values[p]) for p in places}


def completions(body):
    choices = []
    for index, prompt in enumerate(body["prompt"]):
        values = log_probabilities(prompt) if isinstance(prompt, str) else after(prompt)
        by_id = body.get("return_tokens_as_token_ids", False)
        told = likeliest(values, body["logprobs"], by_id)
        choice = {"index": index, "text": "", "logprobs": {"top_logprobs": [told]}}
        if "prompt_logprobs" in body:
            before = [after(prompt[:end]) for end in range(1, len(prompt))]
            choice["prompt_logprobs"] = [None] + [
                {
                    token.removeprefix("token_id:"): {"logprob": value, "decoded_token": "x"}
                    for token, value in likeliest(each, body["prompt_logprobs"], True).items()
                }
                for each in before
            ]
        choices.append(choice)
    return {"choices": choices[::-1], "model": body.get("model")}


def chat(body):
    (message,) = body["messages"]
    assert message["role"] == "user" and body["logprobs"] is True
    told = likeliest(log_probabilities(message["content"]), body["top_logprobs"], False)
    content = [{"token": "x", "top_logprobs": [
        {"token": token, "logprob": value} for token, value in told.items()
    ]}]  # fmt: skip
    return {"choices": [{"index": 0, "logprobs": {"content": content}}]}


def instances(body):
    rows = body["instances"]
    if isinstance(rows[0], dict):
        logits = predictions([row["a"] for row in rows]) - predictions([row["b"] for row in rows])
        return {"predictions": [
            {"logits": each.tolist(), "twice": (2 * each).tolist()} for each in logits
        ]}  # fmt: skip
    return {"predictions": predictions(rows).tolist()}


def inputs(body):
    given = body["inputs"]
    if isinstance(given, dict):
        logits = predictions(given["a"]) - predictions(given["b"])
        return {"outputs": {"logits": logits.tolist(), "twice": (2 * logits).tolist()}}
    return {"outputs": predictions(given).tolist()}


FORMS = {
    "/v1/models/small:predict": instances, "/inputs": inputs,
    "/v1/completions": completions, "/v1/chat/completions": chat,
}  # fmt: skip

#: Status, headers and text.
WAYS = {
    "html": (200, {}, "<!DOCTYPE html><title>Please log in</title>"),
    "text": (200, {}, "ready"),
    "other": (200, {}, '{"outputs": [[1.0]]}'),
    "error": (200, {}, '{"error": "out of memory"}'),
    "few": (200, {}, '{"predictions": [[1.0, 2.0]]}'),
    "number": (200, {}, '{"predictions": 3}'),
    "words": (200, {}, '{"predictions": [["a", "b"], ["a", "b"], ["a", "b"]]}'),
    "ragged": (200, {}, '{"predictions": [[1, 2], [1], [1, 2]]}'),
    "mixed": (200, {}, '{"predictions": [{"a": [1]}, {"b": [1]}, {"a": [1]}]}'),
    "several": (200, {}, '{"predictions": [{"a": [1], "b": [1]}, {"a": [1], "b": [1]}, {"a": [1], "b": [1]}]}'),
    "400": (400, {}, '{"error": "Shape mismatch"}'),
    "401": (401, {}, '{"error": "Incorrect API key provided: %s"}'),
    "404": (404, {}, '{"error": "Servable not found"}'),
    "413": (413, {}, "too large"),
    "301": (301, {"Location": "https://elsewhere.example/v1?token=hush-hush"}, ""),
    "429": (429, {"Retry-After": "7"}, "slow down"),
    "429-long": (429, {"Retry-After": "3600"}, "slow down"),
    "503": (503, {}, "%s is too eager"),
    "choices": (200, {}, '{"choices": [{"index": 0}]}'),
    "silent": (200, {}, '{"choices": [{"index": 0, "logprobs": null}]}'),
    "logits": (200, {}, '{"choices": [{"index": 0, "logprobs": {"top_logprobs": [{"yes": 2.5, "no": 1.5}]}}]}'),
    "short": (200, {}, '{"choices": [{"index": 0, "logprobs": {"top_logprobs": [{"token_id:1": -1.0}]}}]}'),
}  # fmt: skip


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # status, headers and body in one packet

    def setup(self):
        super().setup()
        self.count("connections")

    def count(self, *what):
        with self.server.lock:
            self.server.counts.update(what)

    def do_GET(self):
        with self.server.lock:
            counts = dict(self.server.counts)
            self.server.counts.clear()
        self.send(200, {}, json.dumps(counts))

    def do_POST(self):
        data = self.rfile.read(int(self.headers["Content-Length"]))
        self.count(self.path, "now")
        with self.server.lock:
            counts = self.server.counts
            counts["most at once"] = max(counts["most at once"], counts["now"])
        try:
            self.answer(self.path.partition("?")[0], json.loads(data))
        finally:
            with self.server.lock:
                self.server.counts["now"] -= 1

    def answer(self, path, body):
        if path.startswith("/ways/"):
            status, headers, text = WAYS[path.removeprefix("/ways/")]
            said = f"{self.headers.get('Authorization')} {self.path}"
            return self.send(status, headers, text.replace("%s", said))
        if path.startswith("/troubled/"):
            path = path.removeprefix("/troubled")
            if self.trouble():
                return None
        if path.startswith("/slow/"):
            path = path.removeprefix("/slow")
            time.sleep(0.05)
        return self.send(200, {}, json.dumps(FORMS[path](body)))

    def trouble(self):
        """Whether the request came to no good end."""
        with self.server.lock:
            drawn, kind = self.server.random.random(), self.server.random.randrange(5)
        late = FAILING <= drawn < FAILING + LATE
        self.count("late" if late else f"kind {kind}" if drawn < FAILING else "well")
        if late:
            time.sleep(SECONDS_LATE)
        if drawn >= FAILING:
            return False
        if kind == 0:
            self.send(500, {}, "internal error")
        elif kind == 1:
            self.send(503, {}, "<html>busy</html>")
        elif kind == 2:
            self.send(429, {"Retry-After": "0"}, "slow down")
        elif kind == 3:  # before a word
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.close_connection = True
        else:  # in the middle
            self.send(200, {"Content-Length": "1000"}, '{"predictions": [[')
            self.close_connection = True
        return True

    def send(self, status, headers, text):
        data = text.encode()
        self.send_response(status)
        for name, value in {"Content-Length": str(len(data)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *args):
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, request, client_address):
        pass  # whoever sent the request is gone


def main():
    server = Server(("127.0.0.1", 0), Handler)
    server.lock, server.counts = threading.Lock(), collections.Counter()
    server.random = random.Random(0)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(server.server_port, flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
