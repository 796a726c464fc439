"""A plain gateway in Python, for a program that is started by hand where there
is no eascmd. It speaks HTTP/1.1 to clients and the worker protocol to the worker
in the same process, so that requests are answered by the same code as ever.
"""
import hmac
import signal
import socket
import sys
import threading
from http import HTTPStatus

from . import _host
from ._log import info
from ._properties import default_properties

_wire = _host.module()

HEAD_LIMIT = 64 << 10
BODY_LIMIT = 128 << 20
QUEUE_FULL = 450  # a status of EAS


class Refused(Exception):
    """A request that does not reach the processor."""

    def __init__(self, status, text="", close=False):
        super().__init__(text)
        self.status = status
        self.text = text
        self.close = close


class LocalWorker(_wire.Worker):
    """A worker whose gateway is in the same process, and listens when the
    worker is ready. Until then only the control thread runs."""

    def __init__(self, connection, gateway):
        self._gateway = gateway
        super().__init__(connection)

    def _become_ready(self, concurrency):
        listener = self._gateway.listen()
        super()._become_ready(concurrency)
        self._gateway.open(listener, concurrency)


def start(address):
    """Return the worker of a gateway that is to listen on an address."""
    try:
        if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:  # a shell's background job; kill -INT is to end it
            signal.signal(signal.SIGINT, signal.default_int_handler)
    except ValueError:  # on another thread than the main one
        pass
    ours, theirs = socket.socketpair()
    worker = LocalWorker(theirs, Gateway(ours, address))
    _wire.current = worker
    return worker


class Call(object):
    """A request that the worker has."""

    __slots__ = ("answered", "status", "flags", "parts")

    def __init__(self):
        self.answered = threading.Event()
        self.status = self.flags = 0
        self.parts = []


class Gateway(object):
    def __init__(self, connection, address):
        connection.setblocking(True)  # whatever default timeout the program has set
        self._connection = connection
        self._address = address
        self._sending = threading.Lock()
        self._lock = threading.Lock()
        self._calls = {}
        self._last = 0
        self._concurrency = 0  # known when it opens
        self._settings()

    def _settings(self):
        props = default_properties()
        self._keepalive = props.number("rpc.keepalive", 1) / 1000.0
        self._queue = props.number("rpc.max_queue_size")
        self._token = props.text("rpc.token").encode()
        self._content_type = "text/html; charset=utf-8"
        for line in props.text("rpc.http.default_headers").splitlines():
            name, _, value = line.partition(":")
            if name.strip().lower() == "content-type" and value.strip():
                self._content_type = value.strip()

    def listen(self):
        """Take the address. Nobody is answered yet."""
        family = socket.AF_INET6 if ":" in self._address[0] else socket.AF_INET
        listener = socket.socket(family, socket.SOCK_STREAM)
        if sys.platform != "win32":
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(self._address)
        listener.listen(1024)
        listener.setblocking(True)
        return listener

    def open(self, listener, concurrency):
        """Begin to pass requests on to a worker that has so many at a time."""
        self._concurrency = concurrency
        self._settings()
        self._start(self._read, ())
        self._start(self._accept, (listener,))
        info("listening on %s:%d" % listener.getsockname()[:2])

    @staticmethod
    def _start(target, args):
        threading.Thread(target=target, args=args, name="gateway", daemon=True).start()

    # The worker

    def _read(self):
        """Take the worker's frames."""
        stream = self._connection.makefile("rb", 256 << 10)
        while True:
            head = stream.read(_wire.HEADER_SIZE)
            if len(head) < _wire.HEADER_SIZE:
                return
            length, kind, flags, status, rid = _wire.HEADER.unpack(head)
            payload = stream.read(length)
            if kind == _wire.RESPONSE:
                call = self._calls.get(rid)
                if call is None:
                    continue
                call.parts.append(payload)
                if not flags & _wire.MORE:
                    call.status, call.flags = status, flags
                    with self._lock:
                        del self._calls[rid]
                    call.answered.set()
            elif kind == _wire.PROPERTIES:
                self._settings()

    def call(self, body):
        """Have a request answered: (status, body)."""
        call = Call()
        with self._lock:
            if len(self._calls) >= self._concurrency + self._queue:
                raise Refused(QUEUE_FULL, "the queue of requests is full", close=True)
            self._last += 1
            rid = self._last
            self._calls[rid] = call
        view = memoryview(body)
        while True:
            part, view = view[: _wire.MAX_PAYLOAD], view[_wire.MAX_PAYLOAD:]
            self._send(_wire.REQUEST, _wire.MORE if view else 0, rid, part)
            if not view:
                break
        if not call.answered.wait(self._keepalive):
            self._send(_wire.CANCEL, 0, rid, b"")
            raise Refused(408, "the request took longer than rpc.keepalive, %d ms" % (self._keepalive * 1000), close=True)
        status = 400 if call.flags & _wire.EXCEPTION else http_status(call.status)
        return status, b"".join(call.parts)

    def _send(self, kind, flags, rid, payload):
        with self._sending:
            self._connection.sendall(_wire.HEADER.pack(len(payload), kind, flags, 0, rid) + payload)

    # Clients

    def _accept(self, listener):
        while True:
            try:
                client, _ = listener.accept()
            except OSError:  # too many open files: the next may fit
                continue
            self._start(self._converse, (client,))

    def _converse(self, client):
        """Answer the requests of one connection."""
        try:
            with client, client.makefile("rb", 64 << 10) as stream:
                client.setblocking(True)
                client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                while self._answer(client, stream):
                    pass
                client.shutdown(socket.SHUT_WR)
        except (OSError, ValueError):
            pass  # the client is gone

    def _answer(self, client, stream):
        """Answer one request. False where it was the last of its connection."""
        keep, head = False, False
        try:
            request = read_head(stream)
            if request is None:
                return False
            method, path, version, headers = request
            connection = headers.get("connection", "").lower()
            keep = connection != "close" if version == "HTTP/1.1" else connection == "keep-alive"
            head = method == "HEAD"
            if headers.get("expect", "").lower() == "100-continue":
                client.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
            body = read_body(stream, headers)
            if self._token and not self._authorized(headers.get("authorization", "")):
                raise Refused(401, "no token, or a wrong one, in the header Authorization")
            status, answer = self._route(path, body)
        except Refused as e:
            status, answer = e.status, e.text.encode()
            keep = keep and not e.close
        client.sendall(self._response(status, answer, keep, head))
        return keep

    def _authorized(self, value):
        given = value.strip().encode("latin-1")
        if given[:7].lower() == b"bearer ":
            given = given[7:].strip()
        return hmac.compare_digest(given, self._token)

    def _route(self, path, body):
        path = path.partition("?")[0]
        if path.startswith("/api/builtin/"):
            if path == "/api/builtin/ping":
                return 200, b"pong"
            raise Refused(404, "%s is not served without eascmd" % path)
        return self.call(body)

    def _response(self, status, body, keep, head):
        lines = ["HTTP/1.1 %d %s" % (status, reason(status)), "Content-Type: " + self._content_type]
        if status in (204, 205, 304):
            body = b""
        if status != 204:
            lines.append("Content-Length: %d" % len(body))
        lines.append("Connection: keep-alive" if keep else "Connection: close")
        text = "\r\n".join(lines).encode("latin-1", "replace") + b"\r\n\r\n"
        return text if head else text + body


