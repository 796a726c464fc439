"""The properties of a service."""
import json
import os

from . import _host
from ._log import warn

WORKSPACE = "/home/admin/docker_ml/workspace"

DEFAULTS = {
    "rpc.keepalive": "5000",
    "rpc.max_queue_size": "64",
    "rpc.worker_threads": "5",
    "rpc.io_threads": "4",
    "rpc.http.default_headers": "Content-Type: text/html; charset=utf-8",
    "eas.workspace": WORKSPACE,
}


class Property:
    """The properties of a service: names and values.

    They come from the service's description, through the variable SERVICE_CONFIG
    and the workspace's config/config.json, and a program may set more."""

    def __init__(self):
        self._values = dict(DEFAULTS)
        self._put = {}  # what the program has set
        self._listeners = {}
        self._merge("env:SERVICE_CONFIG", os.environ.get("SERVICE_CONFIG", ""))
        worker = _host.worker()
        service = worker.service if worker is not None else {}
        path = os.path.join(service.get("workspace") or WORKSPACE, "config", "config.json")
        try:
            with open(path, encoding="utf-8") as f:
                self._merge("file:" + path, f.read())
        except (OSError, ValueError):
            pass  # most services have none
        for name, value in service.items():
            if name.startswith("prop."):
                self._values[name[len("prop."):]] = value
            elif name in ("model_entry", "model_config"):
                self._values[name] = value
        if service.get("threads"):
            self._values["rpc.worker_threads"] = service["threads"]

    def put(self, name, value):
        """Set a property. The value may be of any type: it is kept as text. It
        takes effect when it is set before run() or in initialize."""
        name, value = text(name), text(value)
        self._put[name] = value
        worker = _host.worker()
        if worker is not None:
            worker.settings([(name, value)])
        if self._values.get(name) != value:
            self._values[name] = value
            for callback in self._listeners.get(name, ()):
                _tell(callback, name, value.encode())

    def get(self, name, default=b""):
        """Return a property's value as bytes."""
        value = self._values.get(text(name))
        if value is None:
            return default if isinstance(default, bytes) else text(default).encode()
        return value.encode()

    def listen(self, name, callback=None):
        """Call callback with the new value, as bytes, whenever the property
        changes; with its name before the value where it takes two arguments.
        Without a callback it is a decorator."""
        if callback is None:
            return lambda f: self.listen(name, f)
        self._listeners.setdefault(text(name), []).append(callback)
        return callback

    def number(self, name, least=0):
        """Return a property that is a number."""
        try:
            return max(int(float(self._values.get(name, ""))), least)
        except (ValueError, OverflowError):
            warn("the property %s is %r, which is no number" % (name, self._values.get(name)))
            return max(int(DEFAULTS.get(name, "0")), least)

    def text(self, name, default=""):
        """Return a property as text."""
        return self._values.get(name, default)

    def items(self):
        """Return names and values of all properties, as text."""
        return sorted(self._values.items())

    def put_by_program(self):
        """Return what the program has set, for a gateway that is to know it."""
        return sorted(self._put.items())

    def _merge(self, source, content):
        if not content.strip():
            return
        try:
            values = json.loads(content)
        except ValueError as e:
            warn("%s is not merged into properties: %s" % (source, e))
            return
        self._flatten("", values)

    def _flatten(self, prefix, value):
        if isinstance(value, dict):
            for name, inner in value.items():
                self._flatten(prefix + "." + name if prefix else name, inner)
        elif prefix and value is not None:
            self._values[prefix] = value if isinstance(value, str) else json.dumps(value)


def text(value):
    return value.decode("utf-8", "surrogateescape") if isinstance(value, (bytes, bytearray)) else str(value)


def _tell(callback, name, value):
    from inspect import signature

    try:
        signature(callback).bind(name, value)
    except TypeError:
        callback(value)
    except ValueError:  # a function in C that does not say what it takes
        callback(value)
    else:
        callback(name, value)


_default = None


def default_properties():
    """Return the properties of this process's service."""
    global _default
    if _default is None:
        _default = Property()
    return _default
