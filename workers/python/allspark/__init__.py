"""The SDK of Python processors of PAI-EAS."""
import sys
import threading

__version__ = "0.16.0"


class BaseProcessor:
    """Answers requests: subclass it, and override initialize and process."""

    def __init__(self, worker_threads=5, io_threads=4, worker_processes=1, endpoint=None):
        self._threads = worker_threads

    def initialize(self):
        raise Exception("initialize not implemented")

    def process(self, data):
        raise Exception("process not implemented")

    def run(self):
        worker = sys.modules["_eas_worker"].current
        self.initialize()

        def start(target, args):
            threading.Thread(target=target, args=args, daemon=True).start()

        def reply(result):
            body, status = result
            if not isinstance(body, bytes):
                body = str(body).encode()
            return status, 0, body

        def failed(e):
            return 400, 2, ("[%s] in processor: %s" % (type(e).__name__, e)).encode()

        worker.serve(self.process, reply, failed, self._threads, start)


if "_eas_worker" in sys.modules and sys.modules["_eas_worker"].current is not None:
    sys.modules["_eas_worker"].current.frames()
