"""A reverse proxy on loopback, in a thread, that harms what passes between an S3 client and the server, by rules.

Clients sign for the proxy's address, and the Host header passes unchanged, so signatures still verify behind it.
"""

import contextlib
import http.client
import random
import re
import socket
import struct
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Literal
from urllib.parse import urlsplit

# slowdown: 503, the server sees nothing      error_after: the server applies it, the client gets 500
# reset_before, reset_after: connection reset, before or after the server applied it      partition: every request reset
# truncate: half the body, then a reset       corrupt: one byte of the body flipped       delay: passes after `seconds`
# hang: silence for `seconds`, then a reset   late_apply: reset now, and the server gets the request after `seconds`
Fault = Literal["slowdown", "error_after", "reset_before", "reset_after", "truncate", "corrupt", "delay", "hang", "partition", "late_apply"]
_ERROR = "<Error><Code>{}</Code><Message>injected</Message></Error>"
_HOP = {"connection", "transfer-encoding", "content-length", "keep-alive"}
_NONCE = re.compile(r"(?<![0-9a-f])[0-9a-f]{12}(?![0-9a-f])|\d{10,}")  # of an attempt, and times: others in every run


@dataclass
class Rule:
    """Which requests a fault strikes. The first rule that matches and fires wins; `seen` and `hits` count."""

    fault: Fault
    method: str = ""
    path: str = ""
    header: tuple[str, str] | None = None
    nth: tuple[int, ...] = ()
    prob: float = 1.0
    count: int | None = None
    seconds: float = 1.0
    seen: int = 0
    hits: int = 0

    def fires(self, method: str, path: str, headers: http.client.HTTPMessage, rng: random.Random) -> bool:
        if (self.method and method != self.method) or not re.search(self.path, path):
            return False
        if self.header and not re.search(self.header[1], headers.get(self.header[0], "")):
            return False
        self.seen += 1
        if (self.nth and self.seen not in self.nth) or rng.random() >= self.prob or self.hits == self.count:
            return False
        self.hits += 1
        return True


@dataclass
class Seen:
    """One request that passed. `chance` is its own; `status` is the server's answer, 0 where it was not asked."""

    method: str
    path: str
    fault: Fault | None
    chance: random.Random
    status: int = 0


@dataclass
class Proxy:
    """What a test holds: the address for clients, the rules (may be changed at any time) and the history.

    Chance strikes a request by the seed, what it asks for, and how often that was asked for before, in whatever order threads come: a
    test that runs again meets the same weather, as far as it asks for the same.
    """

    upstream: str
    rules: list[Rule] = field(default_factory=list)
    log: list[Seen] = field(default_factory=list)
    endpoint: str = ""
    stopping: threading.Event = field(default_factory=threading.Event)
    seed: int = 0
    asked: Counter[str] = field(default_factory=Counter)
    lock: threading.Lock = field(default_factory=threading.Lock)
    late: list[threading.Thread] = field(default_factory=list)

    def pick(self, method: str, path: str, headers: http.client.HTTPMessage) -> tuple[Rule | None, Seen]:
        request = f"{method} {_NONCE.sub('*', path)}"
        with self.lock:
            self.asked[request] += 1
            chance = random.Random(f"{self.seed} {request} {self.asked[request]}")
            rule = next((rule for rule in self.rules if rule.fires(method, path, headers, chance)), None)
            self.log.append(Seen(method, path, rule.fault if rule else None, chance))
            return rule, self.log[-1]

    def settle(self) -> None:
        """Wait until every late request has reached the server."""
        for thread in self.late:
            thread.join()


@contextlib.contextmanager
def faults(upstream: str, *rules: Rule) -> Iterator[Proxy]:
    """A proxy before `upstream` (http://host:port) for the length of the block."""
    proxy = Proxy(upstream, list(rules))
    handler = type("Handler", (_Handler,), {"proxy": proxy})
    with _Server(("127.0.0.1", 0), handler) as server:
        proxy.endpoint = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield proxy
        finally:
            proxy.stopping.set()
            proxy.settle()
            server.shutdown()
            thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def shutdown_request(self, request: socket.socket | tuple[bytes, socket.socket]) -> None:
        self.close_request(request)  # without the orderly goodbye, which would turn a reset into an end

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients that give up on a faulty connection are the point, and so is a server that dies: broken pipes are no news."""
        if not isinstance(sys.exception(), OSError | http.client.HTTPException):
            super().handle_error(request, client_address)  # type: ignore[arg-type]


class _Handler(BaseHTTPRequestHandler):
    proxy: Proxy
    protocol_version = "HTTP/1.1"

    def _serve(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        rule, seen = self.proxy.pick(self.command, self.path, self.headers)
        seconds = rule.seconds if rule else 0.0
        match seen.fault:
            case "slowdown":
                self._answer(503, [], _ERROR.format("SlowDown").encode())
            case "reset_before" | "partition":
                self._reset()
            case "hang":
                self.proxy.stopping.wait(seconds)
                self._reset()
            case "late_apply":
                thread = threading.Thread(target=self._apply_late, args=(body, seen, seconds))
                self.proxy.late.append(thread)
                thread.start()
                self._reset()
            case _:
                self.proxy.stopping.wait(seconds if seen.fault == "delay" else 0)
                self._pass(body, seen)

    do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = _serve

    def _pass(self, body: bytes, seen: Seen) -> None:
        seen.status, headers, answer = self._forward(body)
        match seen.fault:
            case "error_after":
                self._answer(500, [], _ERROR.format("InternalError").encode())
            case "reset_after":
                self._reset()
            case "truncate":
                self._answer(seen.status, headers, answer, len(answer) // 2)
                self._reset()
            case "corrupt":
                at = seen.chance.randrange(len(answer))
                self._answer(seen.status, headers, answer[:at] + bytes([answer[at] ^ 0x40]) + answer[at + 1 :])
            case _:
                self._answer(seen.status, headers, answer)

    def _apply_late(self, body: bytes, seen: Seen, seconds: float) -> None:
        self.proxy.stopping.wait(seconds)
        seen.status = self._forward(body)[0]

    def _forward(self, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
        connection = http.client.HTTPConnection(urlsplit(self.proxy.upstream).netloc)
        with contextlib.closing(connection):
            connection.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():
                if name.lower() not in ("connection", "expect"):
                    connection.putheader(name, value)
            connection.endheaders(body)
            answer = connection.getresponse()
            return answer.status, answer.getheaders(), answer.read()

    def _answer(self, status: int, headers: list[tuple[str, str]], body: bytes, sent: int | None = None) -> None:
        self.send_response_only(status)
        stated = dict((name.lower(), value) for name, value in headers).get("content-length", "0")
        for name, value in headers:
            if name.lower() not in _HOP:
                self.send_header(name, value)
        self.send_header("Content-Length", stated if self.command == "HEAD" else str(len(body)))
        self.end_headers()
        self.wfile.write(b"" if self.command == "HEAD" else body[:sent])

    def _reset(self) -> None:
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True

    def log_message(self, *_: object) -> None:
        """The history is kept in Proxy.log."""
