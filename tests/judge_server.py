"""A judge behind an address of this machine, whose every reply a test decides."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

CRITERIA = ("relevance", "accuracy", "fluency", "completeness", "safety")

Answer = Callable[[str, str, str], Any]
"""From question, answer A and answer B to the model's reply: a place for all criteria, a text, or a whole response."""


def parts_of(body: dict[str, Any]) -> tuple[str, str, str]:
    """Question and both answers, as they stand between the marker lines of a request."""
    text = body["messages"][-1]["content"]
    found = re.findall(r"^\[(question|answer A|answer B) (\w+)\]\n(.*?)\n\[end of \1 \2\]$", text, re.M | re.S)
    assert [name for name, _, _ in found] == ["question", "answer A", "answer B"], text
    return tuple(content for _, _, content in found)


def says(place: str, **others: str) -> str:
    return json.dumps(dict.fromkeys(CRITERIA, place) | others)


def completion(text: Any, **fields: Any) -> bytes:
    message = {"role": "assistant", "content": text}
    choice = {"index": 0, "message": message, "finish_reason": "stop"} | fields
    return json.dumps({"model": "judge-7b", "system_fingerprint": "fp_1", "choices": [choice]}).encode()


@contextmanager
def judge(answer: Answer) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Serve until the block ends; gives the address and the requests, each with its ``headers``.

    ``answer`` returns "A", "B" or "tie", a text, or a function that writes to the handler itself.
    """
    asked: list[dict[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            asked.append(body | {"headers": dict(self.headers), "path": self.path})
            reply = answer(*parts_of(body))
            if callable(reply):
                reply(self)
                return
            send(self, completion(says(reply) if reply in ("A", "B", "tie") else reply))

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.block_on_close = False
    thread = Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/v1#judge-7b", asked
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def send(handler: Any, content: bytes, status: int = 200, **headers: str) -> None:
    handler.send_response(status)
    for name, value in headers.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.send_header("Content-Length", str(len(content)))
    handler.end_headers()
    handler.wfile.write(content)
