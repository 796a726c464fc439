"""A worker of eascmd's gateway: the worker protocol, version 1.

The launcher loads this file as the module ``_eas_worker``, whatever allspark the
program imports. It imports what is compiled into the interpreter only, because
its import is part of every start, and runs on Python 3.6 and newer.

Who reads the connection
    Handing a request from one thread to another costs more than a small call of
    process(). So the thread that reads requests also answers them: the *leader*.
    Its requests wait in ``_pending``, its answers in ``_answers``, and one system
    call sends what one has read. A *watcher*, the control thread, looks every
    millisecond whether the leader gets on. Where it does not, because a call takes
    its time, the watcher deposes it, shares out the requests that wait, and reads
    the connection itself: then a request goes to whichever thread is free. It
    makes a leader again when calls have become short.

    So PING, DRAIN and end-of-file are always answered by a thread that is in no
    user code: the leader between two batches, or the control thread.

What stays as it is
    The allspark in an environment may be older than the host, or newer, and so
    is a package that was packed last year: it finds this module of the host's and
    uses of it what follows. These names keep their arguments and meaning; others
    may come. tests/test_skew.py and allspark_1_0.py there hold that.

    Worker(connection), current, settle(), leave(status), exit_status(error),
    parse_properties(payload), HEADER, HEADER_SIZE, MAX_PAYLOAD, the types of frames
    and the flags; and of a Worker: service, descriptor, frames(), settings(pairs),
    send(kind, payload, flags, status, rid), failed(message, hint), end(status),
    serve(process, reply, failed, threads, start_thread), open_queue(concurrency),
    take(timeout), give(rid, status, flags, body), and for programs that fork
    stop_control(), read_once() and take_now().
"""
import errno
import os
import sys
from _collections import deque
from _socket import AF_UNIX, SOCK_STREAM
from _socket import socket as Socket
from _struct import Struct
from _thread import allocate_lock, start_new_thread
from select import select
from time import perf_counter, sleep

try:
    from _queue import Empty, SimpleQueue
except ImportError:  # Python 3.6
    from queue import Empty
    from queue import Queue as SimpleQueue

try:
    from _socket import MSG_NOSIGNAL
except ImportError:  # macOS
    MSG_NOSIGNAL = 0

try:
    from _socket import MSG_WAITALL
except ImportError:
    MSG_WAITALL = 0

HELLO, START, READY, FAILED, REQUEST, RESPONSE = 1, 2, 3, 4, 5, 6
CANCEL, PING, PONG, DRAIN, DRAINED, FRAMES, PROPERTIES = 7, 8, 9, 10, 11, 12, 13
MORE, EXCEPTION, OPTIONAL = 0x01, 0x02, 0x80

HEADER = Struct("<IBBHQ")  # length, type, flags, status, id
HEADER_SIZE = 16
MAX_PAYLOAD = 256 << 10
MAX_MESSAGE = (1 << 31) - 1
OUT_OF_RANGE = 65535  # stands for a status that no header can hold

EXIT_START = 2
EXIT_FAULT = 3

_READ = 64 << 10
_LARGE = 64 << 10  # from here on a copy of an answer costs more than a system call of its own
_KEEP = 8 << 20  # once as much was freed, glibc keeps memory of that size: large bodies find it mapped
_SENDMSG = hasattr(Socket, "sendmsg")
_TICK = 0.001  # seconds between two looks of the watcher
_QUIET = 20  # looks without a request before the watcher goes to sleep
_SHORT = 0.0001  # seconds; for a longer call the way between two threads does not count
_WINDOW = 64  # calls by which it is judged whether calls are short


class Fault(Exception):
    """The gateway, or the program, broke the protocol."""


def properties(pairs):
    """Return the payload of a frame that holds properties. A value ends at a
    zero byte, which it cannot hold."""
    return b"".join(
        text.partition("\0")[0].encode("utf-8", "surrogateescape") + b"\0" for pair in pairs for text in pair
    )


def parse_properties(payload):
    """Read a payload of properties."""
    if not payload:
        return {}
    parts = bytes(payload).decode("utf-8", "surrogateescape").split("\0")
    if parts.pop() or len(parts) % 2:
        raise Fault("properties that break off")
    return dict(zip(parts[::2], parts[1::2]))


