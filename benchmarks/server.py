"""A local web server with a latency of 20 ms and 200 MB/s: ``python -m benchmarks.server FOLDER``.

It prints its port. ``GET /sent`` returns the number of bytes that it has sent so far.
"""

import asyncio
import os
import sys
import time
from pathlib import Path

LATENCY = 0.020  # seconds before each answer
RATE = 200e6  # bytes per second, over all connections
PART = 1 << 18  # bytes


class Server:
    """Serve the files of a folder, also in ranges."""

    def __init__(self, folder: Path):
        self.folder, self.sent, self.free_at = folder, 0, 0.0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the requests of a connection."""
        try:
            while request := await reader.readuntil(b"\r\n\r\n"):
                await asyncio.sleep(LATENCY)
                await self._answer(request.decode().split("\r\n"), writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    async def _answer(self, lines: list[str], writer: asyncio.StreamWriter) -> None:
        method, path, _ = lines[0].split()
        headers = dict(line.lower().split(": ", 1) for line in lines[1:] if ": " in line)
        if path == "/sent":
            content = str(self.sent).encode()
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(content), content))
            return
        file = self.folder / path.lstrip("/")
        if not file.is_file():
            writer.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
            return
        size = file.stat().st_size
        first, last, status = 0, size - 1, "200 OK"
        if "range" in headers:
            start, _, end = headers["range"].removeprefix("bytes=").partition("-")
            first, last, status = int(start), min(int(end or size), size - 1), "206 Partial Content"
        head = f'HTTP/1.1 {status}\r\nContent-Length: {last - first + 1}\r\nETag: "1"\r\nAccept-Ranges: bytes\r\n\r\n'
        writer.write(head.encode())
        if method == "GET":
            await self._send(file, first, last + 1, writer)

    async def _send(self, file: Path, start: int, end: int, writer: asyncio.StreamWriter) -> None:
        with open(file, "rb") as source:
            for at in range(start, end, PART):
                part = os.pread(source.fileno(), min(PART, end - at), at)
                self.free_at = max(self.free_at, time.monotonic()) + len(part) / RATE
                await asyncio.sleep(self.free_at - time.monotonic())
                self.sent += len(part)
                writer.write(part)
                await writer.drain()


async def main() -> None:
    """Serve until the process is killed."""
    server = await asyncio.start_server(Server(Path(sys.argv[1])).serve, "127.0.0.1", 0, backlog=256)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
