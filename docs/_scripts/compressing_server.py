"""A server on this machine that compresses as the site's hosts do."""

import gzip
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache, partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from pathlib import Path
from threading import Thread
from typing import Any, BinaryIO

COMPRESSED = (".html", ".css", ".js", ".svg", ".txt", ".xml", ".json")
PART = 4_000  # bytes of a page after which a slow line pauses


@cache  # a built site does not change while it is served
def compressed(file: Path) -> bytes:
    """Give a file as the hosts send it."""
    return gzip.compress(file.read_bytes(), mtime=0)


class CompressingHandler(SimpleHTTPRequestHandler):
    """Serve files without a line for each, texts as gzip."""

    protocol_version = "HTTP/1.1"

    def __init__(self, *args: Any, pause: float, **keywords: Any) -> None:
        self.pause = pause
        super().__init__(*args, **keywords)

    def log_message(self, format: str, *args: object) -> None:
        pass

    def send_head(self) -> BytesIO | BinaryIO | None:
        path = Path(self.translate_path(self.path))
        if path.is_dir():
            path /= "index.html"
        if path.suffix not in COMPRESSED or not path.exists():
            return super().send_head()
        content = compressed(path)
        self.send_response(200)
        self.send_header("Content-Type", f"{self.guess_type(str(path))}; charset=utf-8")
        self.send_header("Content-Encoding", "gzip")
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Cache-Control", "max-age=600")  # as GitHub Pages says
        self.end_headers()
        return BytesIO(content)

    def copyfile(self, source: Any, outputfile: Any) -> None:
        if not (self.pause and self.path.endswith(".html")):
            super().copyfile(source, outputfile)
            return
        while part := source.read(PART):
            outputfile.write(part)
            time.sleep(self.pause)


@contextmanager
def served(site: Path, pause: float = 0.0) -> Iterator[str]:
    """Serve a folder, its pages in parts with a pause (s) after each, and give its address."""
    handler = partial(CompressingHandler, directory=str(site), pause=pause)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
