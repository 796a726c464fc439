"""Makes a worker out of a Python program: runs it as Python itself would, with
the gateway's connection open before its first line.

It runs on Python 3.6 and newer, and imports next to nothing: what it imports, the
program finds imported.
"""
import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))


def main(argv):
    """Run the program that argv[1] or the gateway names. Returns the exit status
    where nothing was started."""
    try:
        import faulthandler

        faulthandler.enable()
    except Exception:  # stderr is closed, or a file of the program's own
        pass
    _output_by_line()
    _last_under_memory_pressure()
    worker = _worker_module()
    try:
        connection = worker.connect(os.environ, _describe())
    except (worker.Fault, OSError) as e:
        sys.stderr.write("eashost: no connection to the gateway: %s\n" % e)
        return worker.EXIT_START
    if connection is None:
        sys.stderr.write("eashost: this is the host for Python processors, which `eascmd serve` starts\n")
        return worker.EXIT_START
    worker.current = connection
    os._exit = _flush_first(connection, worker)
    connection.wait_for_start()
    entry = connection.service.get("entry", "")
    if not entry:
        connection.failed("START names no entry", "name the program in processor_entry")
    run(connection, entry, argv[2:])


def _worker_module():
    return sys.modules.get("_eas_worker") or _load("_eas_worker", "_worker.py")


def _load(name, filename):
    """Load a file of ours, without the package around it."""
    from _frozen_importlib_external import SourceFileLoader

    path = os.path.join(HERE, filename)
    module = type(sys)(name)
    module.__file__ = path
    sys.modules[name] = module
    exec(SourceFileLoader(name, path).get_code(name), module.__dict__)
    return module


def _describe():
    """The name of this host, for people."""
    version = "python %d.%d.%d" % sys.version_info[:3]
    return "%s (%s, prefix %s)" % (version, sys.executable or "unknown", sys.prefix)


def _output_by_line():
    """Standard output is a pipe, and yet a line is to be seen when it is
    written. Text that its encoding does not have is no error."""
    for stream in (sys.stdout, sys.stderr):
        try:
            if hasattr(stream, "reconfigure"):
                stream.reconfigure(line_buffering=True, errors="backslashreplace")
        except (OSError, ValueError):
            pass
    if sys.stdout is not None and not hasattr(sys.stdout, "reconfigure"):  # Python 3.6
        import io

        for name in ("stdout", "stderr"):
            stream = io.TextIOWrapper(
                getattr(sys, name).buffer, encoding="utf-8", errors="backslashreplace", line_buffering=True
            )
            setattr(sys, name, stream)
            setattr(sys, "__%s__" % name, stream)


def _last_under_memory_pressure():
    """Have the kernel end this process before the gateway, which explains."""
    try:
        with open("/proc/self/oom_score_adj", "r+b", buffering=0) as f:
            if int(f.read(16)) < 500:
                f.write(b"500")
    except (OSError, ValueError):
        pass


def _flush_first(connection, worker):
    """Return os._exit with answers that were given sent before, and output
    written."""
    pid = os.getpid()

    def _exit(status):
        if os.getpid() == pid:
            connection.end(status)
        worker.exit_now(status)

    return _exit


def run(connection, entry, arguments):
    """Run the program as __main__. Never returns."""
    worker = sys.modules["_eas_worker"]
    sys.argv[:] = [entry] + arguments
    _make_path(os.path.dirname(entry))
    main_module = type(sys)("__main__")
    main_module.__file__ = entry
    main_module.__builtins__ = sys.modules["builtins"]
    main_module.__spec__ = None
    main_module.__cached__ = None
    try:
        code = _compile(entry)
        sys.modules["__main__"] = main_module
        exec(code, main_module.__dict__)
        _wait_for_threads()
    except SystemExit as e:
        status = worker.exit_status(e)
        if status:
            connection.end(status)
        connection.failed(*_ended(entry))
    except BaseException as e:
        connection.failed(*report(e, entry))
    connection.failed(*_ended(entry))


