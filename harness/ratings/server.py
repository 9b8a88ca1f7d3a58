"""An OpenAI-compatible address, asked within bounds of time, bytes and attempts.

Python's own HTTP client, and none that is made for comfort: it follows no redirect (an API key would go along), and
its socket is at hand, so that a deadline holds for a whole exchange. The time limits of other clients are for each
read alone, and a server that sends a byte now and then never ends.
"""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from threading import Event, Timer
from typing import Any
from urllib.parse import urlsplit

from harness.errors import NetworkError, UsageError

PASSING = frozenset({408, 409, 425, 429, 500, 502, 503, 504})
"""Statuses that another attempt may not meet again."""

OF_THIS_REQUEST = frozenset({400, 413, 422})
"""Statuses that say something about one request: it is too long, or a part of it is refused. Others stop the run."""

LONGEST_PAUSE = 60.0
REPLY_TOKENS = 2048
"""Room for a model that reasons before it answers; a bare reply takes about fifty."""


@dataclass(frozen=True)
class Address:
    """Where a judge is: ``http://host:port/v1#model``."""

    scheme: str
    host: str
    port: int | None
    path: str
    model: str

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}{f':{self.port}' if self.port else ''}{self.path}"


@dataclass(frozen=True)
class Limits:
    """``seconds`` and ``largest`` bytes bound one attempt; the ``pause`` between attempts doubles."""

    seconds: float = 120.0
    attempts: int = 4
    largest: int = 1 << 20
    pause: float = 1.0


@dataclass(frozen=True)
class Reply:
    """What the model said, how it came to its end, and what the server says it runs."""

    text: str
    finish: str
    served: str


@dataclass(frozen=True)
class NoReply:
    """Why there is nothing to read, in a few words; ``by_server`` tells trouble of the server from a refusal."""

    reason: str
    by_server: bool = True


def judge_address(text: str) -> Address:
    """Parse the text after ``--judge``; raises UsageError with an example."""
    example = "write --judge http://127.0.0.1:8000/v1#model"
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError as error:
        raise UsageError(f"--judge {text!r}: no address ({error}); {example}.") from None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise UsageError(f"--judge {text!r}: names no server; {example}.")
    if parts.username or parts.password:
        raise UsageError(f"--judge: an address with a password ends up in logs; use --api-key-env, and {example}.")
    if not parts.fragment or parts.query or not parts.path.isascii():
        raise UsageError(f"--judge {text!r}: must end in # and the model's name there; {example}.")
    return Address(parts.scheme, parts.hostname, port, parts.path.rstrip("/"), parts.fragment)


class Server:
    """A chat model behind an address, asked at temperature 0."""

    def __init__(self, address: Address, key: str | None = None, limits: Limits | None = None) -> None:
        self.address = address
        self.limits = limits or Limits()
        self._headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {key}"} if key else {})

    def ask(self, messages: Sequence[dict[str, str]]) -> Reply | NoReply:
        """One answer, within the attempts that the limits allow; raises NetworkError where none could succeed."""
        content = {
            "model": self.address.model,
            "messages": list(messages),
            "temperature": 0,
            "max_tokens": REPLY_TOKENS,
        }
        body = json.dumps(content).encode()
        outcome = NoReply("was not asked")
        pause = self.limits.pause
        for attempt in range(self.limits.attempts):
            if attempt:
                time.sleep(min(pause, LONGEST_PAUSE))
                pause *= 2
            try:
                status, wait, content_read = self._exchange(body)
            except _TroubleError as trouble:
                outcome = NoReply(str(trouble))
                continue
            if status == 200:
                return _reply(content_read, self.address.model)
            if status in OF_THIS_REQUEST:
                return NoReply(f"the server refuses the request ({status}: {_shown(content_read)})")
            if status not in PASSING:
                raise NetworkError(self._why_never(status, content_read))
            outcome = NoReply(f"the server answered {status}")
            pause = max(pause, wait)
        return outcome

    def _exchange(self, body: bytes) -> tuple[int, float, bytes]:
        """Status, seconds to wait before the next attempt, and content of one exchange within its deadline."""
        kind = HTTPSConnection if self.address.scheme == "https" else HTTPConnection
        connection = kind(self.address.host, self.address.port, timeout=self.limits.seconds)
        late = Event()
        timer: Timer | None = None
        try:
            connection.connect()
            timer = Timer(self.limits.seconds, _cut, (connection.sock, late))
            timer.daemon = True
            timer.start()
            connection.request("POST", f"{self.address.path}/chat/completions", body, self._headers)
            response = connection.getresponse()
            content = response.read(self.limits.largest + 1)
        except (OSError, HTTPException, ValueError) as error:
            if late.is_set() or isinstance(error, TimeoutError):
                raise _TroubleError(f"timed out after {self.limits.seconds:g} s") from None
            if isinstance(error, ConnectionRefusedError | socket.gaierror):
                raise _TroubleError(f"{self.address} cannot be reached") from None
            raise _TroubleError(f"the connection broke ({type(error).__name__})") from None
        finally:
            if timer is not None:
                timer.cancel()
            connection.close()
        if late.is_set():
            raise _TroubleError(f"timed out after {self.limits.seconds:g} s")
        if len(content) > self.limits.largest:
            raise _TroubleError(f"the server sent more than {self.limits.largest:,} bytes")
        return response.status, _retry_after(response), content

    def _why_never(self, status: int, content: bytes) -> str:
        hint = {
            401: "name the variable that holds its key with --api-key-env",
            403: "name the variable that holds its key with --api-key-env",
            404: "check the path (it usually ends in /v1) and the model's name",
        }.get(status, "check --judge")
        return f"{self.address} answers {status} to model {self.address.model!r} ({_shown(content)}): {hint}."


class _TroubleError(Exception):
    """One attempt that came to nothing; the next one may not."""


def _cut(connected: socket.socket, late: Event) -> None:
    """End an exchange whose time is over: whoever reads from the socket finds it at its end."""
    late.set()
    try:
        # Of the socket below, where there is TLS above it, whose own method would take its state from the reader.
        socket.socket.shutdown(connected, socket.SHUT_RDWR)
    except OSError:
        return  # the exchange has just ended by itself


def _shown(content: bytes) -> str:
    """The beginning of what a server sent, for a sentence."""
    text = " ".join(content[:120].decode("utf-8", "replace").split())
    return "".join(filter(str.isprintable, text)) or "no text"


def _retry_after(response: HTTPResponse) -> float:
    stated = (response.getheader("Retry-After") or "").strip()
    return min(float(stated), LONGEST_PAUSE) if stated.isdecimal() and len(stated) < 9 else 0.0


def _reply(content: bytes, asked: str) -> Reply | NoReply:
    """The model's answer out of the server's; whatever is not as the protocol has it is no reply."""
    try:
        said: Any = json.loads(content)
    except (ValueError, RecursionError):
        return NoReply("the server sent no JSON")
    choices = said.get("choices") if isinstance(said, dict) else None
    first = choices[0] if isinstance(choices, list) and choices else None
    message = first.get("message") if isinstance(first, dict) else None
    if not isinstance(first, dict) or not isinstance(message, dict):
        return NoReply("the server sent no choices")
    finish = str(first.get("finish_reason"))[:40]
    if message.get("refusal") or finish == "content_filter":
        return NoReply("the judge refuses", by_server=False)
    text = message.get("content")
    if not isinstance(text, str):
        return NoReply("the server sent no text")
    served = " ".join(str(said.get(key) or "")[:80] for key in ("model", "system_fingerprint")).strip()
    return Reply(text, finish, "".join(filter(str.isprintable, served)) or asked)
