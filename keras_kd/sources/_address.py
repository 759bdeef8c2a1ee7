"""Where a server listens, and the secrets that it is reached with."""

import base64
import http.client
import os
import re
import ssl
import urllib.parse

#: Values of a query as long as this may be keys.
_AS_LONG_AS_A_KEY = 8


class Address:
    """A url with its key. `str` shows neither the key nor credentials nor the query.

    The secrets are in closures, so that no `repr`, no `vars` and no pickle has them.

    Args:
        url: `http://...` or `https://...`, perhaps with `user:password@` and a query.
        api_key: Sent as `Authorization: Bearer ...`.
        api_key_env: The environment variable that holds it.
    """

    def __init__(self, url: str, api_key: str | None, api_key_env: str | None):
        parts = _parts(url)
        self.host, self.port, self.scheme = parts.hostname, parts.port, parts.scheme
        host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
        self.path = parts.path or "/"
        self._shown = f"{host}{f':{parts.port}' if parts.port else ''}{self.path}"
        key = _key(api_key, api_key_env)
        if key and parts.password:
            raise ValueError(
                f"The url of {self} has a password, and a key came beside it. Give one of both."
            )
        user, password = (urllib.parse.unquote(p or "") for p in (parts.username, parts.password))
        basic = base64.b64encode(f"{user}:{password}".encode()).decode() if password else ""
        values = [value for _, value in urllib.parse.parse_qsl(parts.query)]
        values += [urllib.parse.quote(value) for value in values]
        secrets = [key, password, parts.password, basic]
        secrets += [value for value in values if len(value) >= _AS_LONG_AS_A_KEY]
        hide = "|".join(re.escape(s) for s in sorted(filter(None, secrets), key=len, reverse=True))
        proof = f"Bearer {key}" if key else f"Basic {basic}" if basic else None
        target = self.path + (f"?{parts.query}" if parts.query else "")
        self.has_key = proof is not None
        self.masked = lambda text: re.sub(hide, "***", text) if hide else text
        self.headers = lambda: {"Authorization": proof} if proof else {}
        self.target = lambda: target

    def connect(self, timeout: float) -> http.client.HTTPConnection:
        """A connection, opened with the first request."""
        if self.scheme == "https":
            context = ssl.create_default_context()
            return http.client.HTTPSConnection(
                self.host or "", self.port, timeout=timeout, context=context
            )
        return http.client.HTTPConnection(self.host or "", self.port, timeout=timeout)

    def __str__(self) -> str:
        return self._shown


def _parts(url: str) -> urllib.parse.SplitResult:
    try:
        parts = urllib.parse.urlsplit(url)
        known = parts.scheme in ("http", "https") and parts.hostname and (parts.port or 1)
    except (ValueError, AttributeError, TypeError):
        known = False
    if not known or not all(0x20 < ord(letter) < 0x7F for letter in url):
        shown = re.sub(r"[?#].*|.*@", "", url) if isinstance(url, str) else type(url).__name__
        raise ValueError(
            "`url` must be an address that begins with http:// or https:// and has neither spaces "
            "nor letters beyond ASCII, such as 'http://localhost:8501/v1/models/NAME:predict'. "
            f"Received: {shown!r}."
        )
    return parts


def _key(api_key: str | None, api_key_env: str | None) -> str | None:
    if api_key is not None and api_key_env is not None:
        raise ValueError("`api_key` and `api_key_env` are one key given twice. Give one of both.")
    key = api_key
    if api_key_env is not None:
        key = os.environ.get(api_key_env)
        if key is None:
            raise ValueError(
                f"There is no environment variable {api_key_env!r}, which `api_key_env` names. Set "
                f"it before Python starts: export {api_key_env}=..."
            )
    if key is None:
        return None
    key = key.strip()  # files and shells leave a line's end
    if not key or not all(0x20 < ord(letter) < 0x7F for letter in key):
        raise ValueError(
            "The key is empty, or has spaces, line breaks or letters beyond ASCII in it, which no "
            f"header of a request can hold. It came from {api_key_env or 'api_key'}."
        )
    return key