def _make_path(directory):
    """Put the program's directory first, where Python has put ours, and the
    bundled allspark last: one of the environment's own wins."""
    if sys.path and sys.path[0] in (HERE, os.path.dirname(HERE)):
        del sys.path[0]
    sys.path.insert(0, directory)
    sys.path.append(os.path.dirname(HERE))


def _compile(entry):
    """Return the program's code. A program may be what a zip file or a directory
    holds, or bytecode: what Python itself runs."""
    if os.path.isdir(entry):
        entry = os.path.join(entry, "__main__.py")
    with open(entry, "rb") as f:
        source = f.read()
    if entry.endswith(".pyc"):
        import marshal

        return marshal.loads(source[16 if sys.version_info >= (3, 7) else 12:])
    nul = source.find(b"\0")
    if nul >= 0:  # Python up to 3.11 does not say where it is
        line = source.count(b"\n", 0, nul) + 1
        raise SyntaxError("there is a NUL byte in the program", (entry, line, None, None))
    return compile(source, entry, "exec", dont_inherit=True)


def _wait_for_threads():
    """Wait, as Python does at the end of a program, for threads that are no
    daemons: they may be what serves."""
    threading = sys.modules.get("threading")
    if threading is None:
        return
    while True:
        others = [t for t in threading.enumerate() if not t.daemon and t is not threading.current_thread()]
        if not others:
            return
        for thread in others:
            thread.join()


def _ended(entry):
    name = os.path.basename(entry)
    return (
        "%s ended without serving" % name,
        "end it with run() of your BaseProcessor, under `if __name__ == '__main__':`",
    )


def report(error, entry):
    """Print the traceback of an exception that ended the program, without our
    own frames, and return message and hint for FAILED."""
    _strip(error, _ours())
    traceback = error.__traceback__
    try:
        sys.excepthook(type(error), error, traceback)
    except BaseException:  # the program's own hook
        sys.__excepthook__(type(error), error, traceback)
    where = None
    if isinstance(error, SyntaxError) and error.filename:
        where = (error.filename, error.lineno or 1)
        text = error.msg
    else:
        root = os.path.join(os.path.dirname(entry), "")
        while traceback is not None:
            name = traceback.tb_frame.f_code.co_filename
            inside = name.startswith(root) and "site-packages" not in name
            if not name.startswith("<frozen importlib") and (inside or where is None):
                where = (name, traceback.tb_lineno)
            traceback = traceback.tb_next
        text = _text(error)
    message = "%s: %s" % (type(error).__name__, text) if text else type(error).__name__
    if where is not None:
        message = "%s:%d: %s" % (_shorten(where[0], entry), where[1], message)
    try:
        return message, _load("_eas_hints", "_hints.py").hint(error, entry)
    except Exception:  # the program has left little of Python
        return message, ""


def _ours():
    """The directories of this package, and of the one that the program has
    imported where that is the same SDK."""
    directories = [HERE]
    imported = sys.modules.get("allspark._host")
    if getattr(imported, "__file__", None):
        directories.append(os.path.dirname(imported.__file__))
    return tuple(os.path.join(d, "") for d in directories)


def _strip(error, ours):
    """Take frames out of the traceback of an exception and of those that led to
    it."""
    seen = []
    while error is not None and id(error) not in seen:
        seen.append(id(error))
        frames = []
        traceback = error.__traceback__
        while traceback is not None:
            if not traceback.tb_frame.f_code.co_filename.startswith(ours):
                frames.append(traceback)
            traceback = traceback.tb_next
        following = None
        try:
            for frame in reversed(frames):
                frame.tb_next = following
                following = frame
        except AttributeError:  # Python 3.6: all that follow the first
            following = frames[0]
        error.__traceback__ = following
        error = error.__cause__ or error.__context__


def _text(error):
    try:
        return str(error)
    except Exception:
        return "(its text cannot be had)"


def _shorten(path, entry):
    root = os.path.join(os.path.dirname(entry), "")
    return path[len(root):] if path.startswith(root) else path


if __name__ == "__main__":
    sys.exit(main(sys.argv))