def _number(text, least, most):
    if not (text.isdigit() and len(text) < 10 and least <= int(text) <= most):
        raise Fault("%r is no number between %d and %d" % (text, least, most))
    return int(text)


def connect(environ, host):
    """Connect to the gateway that started this process, and send HELLO. None
    where no gateway did. The variables that say so are taken away."""
    path = environ.pop("EASCMD_WORKER_SOCKET", None)
    number = environ.pop("EASCMD_WORKER_ID", None)
    key = environ.pop("EASCMD_WORKER_KEY", None)
    crash = environ.pop("EASCMD_CRASH_FD", None)
    if path is None and number is None and key is None:
        return None
    for name, value in (("SOCKET", path), ("ID", number), ("KEY", key)):
        if not value:
            raise Fault("the variable EASCMD_WORKER_%s is missing" % name)
    if crash and crash.isdigit():
        os.set_inheritable(int(crash), False)
    connection = Socket(AF_UNIX, SOCK_STREAM)
    connection.connect(path)
    hello = (
        ("protocol.min", "1"),
        ("protocol.max", "1"),
        ("features", ""),
        ("worker", number),
        ("key", key),
        ("pid", str(os.getpid())),
        ("host", host),
    )
    return Worker(connection, hello)


class Partial:
    """A request of which frames are still to come."""

    __slots__ = ("parts", "size", "cancelled")

    def __init__(self):
        self.parts = []
        self.size = 0
        self.cancelled = False


