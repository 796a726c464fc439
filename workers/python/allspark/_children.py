"""Processors in several processes: the parent passes requests on to children,
which run initialize and process.

A child is to the parent what a worker is to the gateway: they speak the worker
protocol, without its greeting, over a pair of sockets.
"""
import os
import select
import signal
import socket
import sys

from . import _host
from ._log import error, info

_wire = _host.module()


class Child(object):
    """A child process, as its parent sees it."""

    def __init__(self, pid, connection):
        self.pid = pid
        self.connection = connection
        self.ready = False
        self.failure = None  # what FAILED said
        self.request = 0  # the id of what it is working on
        self.rest = b""


def serve(processor, worker, count):
    """Serve with so many children. Never returns."""
    if not hasattr(os, "fork"):
        raise RuntimeError("worker_processes=%d: this system cannot fork processes" % count)
    # No thread of ours may run when the process is copied: its locks would be
    # copied as they are.
    worker.stop_control()
    sys.stdout.flush()
    sys.stderr.flush()
    children = []
    for _ in range(count):
        ours, theirs = socket.socketpair()
        pid = os.fork()
        if pid == 0:
            for child in children:
                child.connection.close()
            ours.close()
            _be_child(processor, theirs, worker.service)
        theirs.close()
        ours.setblocking(True)  # whatever default timeout the program has set
        children.append(Child(pid, ours))
    try:
        Parent(worker, children).run()
    except BaseException:
        kill(children)
        raise


def _be_child(processor, connection, service):
    """Answer the parent's requests. Never returns."""
    status = 1
    try:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides
        worker = _wire.Worker(connection)
        worker.service = service
        _wire.current = worker
        processor.initialize()
        _wire.settle()
        rules = processor._eas_rules()
        worker.serve(processor.process, rules.reply, rules.failed, 1, None)
    except SystemExit as e:
        status = _wire.exit_status(e)
    except BaseException as e:
        from . import _launch

        main = getattr(sys.modules.get("__main__"), "__file__", None) or ""
        message, hint = _launch.report(e, os.path.abspath(main))
        try:
            worker.failed(message, hint)
        except Exception:
            pass
    sys.stdout.flush()
    sys.stderr.flush()
    _wire.leave(status)


def kill(children):
    for child in children:
        try:
            os.kill(child.pid, signal.SIGKILL)
        except OSError:
            pass


class Parent(object):
    """Passes requests on, each child one at a time, so that none waits behind a
    slow one while another child is free."""

    def __init__(self, worker, children):
        self._worker = worker
        self._children = children
        self._by_request = {}
        self._ready = False

    def run(self):
        worker, children = self._worker, self._children
        poll = select.poll()
        by_descriptor = {}
        gateway = worker.descriptor
        poll.register(gateway, select.POLLIN)
        for child in children:
            by_descriptor[child.connection.fileno()] = child
            poll.register(child.connection, select.POLLIN)
        while True:
            for descriptor, _ in poll.poll():
                child = by_descriptor.get(descriptor)
                if child is not None:
                    self._from_child(child)
                else:
                    worker.read_once()
            self._share_out()

    def _share_out(self):
        for child in self._children:
            if child.request == 0 and self._ready:
                request = self._worker.take_now()
                if request is None:
                    return
                child.request, body = request
                _send(child.connection, child.request, body)

    def _from_child(self, child):
        try:
            data = child.connection.recv(256 << 10)
        except OSError:
            data = b""
        if not data:
            self._ended(child)
        data = child.rest + data if child.rest else data
        pos, size = 0, _wire.HEADER_SIZE
        while len(data) - pos >= size:
            length, kind, flags, status, rid = _wire.HEADER.unpack_from(data, pos)
            if len(data) - pos < size + length:
                break
            self._frame(child, kind, flags, status, rid, data[pos + size:pos + size + length])
            pos += size + length
        child.rest = data[pos:]

    def _frame(self, child, kind, flags, status, rid, payload):
        worker = self._worker
        if kind == _wire.RESPONSE:
            if flags & _wire.MORE:
                worker.send(kind, payload, flags, status, rid)
                return
            child.request = 0
            worker.give(rid, status, flags, payload)
        elif kind == _wire.PROPERTIES:
            worker.send(kind, payload, _wire.OPTIONAL)
        elif kind == _wire.FAILED:
            child.failure = _wire.parse_properties(payload)
        elif kind == _wire.READY:
            child.ready = True
            if all(c.ready for c in self._children):
                info("all subprocesses have finished initialization")
                self._ready = True
                worker.open_queue(len(self._children))

    def _ended(self, child):
        """End with a child, as it did."""
        _, status = os.waitpid(child.pid, 0)
        code = -os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)
        error("subprocess %d %s %d" % (child.pid, "exited with status code" if self._ready else "exits with status", code))
        kill(self._children)
        failure = child.failure
        if failure and not self._ready:
            self._worker.failed(failure.get("message", ""), failure.get("hint", ""))
        self._worker.end(code & 0xFF)


def _send(connection, rid, body):
    view = memoryview(body)
    while len(view) > _wire.MAX_PAYLOAD:
        connection.sendall(_wire.HEADER.pack(_wire.MAX_PAYLOAD, _wire.REQUEST, _wire.MORE, 0, rid))
        connection.sendall(view[: _wire.MAX_PAYLOAD])
        view = view[_wire.MAX_PAYLOAD:]
    connection.sendall(_wire.HEADER.pack(len(view), _wire.REQUEST, 0, 0, rid) + view)
