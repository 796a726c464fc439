"""Programs that no gateway has started: python app.py, by hand.

run() then replaces the process by a gateway, `eascmd serve`, which starts the
program again as its worker. Where there is no eascmd, a plain gateway in Python
serves from the same process.
"""
import json
import os
import sys

from . import _host
from ._log import info
from ._properties import default_properties

HERE = os.path.dirname(os.path.abspath(__file__))
PORT = 8080


def worker(endpoint):
    """Return a worker whose gateway listens on endpoint. It does not return
    where an eascmd takes the place of this process."""
    address = listen_on(endpoint)
    caller = sys._getframe(1)
    while caller.f_globals.get("__package__") == __package__:
        caller = caller.f_back
    program = _program(caller)
    eascmd = _eascmd() if program else None
    if eascmd:
        _become(eascmd, program, address)
    from . import _gateway

    return _gateway.start(address)


def listen_on(endpoint):
    """Return (address, port) to listen on: those of an endpoint "address:port",
    which the platform overrides."""
    if _host.online():
        return "0.0.0.0", _port(os.environ.get("PAI_SERVING_PORT") or str(PORT), "PAI_SERVING_PORT")
    if isinstance(endpoint, bytes):
        endpoint = endpoint.decode()
    if not endpoint:
        endpoint = default_properties().text("rpc.endpoint") or "0.0.0.0:%d" % PORT
    text = endpoint.strip()
    if "://" in text:
        text = text.partition("://")[2]
    host, colon, port = text.rstrip("/").rpartition(":")
    if not colon and not port.isdigit():
        host, port = port, str(PORT)
    return host.strip("[]") or "0.0.0.0", _port(port, "the endpoint %r" % endpoint)


def _port(text, what):
    if not (text.isdigit() and int(text) < 65536):
        raise ValueError("%s: %r is no port" % (what, text))
    return int(text)


def interrupted(worker):
    """End a program that was told to by Ctrl-C."""
    info("shutting down")
    worker.end(130)


def _program(caller):
    """Return the path of the program where starting it again, in another
    process, leads to this call again; otherwise None."""
    main = sys.modules.get("__main__")
    path = getattr(main, "__file__", None)
    if (
        os.name != "posix"
        or not path
        or not os.path.isfile(path)
        or getattr(main, "__spec__", None) is not None  # python -m
        or caller is None
        or caller.f_globals is not main.__dict__  # a test, for example, has called it
        or sys.gettrace() is not None  # a debugger
        or sys.flags.interactive
    ):
        return None
    return os.path.abspath(path)


def _eascmd():
    """Return the path of the eascmd to serve with, or None."""
    import shutil

    named = os.environ.get("EASCMD")
    if named is not None:
        path = shutil.which(named) if named else None
        if named and path is None:
            raise FileNotFoundError("the variable EASCMD names %s, which is no program" % named)
        return path
    beside = shutil.which("eascmd", path=os.path.dirname(os.path.abspath(sys.executable)))
    path = beside or shutil.which("eascmd")
    return path if path and _serves(path) else None


def _serves(eascmd):
    """Report whether it is one that knows `serve`: the vendor's has the same
    name."""
    import subprocess

    try:
        done = subprocess.run(
            [eascmd, "serve", "--help"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=10,
        )
    except (OSError, subprocess.SubprocessError):
        return False
    return done.returncode == 0 and b"run plan" in done.stdout


def plan(program, address):
    """Return the run plan for a program that was started by hand."""
    import subprocess

    props = default_properties()
    flags = getattr(subprocess, "_args_from_interpreter_flags", list)()
    workspace = props.text("eas.workspace")
    values = dict(props.items())
    name = os.path.splitext(os.path.basename(program))[0]
    content_type = "text/html; charset=utf-8"
    for line in props.text("rpc.http.default_headers").splitlines():
        header, _, value = line.partition(":")
        if header.strip().lower() == "content-type" and value.strip():
            content_type = value.strip()
    values.pop("rpc.token", None)
    values.pop("model_config", None)
    values.pop("model_entry", None)
    return {
        "version": 1,
        "name": "".join(c if c.isalnum() and c.isascii() else "_" for c in name.lower()),
        "language": "python",
        "workspace": workspace,
        "processor": {"dir": os.getcwd(), "entry": program, "modelEntry": ""},
        "worker": {
            "command": [sys.executable] + flags + [os.path.join(HERE, "_launch.py"), program] + sys.argv[1:],
            "env": [{"name": "PYTHONUNBUFFERED", "value": "1"}],
            "count": 1,
            "threads": props.number("rpc.worker_threads", 1),
            "graceMs": 30000,
            "http": True,
        },
        "gateway": {
            "host": address[0],
            "port": address[1],
            "token": props.text("rpc.token"),
            "keepAliveMs": props.number("rpc.keepalive", 1),
            "maxQueueSize": props.number("rpc.max_queue_size"),
            "rateLimit": int(props.text("rpc.rate_limit") or 0),
            "bodyLimit": 128 << 20,
            "bodyMemory": 512 << 20,
            "contentType": content_type,
        },
        "properties": values,
    }


def _become(eascmd, program, address):
    """Replace this process by a gateway that starts the program as its worker.
    The plan, which may hold a token, goes through a pipe."""
    text = json.dumps(plan(program, address)).encode()
    read, write = os.pipe()
    if os.fork() == 0:  # who writes what may not fit into the pipe
        try:
            os.close(read)
            with os.fdopen(write, "wb") as f:
                f.write(text)
        finally:
            os._exit(0)
    os.close(write)
    os.set_inheritable(read, True)
    sys.stdout.flush()
    sys.stderr.flush()
    os.execv(eascmd, [eascmd, "serve", "--plan-fd", str(read)])