class Worker:
    """The worker's side of a connection."""

    def __init__(self, connection, hello=()):
        """hello is what HELLO says; without it the greeting is left out, and so
        is START: the gateway is in this program."""
        connection.setblocking(True)  # whatever default timeout the program has set
        self._connection = connection
        self.descriptor = connection.fileno()
        self._process = os.getpid()
        self.started = False  # START has come
        self.ready = False  # READY was sent
        self.speaks_frames = False  # FRAMES was sent
        self.service = {}  # what START says
        self._greeted = False
        self._start_parts = []
        self._draining = False
        self._loaded = allocate_lock()  # free once START has come
        if hello:
            self._loaded.acquire()
        else:
            self._greeted = self.started = True

        self._rest = b""  # the beginning of a frame whose end is still to come
        self._partial = {}
        self._pending = deque()  # (id, body): requests that no thread has begun
        self._answers = []  # frames to be sent
        self._sending = allocate_lock()

        self._reading = allocate_lock()
        self._leader = None
        self._batch = 0
        self._asleep = False  # the watcher
        self._wake = SimpleQueue()
        self._tickets = SimpleQueue()  # None for each request that any thread may take, or a leader's token
        self._busy = set()  # threads that are at a request
        self._taken = set()  # ids of requests that the program has taken and not answered
        self._calm = True
        self._short = self._long = 0
        self._concurrency = 1

        self._forgotten = False
        self._stopping = False
        self._stopped = allocate_lock()
        self._stop_in, self._stop_out = os.pipe()

        if hello:
            self.send(HELLO, properties(hello))
        _after_fork(self)
        self.start_control()

    # Sending

    def send(self, kind, payload=b"", flags=0, status=0, rid=0):
        """Send a frame."""
        self._answers.append(HEADER.pack(len(payload), kind, flags, status, rid) + payload)
        self._flush()

    def _flush(self):
        """Send what waits to be sent, or leave it to the thread that is sending:
        it looks again when it has done."""
        answers = self._answers
        while answers and self._sending.acquire(False):
            try:
                self._flush_locked()
            finally:
                self._sending.release()

    def _flush_locked(self, more=()):
        # Others append meanwhile; only who holds the lock takes away.
        answers = self._answers
        n = len(answers)
        if n == 1:
            data = answers[0]
        else:
            data = b"".join(answers[:n])
        del answers[:n]
        parts = (data,) + more
        try:
            if more and _SENDMSG:  # one system call
                sent = self._connection.sendmsg(parts, (), MSG_NOSIGNAL)
            else:
                sent = self._connection.send(data, MSG_NOSIGNAL) if data else 0
            for part in parts:
                while sent < len(part):
                    part = memoryview(part)[sent:]
                    sent = self._connection.send(part, MSG_NOSIGNAL)
                sent -= len(part)
        except OSError as e:
            self._lost(e)

    def flush_soon(self):
        """Send what waits, where no other thread hangs in sending."""
        if self._sending.acquire(True, 1):
            self._flush_locked()
            self._sending.release()

    def answer(self, rid, status, flags, body):
        """Answer a request, from any thread."""
        if len(body) < _LARGE:
            self._answers.append(HEADER.pack(len(body), RESPONSE, flags, status, rid) + body)
        else:
            view = memoryview(body)
            while len(view) > MAX_PAYLOAD:
                with self._sending:  # and small answers leave together with each frame
                    self._flush_locked((HEADER.pack(MAX_PAYLOAD, RESPONSE, flags | MORE, status, rid), view[:MAX_PAYLOAD]))
                view = view[MAX_PAYLOAD:]
            with self._sending:
                self._flush_locked((HEADER.pack(len(view), RESPONSE, flags, status, rid), view))
        self._flush()

    def settings(self, pairs):
        """Tell the gateway properties that the program has set. None that it
        knows has a value that is too long for a frame."""
        payload = properties(pairs)
        if len(payload) <= MAX_PAYLOAD:
            self.send(PROPERTIES, payload, OPTIONAL)

    def frames(self):
        """Tell the gateway, once, that this program answers frames."""
        if not self.speaks_frames:
            self.speaks_frames = True
            self.send(FRAMES, b"", OPTIONAL)

    def failed(self, message, hint=""):
        """Tell the gateway that the program cannot be loaded, and end."""
        if self.ready:  # too late for that
            sys.stderr.write("eashost: %s\n" % message)
            self.end(1)
        message = message if len(message) < 8192 else message[:8192] + "..."
        self.send(FAILED, properties((("state", "0"), ("message", message), ("hint", hint))))
        self.end(1)

    # Ends

    def end(self, status):
        """End the process, with what was answered sent and what was printed
        written. Exit handlers and destructors do not run: they could hang."""
        self.flush_soon()
        leave(status)

    def _fault(self, text):
        sys.stderr.write("eashost: the worker protocol was broken: %s\n" % text)
        _flush_output()
        exit_now(EXIT_FAULT)

    def _lost(self, error):
        """Reading or writing failed."""
        if error.errno in (errno.EPIPE, errno.ECONNRESET, errno.ESHUTDOWN, errno.ENOTCONN):
            self._end_of_file()
        sys.stderr.write("eashost: the processor closed the descriptor of the gateway (number %d)\n" % self.descriptor)
        _flush_output()
        exit_now(EXIT_FAULT)

    def _end_of_file(self):
        """The gateway is gone: so is this process, with what it started where
        it leads a group."""
        if os.getpgid(0) == self._process:
            os.killpg(0, 9)
        exit_now(0)

    # Reading

    def _read(self):
        """Read once, and return how many whole requests that brought."""
        rest = self._rest
        if len(rest) >= HEADER_SIZE:
            length, kind, flags, _, rid = HEADER.unpack_from(rest)
            if kind == REQUEST and HEADER_SIZE + length > _READ:
                return self._read_large(length, flags, rid, rest)
        try:
            data = self._connection.recv(_READ)
        except OSError as e:
            self._lost(e)
        if not data:
            self._end_of_file()
        return self._parse(rest + data if rest else data)

    def _read_large(self, length, flags, rid, rest):
        """Read the end of a large REQUEST, where it is to lie, and return how
        many whole requests that brought. Nothing waits behind it: what came
        before has been handed out."""
        self._rest = b""
        begun = memoryview(rest)[HEADER_SIZE:]
        parts = [begun] if begun else []
        missing = length - len(begun)
        try:
            self._receive(missing, parts)
            count = self._request(flags, rid, *parts)
            if flags & MORE:
                # With the next header alone, its payload can be read in one piece.
                parts = []
                self._receive(HEADER_SIZE, parts)
                count += self._parse(b"".join(parts))
        except Fault as e:
            self._fault(str(e))
        return count

    def _receive(self, missing, parts):
        """Append the next bytes of the connection to parts."""
        while missing:
            try:
                data = self._connection.recv(missing, MSG_WAITALL)
            except OSError as e:
                self._lost(e)
            if not data:
                self._end_of_file()
            parts.append(data)
            missing -= len(data)

    def _parse(self, data):
        """Take frames apart. Whole requests go to the end of _pending."""
        unpack, append = HEADER.unpack_from, self._pending.append
        partial = self._partial
        plain = self.ready and not self._draining  # what a whole REQUEST is usually
        pos, end, count = 0, len(data), 0
        while end - pos >= HEADER_SIZE:
            length, kind, flags, _, rid = unpack(data, pos)
            if length > MAX_PAYLOAD:
                self._fault("a frame of %d bytes" % length)
            after = pos + HEADER_SIZE + length
            if after > end:
                break
            if plain and kind == REQUEST and not flags & MORE and rid and rid not in partial:
                append((rid, data[pos + HEADER_SIZE:after]))
                count += 1
            else:
                try:
                    count += self._frame(kind, flags, rid, data[pos + HEADER_SIZE:after])
                except Fault as e:
                    self._fault(str(e))
                plain = self.ready and not self._draining
            pos = after
        self._rest = data[pos:]
        if count > 1 and len(self._pending) > 2 * self._concurrency + 1024:
            self._fault("%d requests at the same time" % len(self._pending))
        return count

    def _frame(self, kind, flags, rid, payload):
        """Take a frame that is not a whole request, and return how many
        requests it completes."""
        if not self._greeted and kind != HELLO and HELLO <= kind <= PROPERTIES:
            raise Fault("a frame of type %d before HELLO" % kind)
        if kind == PING:
            self.send(PONG, payload, 0, 0, rid)
        elif kind == REQUEST:
            return self._request(flags, rid, payload)
        elif kind == CANCEL:
            self._cancel(rid)
        elif kind == DRAIN:
            if not self.ready:
                self._end_before_ready()
            self._draining = True
            self._check_drained()
        elif kind == HELLO:
            if self._greeted:
                raise Fault("a second HELLO")
            _number(parse_properties(payload).get("protocol", ""), 1, 1)
            self._greeted = True
        elif kind == START:
            if not self._greeted or self.started:
                raise Fault("START at the wrong time")
            self._start_parts.append(payload)
            if sum(map(len, self._start_parts)) > MAX_MESSAGE:
                raise Fault("a message that does not end")
            if not flags & MORE:
                service = parse_properties(b"".join(self._start_parts))
                _number(service.get("threads", "1"), 1, 65535)
                self._start_parts = []
                self.service = service
                self.started = True
                self._loaded.release()
        elif HELLO <= kind <= PROPERTIES or not flags & OPTIONAL:
            raise Fault("a frame of type %d, which does not come here" % kind)
        return 0

    def _request(self, flags, rid, *payload):
        partial = self._partial.get(rid)
        if not self.ready or not rid or self._draining and partial is None:
            raise Fault("REQUEST at the wrong time")
        if partial is None:
            partial = self._partial[rid] = Partial()
        partial.size += sum(map(len, payload))
        if partial.size > MAX_MESSAGE:
            raise Fault("a message that does not end")
        if not partial.cancelled:
            partial.parts += payload
        if flags & MORE:
            return 0
        body = b"".join(partial.parts)
        if partial.cancelled:
            del self._partial[rid]
            self.send(RESPONSE, b"", 0, 499, rid)
            self._check_drained()
            return 0
        self._pending.append((rid, body))
        del self._partial[rid]
        return 1

    def _cancel(self, rid):
        partial = self._partial.get(rid)
        if partial is not None:
            partial.cancelled = True
            partial.parts = []
            return
        for request in list(self._pending):
            if request[0] == rid:
                try:
                    self._pending.remove(request)
                except ValueError:
                    return  # a thread has just begun it
                self.send(RESPONSE, b"", 0, 499, rid)
                self._check_drained()
                return

    def _end_before_ready(self):
        if not self.speaks_frames:
            _ask_to_end()  # a program that serves HTTP itself may have something to finish
        self.send(DRAINED)
        self.end(0)

    def _check_drained(self):
        """End where a drain has nothing more to wait for."""
        if self._draining and not (self._busy or self._taken or self._pending or self._partial):
            self.send(DRAINED)
            self.end(0)

    # The control thread

    def start_control(self):
        """Start the control thread."""
        self._stopping = False
        self._stopped.acquire()
        start_new_thread(self._control, ())

    def stop_control(self):
        """Stop the control thread, before READY: no thread of ours is left, so
        that the process can fork."""
        self._stopping = True
        os.write(self._stop_out, b"x")
        self._stopped.acquire()
        self._stopped.release()
        os.read(self._stop_in, 1)

    def _control(self):
        wait_for = [self._connection, self._stop_in]
        while True:
            try:
                readable = select(wait_for, (), ())[0]
            except (OSError, ValueError) as e:
                self._lost(OSError(errno.EBADF, str(e)))
            if self._stopping:
                self._stopped.release()
                return
            if not readable:
                continue
            if self.ready and self._calm and self._leads and not self._busy and not self._pending:
                self._watch()
            else:
                for _ in range(self._read()):
                    self._tickets.put(None)

    def _watch(self):
        """Make a leader, and return when it was deposed: then this thread reads."""
        token = object()
        self._leader = token
        self._tickets.put(token)
        last, quiet = -1, 0
        reading = self._reading
        while True:
            sleep(_TICK)
            if self._answers:
                self._flush()
            batch = self._batch
            if batch != last:
                last, quiet = batch, 0
            elif reading.acquire(False):
                # It does not read, and has begun no batch since the last look:
                # it is in a call.
                self._leader = None
                reading.release()
                self._calm = False
                self._short = self._long = 0
                for _ in range(len(self._pending)):
                    self._tickets.put(None)
                return
            else:
                quiet += 1
                if quiet >= _QUIET:
                    self._asleep = True
                    if self._batch == last:
                        self._wake.get()
                    self._asleep = False

    # Threads that call process

    def serve(self, process, reply, failed, threads, start_thread):
        """Answer requests for ever on so many threads, this one among them.
        start_thread starts one more. process takes a body; where what it
        returns is not (bytes, small number), reply(result) turns it into
        (status, flags, bytes), and failed() does so with an exception."""
        self._concurrency = threads
        self._leads = True
        for n in range(1, threads):
            start_thread(self._work, (process, reply, failed, n))
        self._become_ready(threads)
        self._work(process, reply, failed, 0)

    _leads = False

    def _become_ready(self, concurrency):
        self.frames()
        bytes(_KEEP)
        self._concurrency = concurrency
        self.ready = True
        self.send(READY, properties((("concurrency", str(concurrency)),)))

    def _work(self, process, reply, failed, me):
        tickets, pending, busy = self._tickets, self._pending, self._busy
        while True:
            ticket = tickets.get()
            if ticket is not None:
                self._lead(process, reply, failed, me, ticket)
                continue
            busy.add(me)
            try:
                rid, body = pending.popleft()
            except IndexError:  # cancelled
                busy.discard(me)
                continue
            began = perf_counter()
            try:
                result = process(body)
                status, flags, body = reply(result)
            except BaseException:
                status, flags, body = self._raised(failed)
            took = perf_counter() - began
            self.answer(rid, status, flags, body)
            result = body = None  # it may be large
            busy.discard(me)
            self._judge(took)
            if self._draining:
                self._check_drained()

    def _judge(self, took):
        """Count a call, and decide after some of them whether calls are short."""
        if took <= _SHORT:
            self._short += 1
        else:
            self._long += 1
        if self._short + self._long >= _WINDOW:
            self._calm = self._long * 8 <= self._short
            self._short = self._long = 0

    def _lead(self, process, reply, failed, me, token):
        """Read and answer until deposed."""
        reading, busy, pending, answers = self._reading, self._busy, self._pending, self._answers
        take, append, pack = pending.popleft, answers.append, HEADER.pack
        while True:
            reading.acquire()
            if self._leader is not token:
                reading.release()
                return
            self._read()
            self._batch += 1
            busy.add(me)
            reading.release()
            if self._asleep:
                self._asleep = False
                self._wake.put(None)
            try:
                while pending:
                    rid, body = take()
                    try:
                        result = process(body)
                        if type(result) is tuple and len(result) == 2:
                            body, status = result
                            if type(body) is bytes and type(status) is int and 0 <= status < 65535 and len(body) < 65536:
                                append(pack(len(body), 6, 0, status, rid) + body)
                                continue
                        status, flags, body = reply(result)
                    except BaseException:
                        status, flags, body = self._raised(failed)
                    self.answer(rid, status, flags, body)
            except IndexError:  # another thread took the last one
                pass
            result = body = None
            busy.discard(me)
            if answers:
                self._flush()
            if self._draining:
                self._check_drained()

    def _raised(self, failed):
        """Turn the exception that process raised into an answer, or end."""
        error = sys.exc_info()[1]
        if isinstance(error, (SystemExit, KeyboardInterrupt)):
            self.end(exit_status(error))
        return failed(error)

    # Requests that the program takes itself

    def open_queue(self, concurrency):
        """Say READY for a program that takes its requests with take()."""
        self._become_ready(concurrency)

    def take(self, timeout=None):
        """Wait for a request and return (id, body); None where the time is
        over. It must be answered with give()."""
        me = object()
        while True:
            try:
                self._tickets.get(True, timeout)
            except Empty:
                return None
            self._busy.add(me)
            try:
                request = self._pending.popleft()
                self._taken.add(request[0])
                return request
            except IndexError:  # cancelled
                continue
            finally:
                self._busy.discard(me)

    def read_once(self):
        """Read, for a program that waits for the connection itself, with no
        control thread."""
        self._read()

    def take_now(self):
        """Return (id, body) of a request, or None where there is none."""
        if not self._pending:
            return None
        request = self._pending.popleft()
        self._taken.add(request[0])
        return request

    def give(self, rid, status, flags, body):
        """Answer a request that take() returned, once."""
        me = object()
        self._busy.add(me)
        try:
            self._taken.remove(rid)
            self.answer(rid, status, flags, body)
        except KeyError:
            raise ValueError("there is no request %r to be answered; has it been?" % (rid,)) from None
        finally:
            self._busy.discard(me)
        if self._draining:
            self._check_drained()

    def wait_for_start(self):
        """Wait until the gateway has said what is to be loaded."""
        self._loaded.acquire()
        self._loaded.release()

    def _forget(self):
        """In a forked child: the connection stays with the parent."""
        if self._forgotten:
            return
        self._forgotten = True
        try:
            self._connection.close()
            os.close(self._stop_in)
            os.close(self._stop_out)
        except OSError:
            pass
        self._answers = []
        if sys.modules["_eas_worker"].current is self:
            sys.modules["_eas_worker"].current = None


