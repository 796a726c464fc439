"""Where this process is a worker: the launcher that made it one."""
import os
import sys


def module():
    """Return the module of the worker protocol. The launcher has loaded it
    already where it has started this program."""
    loaded = sys.modules.get("_eas_worker")
    if loaded is None:
        from . import _worker as loaded

        sys.modules["_eas_worker"] = loaded
    return loaded


def worker():
    """Return the connection to the gateway, or None where there is none."""
    loaded = sys.modules.get("_eas_worker")
    return loaded.current if loaded is not None else None


def online():
    """Report whether the platform runs this program, without our gateway."""
    environ = os.environ
    return bool(environ.get("NAMESPACE") and environ.get("POD_NAME")) or environ.get("WORKER_NAME") == "easworker"