def http_status(status):
    """Return the HTTP status for what process returned."""
    if status in (0, 200):
        return 200
    return status if 201 <= status <= 599 else 400


def reason(status):
    """Return the words for an HTTP status."""
    if status == QUEUE_FULL:
        return "Queue Full"
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Unknown"


def read_head(stream):
    """Read a request's head. None at the end of the connection."""
    line = _line(stream, HEAD_LIMIT)
    while line == b"":  # some clients send an empty line after a body
        line = _line(stream, HEAD_LIMIT)
    if line is None:
        return None
    words = line.decode("latin-1").split(" ")
    if len(words) != 3 or words[2] not in ("HTTP/1.1", "HTTP/1.0"):
        raise Refused(400, "this is no HTTP/1.1 request", close=True)
    headers, left = {}, HEAD_LIMIT
    while True:
        line = _line(stream, left)
        if line is None:
            return None
        if not line:
            return words[0], words[1], words[2], headers
        left -= len(line)
        name, colon, value = line.decode("latin-1").partition(":")
        name = name.lower()
        if not colon or not name or name != name.strip():
            raise Refused(400, "a header that is none", close=True)
        if name in ("content-length", "transfer-encoding") and headers.get(name, value.strip()) != value.strip():
            raise Refused(400, "two different headers " + name, close=True)
        headers[name] = value.strip()


def _line(stream, limit):
    line = stream.readline(limit + 1)
    if not line.endswith(b"\n"):
        if len(line) > limit:
            raise Refused(431, "the head of the request is too long", close=True)
        return None
    return line[:-1].rstrip(b"\r")


def read_body(stream, headers):
    """Read a request's body."""
    coding = headers.get("transfer-encoding", "").lower()
    length = headers.get("content-length")
    if coding:
        if coding != "chunked" or length is not None:
            raise Refused(400, "Transfer-Encoding %s is not understood" % coding, close=True)
        return _read_chunks(stream)
    if length is None:
        return b""
    if not (length.isascii() and length.isdigit()):
        raise Refused(400, "Content-Length is no number", close=True)
    if int(length) > BODY_LIMIT:
        raise Refused(413, "the body is longer than %d bytes" % BODY_LIMIT, close=True)
    return _exactly(stream, int(length))


def _read_chunks(stream):
    parts, total = [], 0
    while True:
        line = _line(stream, HEAD_LIMIT) or b""
        try:
            size = int(line.partition(b";")[0].strip() or b"-", 16)
        except ValueError:
            size = -1
        if size < 0:
            raise Refused(400, "a chunk without its size", close=True)
        total += size
        if total > BODY_LIMIT:
            raise Refused(413, "the body is longer than %d bytes" % BODY_LIMIT, close=True)
        if size == 0:
            break
        parts.append(_exactly(stream, size))
        if _line(stream, 2) != b"":
            raise Refused(400, "a chunk that is longer than its size", close=True)
    while _line(stream, HEAD_LIMIT):  # trailers
        pass
    return b"".join(parts)


def _exactly(stream, size):
    data = stream.read(size)
    if len(data) < size:
        raise OSError("the connection ended inside a request")
    return data