def settle():
    """Have the collector of garbage leave alone what was loaded: the model is
    not gone through again and again."""
    import gc

    gc.collect()
    if hasattr(gc, "freeze"):
        gc.freeze()


current = None  # the worker that this process is

exit_now = os._exit  # the launcher puts another in its place


def leave(status):
    """End the process at once, without exit handlers and destructors."""
    _flush_output()
    exit_now(status)


def exit_status(error):
    """The status with which a process ends for an exception."""
    if not isinstance(error, SystemExit):
        return 130
    code = error.code
    if code is None:
        return 0
    if isinstance(code, int):
        return code & 0xFF
    sys.stderr.write("%s\n" % (code,))
    return 1


def _flush_output():
    """Write what is buffered. A thread that hangs may hold a buffer's lock, so
    this does not wait for ever."""
    done = allocate_lock()
    done.acquire()

    def flush():
        for stream in (sys.stdout, sys.stderr):
            try:
                stream.flush()
            except Exception:
                pass
        done.release()

    start_new_thread(flush, ())
    done.acquire(True, 1)


def _ask_to_end():
    """Send SIGTERM to this process where the program handles it, and give it a
    moment."""
    import signal

    if callable(signal.getsignal(signal.SIGTERM)):
        os.kill(os.getpid(), signal.SIGTERM)
        sleep(5)


def _after_fork(worker):
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=worker._forget)
