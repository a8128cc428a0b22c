"""A real HTTP server on 127.0.0.1 that speaks OpenAI's chat completions and replies from a script."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any

from langchain_core.messages import AIMessage, ToolCall

__all__ = ("ScriptedServer",)


class ScriptedServer:
    """Replies in order, streamed or not, each over `seconds_per_reply`; a context manager.

    Args:
        replies: The script: text, or a message with tool calls. A number is an HTTP status to fail with (clients retry
            408, 409, 429 and 500 up, each time taking the next reply); an exception is a status 500 with its text, a
            `ValueError` 400. Bytes are sent as they are, as the body of a stream that then breaks off. A script
            that ran out fails with 400.
        seconds_per_reply: How long a reply takes from its first token to its last, in seconds.
        ttft: How long the first token takes, in seconds.
        chunk_size: Characters per streamed piece, of text as of a call's arguments.
    """

    def __init__(
        self,
        replies: Sequence[str | AIMessage | int | bytes | Exception] = (),
        *,
        seconds_per_reply: float = 0.0,
        ttft: float = 0.0,
        chunk_size: int = 4,
    ) -> None:
        self.replies = list(replies)
        self.seconds_per_reply = seconds_per_reply
        self.ttft = ttft
        self.chunk_size = chunk_size
        self.requests: list[dict[str, Any]] = []
        """The JSON bodies of the requests so far, in order."""
        self._lock = threading.Lock()
        self._closing = threading.Event()
        handler = type("Handler", (_Handler,), {"script": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)

    @property
    def base_url(self) -> str:
        """What to set `OPENAI_BASE_URL` to."""
        return f"http://127.0.0.1:{self._server.server_port}/v1"

    @property
    def environment(self) -> dict[str, str]:
        """What makes a client of `"openai:scripted"` come here."""
        return {"OPENAI_BASE_URL": self.base_url, "OPENAI_API_KEY": "sk-scripted"}

    def __enter__(self) -> ScriptedServer:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._closing.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def wait(self, seconds: float) -> None:
        """Take time, but not longer than the server lives."""
        if seconds > 0:
            self._closing.wait(seconds)

    def take(self, body: dict[str, Any]) -> str | AIMessage | int | bytes | Exception | None:
        """Note a request and return the reply that is next."""
        with self._lock:
            self.requests.append(body)
            return self.replies[len(self.requests) - 1] if len(self.requests) <= len(self.replies) else None


class _Handler(BaseHTTPRequestHandler):
    # HTTP/1.0: a connection per request, so that none outlives the event loop it was opened in
    script: ScriptedServer

    def do_POST(self) -> None:
        """Reply to a chat completion."""
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        reply = self.script.take(body)
        match reply:
            case str() | AIMessage():
                reply = reply if isinstance(reply, AIMessage) else AIMessage(reply)
                usage = _usage(body, reply)
                with suppress(BrokenPipeError, ConnectionResetError):  # the client has read enough
                    self._stream(body, reply, usage) if body.get("stream") else self._whole(body, reply, usage)
            case int():
                self._fail(reply, f"scripted status {reply}")
            case bytes():
                with suppress(BrokenPipeError, ConnectionResetError):
                    self._raw(reply)
            case Exception():
                self._fail(400 if isinstance(reply, ValueError) else 500, str(reply))
            case None:
                self._fail(400, f"the script has {len(self.script.replies)} replies, this is one more")

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""

    def _whole(self, body: dict[str, Any], reply: AIMessage, usage: dict[str, int]) -> None:
        self.script.wait(self.script.ttft + self.script.seconds_per_reply)
        calls = [_call(call) for call in reply.tool_calls]
        message = {"role": "assistant", "content": reply.text, **({"tool_calls": calls} if calls else {})}
        choice = {"index": 0, "message": message, "finish_reason": "tool_calls" if calls else "stop"}
        self._send(200, {**_head(body), "object": "chat.completion", "choices": [choice], "usage": usage})

    def _stream(self, body: dict[str, Any], reply: AIMessage, usage: dict[str, int]) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()
        self.script.wait(self.script.ttft)
        began, size = time.monotonic(), self.script.chunk_size
        deltas = [*_text_deltas(reply, size), *_call_deltas(reply, size)]
        for number, delta in enumerate(deltas, 1):
            due = began + self.script.seconds_per_reply * number / len(deltas)
            self.script.wait(due - time.monotonic())
            self._event({**_chunk(body), "choices": [{"index": 0, "delta": {"role": "assistant", **delta}}]})
        reason = "tool_calls" if reply.tool_calls else "stop"
        self._event({**_chunk(body), "choices": [{"index": 0, "delta": {}, "finish_reason": reason}]})
        if (body.get("stream_options") or {}).get("include_usage"):
            self._event({**_chunk(body), "choices": [], "usage": usage})
        self.wfile.write(b"data: [DONE]\n\n")

    def _raw(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()
        self.wfile.write(body)

    def _event(self, data: dict[str, Any]) -> None:
        self.wfile.write(b"data: " + json.dumps(data).encode() + b"\n\n")

    def _fail(self, status: int, message: str) -> None:
        self._send(status, {"error": {"message": message, "type": "scripted", "code": None}})

    def _send(self, status: int, data: dict[str, Any]) -> None:
        content = json.dumps(data).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


def _head(body: dict[str, Any]) -> dict[str, Any]:
    return {"id": "chatcmpl-scripted", "created": 0, "model": body["model"]}


def _chunk(body: dict[str, Any]) -> dict[str, Any]:
    return {**_head(body), "object": "chat.completion.chunk"}


def _call(call: ToolCall) -> dict[str, Any]:
    function = {"name": call["name"], "arguments": json.dumps(call["args"])}
    return {"id": call["id"], "type": "function", "function": function}


def _text_deltas(reply: AIMessage, size: int) -> Iterator[dict[str, Any]]:
    text = reply.text
    yield from ({"content": text[at : at + size]} for at in range(0, len(text), size))


def _call_deltas(reply: AIMessage, size: int) -> Iterator[dict[str, Any]]:
    for number, call in enumerate(map(_call, reply.tool_calls)):
        arguments = call["function"].pop("arguments")
        yield {"tool_calls": [{"index": number, **call, "function": {**call["function"], "arguments": ""}}]}
        for at in range(0, len(arguments), size):
            yield {"tool_calls": [{"index": number, "function": {"arguments": arguments[at : at + size]}}]}


def _usage(body: dict[str, Any], reply: AIMessage) -> dict[str, int]:
    """A token is a word here."""
    prompt = sum(len(str(message["content"]).split()) for message in body["messages"])
    completion = len(reply.text.split()) + sum(len(str(call["args"]).split()) for call in reply.tool_calls)
    return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}
