"""What allspark 1.0 uses of the host that has started it, as it did then. It
stands for one in an old environment, and does not change with the host.

It is a program's allspark: run() serves in the way that is named."""
import os
import select
import signal
import socket
import sys
import threading

_wire = sys.modules["_eas_worker"]
_wire.current.frames()


def reply(result):
    body, status = result
    return status, 0, body if isinstance(body, bytes) else str(body).encode()


def failed(error):
    return 400, _wire.EXCEPTION, ("[%s] in processor: %s" % (type(error).__name__, error)).encode()


def start_thread(target, args):
    threading.Thread(target=target, args=args, name="worker-%d" % args[-1], daemon=True).start()


def run(way, process):
    worker = _wire.current
    worker.settings([("rpc.keepalive", "700")])
    if worker.service["model_config"] == "fails":
        worker.failed("no model", "train one")
    _wire.settle()
    globals()["_" + way](worker, process)


def _serve(worker, process):
    try:
        worker.serve(process, reply, failed, int(worker.service.get("threads")), start_thread)
    except KeyboardInterrupt:
        worker.end(130)


def _queue(worker, process):
    worker.open_queue(64)
    while True:
        request = worker.take(0.01) or worker.take()
        rid, body = request
        try:
            status, flags, body = reply(process(body))
        except Exception as e:
            status, flags, body = failed(e)
        worker.give(rid, status, flags, body)
        try:
            worker.give(rid, 200, 0, b"")
            worker.end(9)
        except ValueError:
            pass  # once is enough


def _children(worker, process):
    worker.stop_control()
    ours, theirs = socket.socketpair()
    pid = os.fork()
    if pid == 0:
        ours.close()
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            child = _wire.Worker(theirs)
            _wire.current = child
            child.serve(process, reply, failed, 1, None)
        except SystemExit as e:
            _wire.leave(_wire.exit_status(e))
    theirs.close()
    poll = select.poll()
    poll.register(worker.descriptor, select.POLLIN)
    poll.register(ours, select.POLLIN)
    stream = ours.makefile("rb", 0)
    while True:
        for descriptor, _ in poll.poll():
            if descriptor == worker.descriptor:
                worker.read_once()
            else:
                head = b""
                while len(head) < _wire.HEADER_SIZE:
                    data = stream.read(_wire.HEADER_SIZE - len(head))
                    if not data:
                        worker.end(os.waitpid(pid, 0)[1] >> 8)
                    head += data
                length, kind, flags, status, rid = _wire.HEADER.unpack_from(head)
                payload = b""
                while len(payload) < length:
                    payload += stream.read(length - len(payload))
                if kind == _wire.READY:
                    assert _wire.parse_properties(payload) == {"concurrency": "1"}
                    worker.open_queue(1)
                elif kind == _wire.RESPONSE and flags & _wire.MORE:
                    worker.send(kind, payload, flags, status, rid)
                elif kind == _wire.RESPONSE:
                    worker.give(rid, status, flags, payload)
                elif kind in (_wire.PROPERTIES, _wire.FAILED):
                    worker.send(kind, payload, _wire.OPTIONAL)
        request = worker.take_now()
        if request is not None:
            rid, body = request
            view = memoryview(body)
            while len(view) > _wire.MAX_PAYLOAD:
                ours.sendall(_wire.HEADER.pack(_wire.MAX_PAYLOAD, _wire.REQUEST, _wire.MORE, 0, rid))
                ours.sendall(view[: _wire.MAX_PAYLOAD])
                view = view[_wire.MAX_PAYLOAD:]
            ours.sendall(_wire.HEADER.pack(len(view), _wire.REQUEST, 0, 0, rid) + view)
