"""A small web server that can break off, and archives of every good and bad kind."""

import binascii
import io
import threading
import zipfile
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

LINK = 0o120777


class Site:
    """What the server offers, how it behaves, and what it was asked for.

    Attributes:
        files: contents by path.
        tags: ETags by path; without one the server names no version.
        cut: bytes after which the next answers end early, one each.
        asked: (path, Range header) of every request.
        moved: redirections by path.
    """

    def __init__(self):
        self.files, self.tags, self.moved = {}, {}, {}
        self.cut, self.asked = [], []
        self.address = ""

    def offer(self, path, data, tag='"v1"'):
        self.files[path], self.tags[path] = data, tag
        return f"{self.address}/{path}"


@contextmanager
def serving():
    """A site on a free port of this machine."""
    site = Site()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            answer(self, site)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    # A client that stops reading must not keep the server from closing.
    server.block_on_close = False
    site.address = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield site
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def answer(handler, site):
    path = handler.path.lstrip("/")
    wanted = handler.headers.get("Range")
    site.asked.append((path, wanted))
    if path in site.moved:
        handler.send_response(302)
        handler.send_header("Location", site.moved[path])
        handler.end_headers()
        return
    if path not in site.files:
        handler.send_error(404)
        return
    data, tag, start = site.files[path], site.tags[path], 0
    if wanted and handler.headers.get("If-Range") == tag:
        start = int(wanted.removeprefix("bytes=").rstrip("-"))
    if start and start >= len(data):
        handler.send_response(416)
        handler.send_header("Content-Range", f"bytes */{len(data)}")
        handler.send_header("Content-Length", "0")
        handler.end_headers()
        return
    handler.send_response(206 if start else 200)
    if start:
        handler.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
    if tag:
        handler.send_header("ETag", tag)
    handler.send_header("Content-Length", str(len(data) - start))
    handler.end_headers()
    end = start + site.cut.pop(0) if site.cut else len(data)
    handler.wfile.write(data[start:end])
    handler.close_connection = True


def zipped(members):
    """A zip of {name: content}; content LINK:target makes a symbolic link."""
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            info = zipfile.ZipInfo(name)
            info.external_attr = 0o100644 << 16
            if content.startswith("LINK:"):
                info.external_attr = LINK << 16
                content = content.removeprefix("LINK:")
            archive.writestr(info, content)
    return held.getvalue()


def rar(members):
    """A RAR 5 archive, stored without compression; LINK:target makes a symbolic link."""
    parts = [b"Rar!\x1a\x07\x01\x00", _block(_number(1) + _number(0) + _number(0))]
    for name, content in members.items():
        target = content.removeprefix("LINK:").encode() if content.startswith("LINK:") else None
        data = b"" if target is not None else content.encode()
        parts += [_block(_file(name.encode(), data, target)), data]
    parts.append(_block(_number(5) + _number(0) + _number(0)))
    return b"".join(parts)


def _file(name, data, target):
    extra = b""
    if target is not None:
        record = _number(5) + _number(1) + _number(0) + _number(len(target)) + target
        extra = _number(len(record)) + record
    flags = 2 | (1 if extra else 0)
    head = _number(2) + _number(flags)
    head += (_number(len(extra)) if extra else b"") + _number(len(data))
    # A checksum follows; Unix; mode; stored.
    mode = LINK if target is not None else 0o100644
    head += _number(4) + _number(len(data)) + _number(mode)
    head += binascii.crc32(data).to_bytes(4, "little") + _number(0) + _number(1)
    return head + _number(len(name)) + name + extra


def _block(body):
    sized = _number(len(body)) + body
    return binascii.crc32(sized).to_bytes(4, "little") + sized


def _number(n):
    """Seven bits per byte, least first."""
    found = bytearray()
    while n > 127:
        found.append(n & 127 | 128)
        n >>= 7
    return bytes([*found, n])
