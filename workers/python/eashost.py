"""The host for Python processors: python eashost.py <program> [arguments].

What it does is in allspark/_launch.py beside it. This file is read by every
Python that there is, so that one that is too old can be told so.
"""
import os
import sys

if sys.version_info < (3, 6):
    sys.stderr.write(
        "eashost: Python %d.%d (%s) is too old, a Python processor needs 3.8 or newer\n"
        % (sys.version_info[0], sys.version_info[1], sys.executable)
    )
    sys.exit(2)

from _frozen_importlib_external import SourceFileLoader  # noqa: E402

_DIR = os.path.join(os.path.dirname(os.path.abspath(__file__)), "allspark")


def _load(name, filename):
    """Load a file of the package without importing the package: the program may
    bring an allspark of its own."""
    path = os.path.join(_DIR, filename)
    module = type(sys)(name)
    module.__file__ = path
    sys.modules[name] = module
    exec(SourceFileLoader(name, path).get_code(name), module.__dict__)
    return module


if __name__ == "__main__":
    _load("_eas_worker", "_worker.py")
    sys.exit(_load("_eas_launch", "_launch.py").main(sys.argv))
