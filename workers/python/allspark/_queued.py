"""The low-level interface: a queue of requests that the program's own threads
take, and calls of other services."""
import threading
import time

from . import _alone, _host
from ._log import warn
from ._properties import default_properties
from ._rules import OUT_OF_RANGE

TYPE_CHECKING = False
if TYPE_CHECKING:  # typing is a slow import
    from typing import Any, Callable, List, Optional, Sequence, Tuple, Union

    from ._calls import Channel


class Context(object):
    """What services and channels are made with.

    num_threads: accepted and not needed: the gateway has its own."""

    def __init__(self, num_threads: int = 4) -> None:
        self._worker: "Any" = None

    def queued_service(self, endpoint: "Optional[str]" = None) -> "QueuedService":
        """Open the service and return its queue. The model must be loaded
        before. endpoint counts where the program is started by hand."""
        default_properties().put("health.model_ready", 1)
        _host.module().settle()
        self._worker = _host.worker() or _alone.worker(endpoint)
        self._worker.open_queue(max(64, default_properties().number("rpc.max_queue_size")))
        return QueuedService(self._worker)

    def channel(self, uri: str) -> "Channel":
        """Return a channel to the service at an address."""
        from ._calls import Channel

        return Channel(uri)

    def stop(self) -> None:
        """Stop serving: the process ends when what was sent is sent."""
        if self._worker is not None:
            self._worker.end(0)


class QueuedService(object):
    """A queue of requests. Any number of threads may read and write; what a
    thread writes is the answer to what it has read last."""

    def __init__(self, worker: "Any") -> None:
        self._worker = worker
        self._thread = threading.local()

    def read(self) -> bytes:
        """Wait for a request and return its body."""
        request_id, body = self._worker.take()
        self._thread.read = [request_id]
        return body

    def read_upto(self, n: int, timeout_ms: int) -> "List[bytes]":
        """Return the bodies of up to n requests: those that come within so many
        milliseconds. Their answers are given with write_many()."""
        until = time.monotonic() + timeout_ms / 1000.0
        requests: "List[Tuple[int, bytes]]" = []
        while len(requests) < n:
            request = self._worker.take(max(until - time.monotonic(), 0))
            if request is None:
                break
            requests.append(request)
        self._thread.read = [request_id for request_id, _ in requests]
        return [body for _, body in requests]

    def write(self, msg: bytes) -> None:
        """Answer with status 200."""
        self.error(200, msg)

    def error(self, code: int, msg: bytes) -> None:
        """Answer with another status."""
        _check(msg)
        self._give(self._read_last(1)[0], code, msg)

    def write_many(self, messages: "Sequence[Union[bytes, Tuple[int, bytes]]]") -> None:
        """Answer what read_upto() returned, in its order, each with its body or
        with (status, body)."""
        answers = [m if isinstance(m, tuple) else (200, m) for m in messages]
        for _, msg in answers:
            _check(msg)
        for request_id, (code, msg) in zip(self._read_last(len(answers)), answers):
            self._give(request_id, code, msg)

    def read_with_id(self) -> "Tuple[bytes, int]":
        """Wait for a request and return its body and its id. Any thread may
        answer it."""
        request_id, body = self._worker.take()
        return body, request_id

    def write_with_id(self, msg: bytes, request_id: int) -> None:
        """Answer a request with status 200."""
        self._give(request_id, 200, msg)

    def error_with_id(self, code: int, msg: bytes, request_id: int) -> None:
        """Answer a request with another status."""
        self._give(request_id, code, msg)

    def inject(self, path: str, handler: "Optional[Callable[..., Any]]" = None, token: str = "") -> "Any":
        """Not supported: the gateway does not pass on what is asked under a
        handler's path differently. It warns, and the handler is never called."""
        if handler is None:
            return lambda f: self.inject(path, f, token)
        warn("inject(%r): handlers of other paths are not supported; this one is never called" % path)
        return handler

    def _read_last(self, count: int) -> "List[int]":
        read = getattr(self._thread, "read", [])
        if not read:
            raise RuntimeError("this thread has read no request that is still to be answered")
        if count > len(read):
            raise ValueError("%d answers for %d requests" % (count, len(read)))
        self._thread.read = read[count:]
        return read[:count]

    def _give(self, request_id: int, code: int, msg: bytes) -> None:
        _check(msg)
        self._worker.give(request_id, code if 0 <= code < OUT_OF_RANGE else OUT_OF_RANGE, 0, bytes(msg))


def _check(msg: "Any") -> None:
    if not isinstance(msg, bytes):
        raise TypeError("an answer is to be bytes, not %s" % type(msg).__name__)
