"""Calls of services, over HTTP."""
import threading
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from queue import SimpleQueue
from urllib.parse import quote, urlsplit

from ._properties import default_properties

TYPE_CHECKING = False
if TYPE_CHECKING:  # typing is a slow import
    from typing import Any, Callable, Dict, Optional


class ServiceError(Exception):
    """A service has answered with another status than 200."""

    def __init__(self, status: int, body: bytes) -> None:
        super().__init__("status %d: %s" % (status, body[:200].decode("utf-8", "replace")))
        self.status = status
        self.body = body


class _Client(threading.local):
    """A connection a thread, which stays open."""

    def __init__(self) -> None:
        self.connections: "Dict[str, HTTPConnection]" = {}

    def post(self, url: str, body: bytes, headers: "Dict[str, str]", timeout: "Optional[float]") -> bytes:
        parts = urlsplit(url if "://" in url else "http://" + url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("%r is no address of a service" % url)
        key = parts.scheme + parts.netloc
        kept = self.connections.pop(key, None)
        for again in (kept is not None, False):
            connection = kept
            if connection is None:
                make = HTTPSConnection if parts.scheme == "https" else HTTPConnection
                connection = make(parts.hostname, parts.port, timeout=timeout)
            try:
                connection.request("POST", parts.path or "/", body, headers)
                response = connection.getresponse()
                data = response.read()
                break
            except (HTTPException, OSError):
                connection.close()
                kept = None
                if not again:  # one that was kept may have been closed meanwhile
                    raise
        if not response.will_close:
            self.connections[key] = connection
        if response.status != 200:
            raise ServiceError(response.status, data)
        return data


class _Pool(object):
    """Threads that make calls, started as they are needed."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._calls: "SimpleQueue[Callable[[], None]]" = SimpleQueue()
        self._lock = threading.Lock()
        self._threads = 0
        self._free = 0

    def submit(self, call: "Callable[[], None]") -> None:
        with self._lock:
            if self._free > 0:
                self._free -= 1
            elif self._threads < self._most:
                self._threads += 1
                threading.Thread(target=self._work, name="service-call", daemon=True).start()
        self._calls.put(call)

    def _work(self) -> None:
        while True:
            self._calls.get()()
            with self._lock:
                if self._calls.empty():
                    self._free += 1


_client = _Client()


class Channel(object):
    """A channel to one service, at an address such as 10.0.0.1:8080/path or
    http://10.0.0.1:8080/path."""

    def __init__(self, uri: str) -> None:
        self._uri = uri
        self._pool = _Pool(16)

    def request(self, msg: bytes) -> bytes:
        """Send a request and return the answer. Another status than 200 raises
        ServiceError."""
        return _client.post(self._uri, msg, {}, None)

    def async_request(
        self, msg: bytes, on_success: "Callable[..., Any]", on_failure: "Callable[..., Any]", *args: "Any", **kwargs: "Any"
    ) -> None:
        """Send a request and return at once. One of the two is called later, on
        another thread, with the answer or the exception, and the further arguments."""

        def call() -> None:
            try:
                answer = self.request(msg)
            except Exception as e:
                on_failure(e, *args, **kwargs)
            else:
                on_success(answer, *args, **kwargs)

        self._pool.submit(call)


class ServiceCaller(object):
    """Calls other services by their names, through the address in the property
    rpc.proxy_url. Override success_callback and error_callback.

    timeout: of a call, in milliseconds.
    connection_concurrency: calls at the same time."""

    def __init__(self, timeout: int = 5000, connection_concurrency: int = 512) -> None:
        self._timeout = timeout / 1000.0
        self._pool = _Pool(connection_concurrency)
        self._success: "Optional[Callable[..., Any]]" = None
        self._error: "Optional[Callable[..., Any]]" = None

    def set_callback(
        self, success: "Callable[..., Any]", error: "Optional[Callable[..., Any]]" = None
    ) -> None:
        """Call these functions instead of success_callback and error_callback."""
        self._success, self._error = success, error

    def success_callback(self, x: bytes, rid: "Any") -> None:
        """Take an answer, on another thread."""

    def error_callback(self, x: Exception, rid: "Any") -> None:
        """Take the exception of a call that failed, on another thread."""

    def async_call(self, service_name: str, token: str, content: bytes, request_id: "Any") -> None:
        """Call a service and return at once."""
        url = _url(service_name)

        def call() -> None:
            try:
                answer = _client.post(url, content, {"Authorization": token}, self._timeout)
            except Exception as e:
                (self._error or self.error_callback)(e, request_id)
            else:
                (self._success or self.success_callback)(answer, request_id)

        self._pool.submit(call)

    @classmethod
    def call(cls, service_name: str, token: str, content: bytes) -> bytes:
        """Call a service and return its answer."""
        return _client.post(_url(service_name), content, {"Authorization": token}, 5.0)


def _url(service_name: str) -> str:
    base = default_properties().text("rpc.proxy_url")
    if not base:
        raise RuntimeError("the property rpc.proxy_url names no address at which other services are called")
    return base.rstrip("/") + "/api/predict/" + quote(service_name)
