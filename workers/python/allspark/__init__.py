"""allspark: the SDK of Python processors of PAI-EAS.

A processor is a subclass of BaseProcessor with initialize() and process(); its
run() serves it. Under `eascmd test` and in an image the process is a worker of
eascmd's gateway; `python app.py` by hand starts one on port 8080.
"""
from . import _host
from ._processor import BaseProcessor
from ._properties import Property, default_properties

__version__ = "1.0.0"

__all__ = [
    "BaseProcessor",
    "Channel",
    "Context",
    "Property",
    "QueuedService",
    "ServiceCaller",
    "ServiceError",
    "cflags",
    "default_properties",
    "ldflags",
]

_LATER = {
    "Context": "_queued",
    "QueuedService": "_queued",
    "Channel": "_calls",
    "ServiceCaller": "_calls",
    "ServiceError": "_calls",
}

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ._calls import Channel, ServiceCaller, ServiceError
    from ._queued import Context, QueuedService


def cflags() -> str:
    """The flags for compiling C++ extensions: this SDK has no header for them."""
    raise NotImplementedError(_NO_EXTENSIONS)


def ldflags() -> str:
    """The flags for linking C++ extensions: this SDK has no library for them."""
    raise NotImplementedError(_NO_EXTENSIONS)


_NO_EXTENSIONS = (
    "this allspark is pure Python, without the allspark.h and library that C++ extensions are built with; "
    "write a C++ processor (`eascmd init --processor cpp`), or call your library with ctypes or pybind11"
)


def __getattr__(name):
    if name not in _LATER:
        raise AttributeError("module %r has no attribute %r" % (__name__, name))
    from importlib import import_module

    value = getattr(import_module("." + _LATER[name], __name__), name)
    globals()[name] = value
    return value


def __dir__():
    return sorted(list(globals()) + list(_LATER))


if _host.worker() is not None:
    _host.worker().frames()
