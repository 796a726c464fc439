"""The base class of processors."""
import os
import threading

from . import _alone, _host
from ._log import info, warn
from ._properties import default_properties
from ._rules import Rules

TYPE_CHECKING = False
if TYPE_CHECKING:  # typing is a slow import
    from typing import Any, Optional, Tuple


class _Default(int):
    """The default of an argument, told apart from the same number given."""

    __slots__ = ()


_THREADS = _Default(5)


class BaseProcessor(object):
    """Answers requests. A processor is a subclass with initialize() and
    process()::

        class Iris(allspark.BaseProcessor):
            def initialize(self):
                self.model = joblib.load(self.get_model_path() + "/iris.joblib")

            def process(self, data):
                return json.dumps(self.model.predict(json.loads(data))).encode(), 200

        if __name__ == "__main__":
            Iris(worker_threads=5).run()

    worker_threads: calls of process at the same time. Whoever says something
        first counts: `eascmd test --threads`; this argument; rpc.worker_threads of
        the service description; what the program puts for it; 5.
    io_threads: accepted and not needed: the gateway has its own.
    worker_processes: more than 1: so many child processes run initialize and
        process, one call at a time each, for processors that Python's global
        lock would hold up.
    endpoint: "address:port" that ``python app.py`` listens on when it is
        started by hand, 0.0.0.0:8080 without it. Under `eascmd test` and online
        it does not count.
    """

    _eas_threads: int = _THREADS
    _eas_processes: int = 1
    _eas_endpoint: "Optional[str]" = None
    _eas_worker: "Any" = None

    def __init__(
        self,
        worker_threads: int = _THREADS,
        io_threads: int = 4,
        worker_processes: int = 1,
        endpoint: "Optional[str]" = None,
    ) -> None:
        self._eas_threads = worker_threads
        self._eas_processes = worker_processes
        self._eas_endpoint = endpoint

    def initialize(self) -> None:
        """Load the model. It is called once, in every process that calls
        process(); no request comes before it has returned."""
        error = Exception("initialize not implemented")
        error._eas_hint = "define initialize(self) in your class; it may be empty"  # type: ignore[attr-defined]
        raise error

    def process(self, data: bytes) -> "Tuple[bytes, int]":
        """Answer a request, whose body is data: return the answer's body and
        its status, where 0 and 200 are success. It is called on several threads at
        the same time."""
        raise Exception("process not implemented")

    def async_process(self, data: bytes, request_id: int) -> None:
        """Take a request in the asynchronous mode: return at once, and answer
        with return_with_id() or error_with_id() later, from any thread."""
        raise Exception("async_process not implemented")

    def get_model_path(self) -> str:
        """Return the directory that holds the model's files."""
        return os.environ.get("EAS_MODEL_DIR") or default_properties().text("eas.workspace") + "/model"

    def run(self) -> None:
        """Serve. It returns never, or when the program is interrupted."""
        cls = type(self)
        if cls.process is BaseProcessor.process and cls.async_process is not BaseProcessor.async_process:
            return self._eas_run(self._eas_serve_async)
        processes = _count("worker_processes", self._eas_processes)
        if processes > 1:
            from . import _children

            return self._eas_run(lambda worker: _children.serve(self, worker, processes))
        self._eas_run(self._eas_serve)

    def async_run(self) -> None:
        """Serve in the asynchronous mode."""
        self._eas_run(self._eas_serve_async)

    def return_with_id(self, result: "Any", request_id: int) -> None:
        """Answer a request of the asynchronous mode with status 200."""
        self._eas_worker.give(request_id, 200, 0, self._eas_rules().body(result))

    def error_with_id(self, code: int, msg: "Any", request_id: int) -> None:
        """Answer a request of the asynchronous mode with another status."""
        status, flags, body = self._eas_rules().reply((msg, code))
        self._eas_worker.give(request_id, status, flags, body)

    def _eas_rules(self):
        rules = self.__dict__.get("_eas_reply_rules")
        if rules is None:
            rules = self.__dict__.setdefault("_eas_reply_rules", Rules())
        return rules

    def _eas_run(self, serve):
        worker = _host.worker() or _alone.worker(self._eas_endpoint)
        try:
            serve(worker)
        except KeyboardInterrupt:
            _alone.interrupted(worker)

    def _eas_thread_count(self):
        asked = None if isinstance(self._eas_threads, _Default) else _count("worker_threads", self._eas_threads)
        worker = _host.worker()
        service = worker.service if worker is not None else {}
        source = service.get("threads.from")
        if source == "caller" or source == "description" and asked is None:
            return int(service["threads"])
        if asked is None:
            return default_properties().number("rpc.worker_threads", 1)
        if source == "description" and asked != int(service["threads"]):
            warn(
                "worker_threads=%d of the program counts, and not rpc.worker_threads %s of the service description; "
                "leave it out of the program for that" % (asked, service["threads"])
            )
        return asked

    def _eas_initialize(self):
        info("waiting for service initialization to complete...")
        self.initialize()
        info("service initialization complete")
        _host.module().settle()

    def _eas_serve(self, worker):
        self._eas_initialize()
        rules = self._eas_rules()
        worker.serve(self.process, rules.reply, rules.failed, self._eas_thread_count(), start_thread)

    def _eas_serve_async(self, worker):
        self._eas_worker = worker
        self._eas_initialize()
        rules = self._eas_rules()

        def take(n):
            while True:
                request_id, data = worker.take()
                try:
                    self.async_process(data, request_id)
                except Exception as e:
                    status, flags, body = rules.failed(e)
                    try:
                        worker.give(request_id, status, flags, body)
                    except ValueError:
                        pass  # it was answered before the exception

        threads = self._eas_thread_count()
        worker.open_queue(max(threads, default_properties().number("rpc.max_queue_size", 64)))
        for n in range(1, threads):
            start_thread(take, (n,))
        take(0)


def start_thread(target, args):
    """Start a thread that does not keep the process from ending."""
    threading.Thread(target=target, args=args, name="worker-%d" % args[-1], daemon=True).start()


def _count(name, value):
    if not 1 <= value <= 1024:
        raise ValueError("%s is %r; it is to be between 1 and 1024" % (name, value))
    return int(value)
