"""An HTTP server on loopback that answers ranges, with latency and failures on demand."""

import contextlib
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Server:
    """What the server has and does; all of it can be changed while it runs.

    ``fail(number)`` is asked for each GET, numbered from 1: an HTTP status, ``"reset"``, ``"short"``, ``"stall"`` or
    ``None``. ``latency`` is in seconds. ``token`` must be in the header ``Authorization``.
    """

    url: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    fail: object = staticmethod(lambda number: None)
    latency: float = 0
    ranges: bool = True
    listing: bool = True
    token: str = ""
    validator: str = "ETag"  # the header that has the version of a file; "" for none
    absent: int = 404  # the status of absent files
    headless: str = ""  # a file whose first 100 bytes are never sent
    headers: dict[str, str] = field(default_factory=dict)  # of each answer
    requests: int = 0
    sent: int = 0
    in_flight: int = 0
    most_in_flight: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # else each body would wait 40 ms for the headers to be acknowledged

    def log_message(self, *args):
        pass

    def do_HEAD(self):
        self._answer(False)

    def do_GET(self):
        with self.state.lock:
            self.state.requests += 1
            number = self.state.requests
            self.state.in_flight += 1
            self.state.most_in_flight = max(self.state.most_in_flight, self.state.in_flight)
        try:
            time.sleep(self.state.latency)
            self._answer(True, self.state.fail(number))
        finally:
            with self.state.lock:
                self.state.in_flight -= 1

    def _answer(self, get, failure=None):
        name = self.path.split("?")[0].lstrip("/")
        content = self.state.files.get(name)
        if self.state.token not in self.headers.get("Authorization", ""):
            failure = 401
        if isinstance(failure, int):
            return self._send(failure, b"", get)
        if failure == "stall":
            time.sleep(60)
        if content is None and self.state.listing and (name == "" or name.endswith("/")):
            files = [file[len(name) :] for file in self.state.files if file.startswith(name)]
            inside = dict.fromkeys(file.partition("/")[0] + ("/" if "/" in file else "") for file in files)
            if not inside:
                return self._send(404, b"", get)
            return self._send(200, "".join(f'<a href="{file}">{file}</a>' for file in inside).encode(), get)
        if content is None:
            return self._send(self.state.absent, b"", get)
        etag = {self.state.validator: f'"{self.state.versions.get(name, "1")}"'} if self.state.validator else {}
        if self.state.ranges and (asked := self.headers.get("Range")):
            start, end = asked.removeprefix("bytes=").split("-")
            start, end = int(start), min(int(end or len(content)), len(content) - 1)
            if name == self.state.headless and start < 100 < end:
                return self._send(503, b"", get)
            if start >= len(content):
                return self._send(416, b"", get)
            etag["Content-Range"] = f"bytes {start}-{end}/{len(content)}"
            return self._send(206, memoryview(content)[start : end + 1], get, etag, failure)
        return self._send(200, memoryview(content), get, etag, failure)

    def _send(self, status, content, get, headers=(), failure=None):
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        for name, value in (self.state.headers | dict(headers)).items():
            self.send_header(name, value)
        self.end_headers()
        if not get:
            return
        if failure:
            content = content[: len(content) // 2]
            self.close_connection = True
        self.wfile.write(content)
        with self.state.lock:
            self.state.sent += len(content)
        if failure == "reset":
            self.wfile.flush()
            self.connection.setsockopt(1, 13, b"\1\0\0\0\0\0\0\0")  # SO_LINGER 0: close() sends a reset
            self.connection.close()


class _Quiet(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256

    def handle_error(self, request, client_address):
        pass  # clients that hang up, and resets on demand


@contextlib.contextmanager
def running_server(**settings) -> Iterator[Server]:
    """A running server; ``settings`` are the fields of ``Server``."""
    state = Server(**settings)
    server = _Quiet(("127.0.0.1", 0), type("Handler", (_Handler,), {"state": state}))
    state.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()
