/*
 * eashost: the host for C and C++ processors.
 *
 * It loads a processor's shared object, calls its initialize() once and its
 * process() for every request that the gateway sends over a Unix socket, as
 * docs/worker-protocol.md specifies. One file, C11 with GNU extensions, no
 * dependencies but libc, libdl and libpthread:
 *
 *     cc -std=gnu11 -O2 -pthread -rdynamic -o eashost eashost.c -ldl
 *
 * Threads. START says how many threads call process(); the first is the main
 * thread, which has also called initialize(). One of them, the leader, reads
 * the socket, and calls process() itself for what it has read, so that a
 * request wakes one thread and costs no hand-over. Where process() is slow the
 * leader first passes the lead to an idle thread; where it is unexpectedly
 * slow, the control thread takes the lead away from it after a tick of 1 ms.
 * The control thread runs no user code. While every other thread is in user
 * code it reads the socket, so that PING and DRAIN are answered whatever the
 * processor does, and it ends the process when the gateway has gone.
 *
 * Locks. `lead.lock` guards who leads, the idle threads and the pending
 * requests; whoever leads owns the input buffer. `out.lock` guards the output
 * buffers; it is never held while `lead.lock` is taken.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <dlfcn.h>
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>
#include <unwind.h>

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define LEAKS_CHECKED 1
#elif __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#endif
#ifdef __SANITIZE_ADDRESS__
#define LEAKS_CHECKED 1
#elif defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#endif
#ifndef LEAKS_CHECKED
#define LEAKS_CHECKED 0
#endif
#if LEAKS_CHECKED
#include <sanitizer/lsan_interface.h>
#endif
#ifndef SANITIZED
#define SANITIZED LEAKS_CHECKED
#endif

#define HOST_NAME "eashost-cpp"
#define PROTOCOL_MIN 1
#define PROTOCOL_MAX 1

/* Exit statuses of a worker. */
enum { EXIT_GONE = 0, EXIT_FAILED = 1, EXIT_USAGE = 2, EXIT_PROTOCOL = 3 };

enum { HEADER = 16, MAX_PAYLOAD = 256 << 10, MAX_THREADS = 4096 };
#define MAX_MESSAGE ((size_t)INT_MAX)

enum type { HELLO = 1, START, READY, FAILED, REQUEST, RESPONSE, CANCEL, PING, PONG, DRAIN, DRAINED };
enum { FLAG_MORE = 0x01, FLAG_EXCEPTION = 0x02, FLAG_OPTIONAL = 0x80 };

enum {
	INPUT_SIZE = 512 << 10,  /* room for a whole frame behind the rest of another */
	SMALL_ANSWER = 32 << 10, /* up to here an answer is copied into the output buffer */
	FLUSH_BYTES = 64 << 10,  /* a batch of answers goes out at this size ... */
	FLUSH_NS = 100 * 1000,   /* ... or this age */
	OUTPUT_HIGH = 1 << 20,   /* above it threads wait for the one that sends */
	SLOW_NS = 20 * 1000,     /* a process() that takes longer gets the lead passed on first */
	TICK_MS = 1,             /* how often the control thread looks at a busy leader */
	QUIET_TICKS = 20,        /* ticks without a request after which it stops looking */
	LEAVE_SECONDS = 2,       /* how long stdio may take to flush at the end */
	EXTRA_REQUESTS = 64,     /* beyond twice the concurrency: more is the gateway's fault */
};

typedef void *initialize_fn(const char *model_entry, const char *model_config, int *state);
typedef int process_fn(void *model_buf, const void *input_data, int input_size, void **output_data, int *output_size);

struct frame {
	uint32_t length;
	uint8_t type;
	uint8_t flags;
	uint64_t id;
	const uint8_t *payload;
};

/* A complete request. Its data is malloc'ed where `owned`, otherwise it lies in
 * the scratch memory of the thread that took it. */
struct request {
	uint64_t id;
	uint8_t *data;
	size_t size;
	bool owned;
	struct request *next;
};

/* A message of which only some frames have come. */
struct partial {
	uint64_t id;
	uint8_t *data;
	size_t size, cap;
	bool cancelled;
	bool failed; /* there was no memory for it */
	struct partial *next;
};

/* Where a thread that may call process() is. */
enum place {
	AWAY,    /* does not lead */
	LEADING, /* leads and runs our code */
	INLINE,  /* leads and is inside process(): the lead may be taken away */
};

struct thread {
	_Atomic int place;
	_Atomic uint32_t calls;   /* inline calls so far: tells one from the next */
	_Atomic uint64_t request; /* id of the request that process() works on, 0 for none */
	pthread_cond_t wake;      /* with lead.lock: `promoted` */
	bool promoted;
	struct thread *next_idle;
	uint8_t *scratch; /* MAX_PAYLOAD and a little, for requests of one frame */
} __attribute__((aligned(64)));

/* States of the connection, in their order. */
enum state { WANT_HELLO, WANT_START, LOADING, RUNNING, DRAINING, FINISHED };

static struct {
	int sock;
	int kick; /* eventfd that wakes the control thread */
	const char *id, *key;
	const char *service, *entry, *model_entry, *model_config;
	int threads;
	_Atomic(void *) library; /* set when initialize() has returned */
	void *model;
	process_fn *process;
	_Atomic int state;
	_Atomic bool leaving;       /* the process is on its way out by itself */
	_Atomic bool control_sleeps; /* a leader that goes INLINE must kick the control thread */
	_Atomic int64_t usual_ns;   /* a smoothed duration of process() */
	struct thread *pool;
} host = {.sock = -1, .kick = -1, .usual_ns = 4 * SLOW_NS};

/* The lead. */
static struct {
	pthread_mutex_t lock;
	pthread_cond_t started;          /* START has come */
	_Atomic(struct thread *) leader; /* NULL: the control thread reads */
	struct thread *idle;             /* threads that wait for the lead, the latest first */
	struct request *pending, **pending_end;
	int npending;
	int active; /* threads that are inside process() without leading */
} lead = {.lock = PTHREAD_MUTEX_INITIALIZER, .started = PTHREAD_COND_INITIALIZER, .pending_end = &lead.pending};

/* The input, owned by whoever leads. */
static struct {
	uint8_t *buf;
	size_t start, end;
	struct partial *partials;
	_Atomic int npartials; /* read by any thread that looks for the end of a drain */
} in;

/* The output. */
static struct {
	pthread_mutex_t lock;
	pthread_cond_t changed; /* `sending`, `turn` or the fill level */
	struct {
		uint8_t *p;
		size_t len, cap;
	} buf[2];     /* buf[now] is filled while the other one is sent */
	int now;
	bool sending; /* a thread is in send(); it takes along what the others append */
	int waiters;
	uint64_t turn, next_turn; /* large answers take turns, a frame each */
} out = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

/* ---- the end ---------------------------------------------------------- */

static _Noreturn void protocol_error(const char *format, ...)
{
	va_list args;
	char text[256];

	va_start(args, format);
	vsnprintf(text, sizeof text, format, args);
	va_end(args);
	dprintf(STDERR_FILENO, HOST_NAME ": the gateway broke the protocol: %s\n", text);
	_exit(EXIT_PROTOCOL);
}

static _Atomic int leave_status;
static __thread bool this_thread_leaves;

static void leave_now(int sig)
{
	(void)sig;
	_exit(leave_status);
}

/* std::cout has a buffer of its own after sync_with_stdio(false), and no lock: a drain that
 * cuts initialize() short leaves it alone. Its memory is there with every libstdc++, but up
 * to GCC 12 only a program that includes <iostream> constructs it: until then it has no
 * table of virtual functions. */
static void flush_cout(void)
{
	void *library = atomic_load(&host.library);
	void *cout = library ? dlsym(library, "_ZSt4cout") : NULL;
	void *flush = cout ? dlsym(library, "_ZNSo5flushEv") : NULL;

	if (flush && *(void *const *)cout)
		((void *(*)(void *))(uintptr_t)flush)(cout);
}

/* Ends the process after the output of stdio. Destructors of the processor do not
 * run: they race with its threads, and a crash in one would turn a clean end into
 * a death. An alarm ends it where a thread sits on the lock of a stream. */
static _Noreturn void leave(void)
{
	struct sigaction sa;
	sigset_t set;

	memset(&sa, 0, sizeof sa);
	sa.sa_handler = leave_now;
	sigaction(SIGALRM, &sa, NULL);
	sigemptyset(&set);
	sigaddset(&set, SIGALRM);
	pthread_sigmask(SIG_UNBLOCK, &set, NULL);
	alarm(LEAVE_SECONDS);
	flush_cout();
	fflush(NULL);
#if LEAKS_CHECKED
	__lsan_do_leak_check(); /* without exit(), which would run the destructors */
#endif
	_exit(leave_status);
}

/* The calling thread will end the process with leave(); until then the end of the
 * connection, which the gateway may close first, is left to it. */
static void will_leave(int status)
{
	leave_status = status;
	this_thread_leaves = true;
	atomic_store(&host.leaving, true);
}

/* The gateway has gone, so nobody waits for anything: end at once, with all that
 * this worker started, whatever user code does. */
static _Noreturn void gateway_gone(void)
{
	if (this_thread_leaves)
		leave();
	if (atomic_load(&host.leaving)) {
		struct timespec t = {.tv_sec = LEAVE_SECONDS};
		while (nanosleep(&t, &t) != 0 && errno == EINTR)
			;
	}
	if (getpgrp() == getpid())
		kill(0, SIGKILL);
	_exit(EXIT_GONE);
}

/* The processor closed what is not its own. What it started the gateway ends; a kill of the
 * process group from here would hide the exit status, and with it that something is wrong. */
static _Noreturn void descriptor_closed(const char *whose, int fd)
{
	static _Atomic bool said;

	while (atomic_exchange(&said, true)) /* another thread is about to say it */
		pause();
	dprintf(STDERR_FILENO, "eashost: the processor closed the descriptor of the %s (number %d)\n", whose, fd);
	_exit(EXIT_PROTOCOL);
}

/* A system call on the connection failed. */
static _Noreturn void connection_failed(void)
{
	/* A child that the processor forked has no connection, and nothing to say. */
	if (host.sock >= 0 && (errno == EBADF || errno == ENOTSOCK))
		descriptor_closed("gateway", host.sock);
	gateway_gone();
}

/* ---- output ----------------------------------------------------------- */

static void put_header(uint8_t *p, uint32_t length, int type, int flags, unsigned status, uint64_t id)
{
	uint64_t first = htole64(length | (uint64_t)type << 32 | (uint64_t)flags << 40 | (uint64_t)status << 48);

	id = htole64(id);
	memcpy(p, &first, sizeof first);
	memcpy(p + 8, &id, sizeof id);
}

/* Returns false where memory that is to be sent is not there. */
static bool send_all(struct iovec *iov, int n)
{
	while (n > 0) {
		struct msghdr msg = {.msg_iov = iov, .msg_iovlen = (size_t)n};
		ssize_t sent = n == 1 ? send(host.sock, iov->iov_base, iov->iov_len, MSG_NOSIGNAL) : sendmsg(host.sock, &msg, MSG_NOSIGNAL);
		if (sent < 0) {
			if (errno == EINTR)
				continue;
			if (errno == EFAULT)
				return false;
			connection_failed();
		}
		while (n > 0 && (size_t)sent >= iov->iov_len) {
			sent -= (ssize_t)iov->iov_len;
			iov++;
			n--;
		}
		if (n > 0) {
			iov->iov_base = (uint8_t *)iov->iov_base + sent;
			iov->iov_len -= (size_t)sent;
		}
	}
	return true;
}

static void out_wait(void)
{
	out.waiters++;
	pthread_cond_wait(&out.changed, &out.lock);
	out.waiters--;
}

static void out_wake(void)
{
	if (out.waiters > 0)
		pthread_cond_broadcast(&out.changed);
}

/* Appends a frame to the output buffer and returns the buffer's length. The control
 * thread never waits for room. */
static size_t out_frame(int type, int flags, unsigned status, uint64_t id, const void *payload, size_t n, bool wait)
{
	pthread_mutex_lock(&out.lock);
	while (wait && out.sending && out.buf[out.now].len > OUTPUT_HIGH)
		out_wait();
	size_t len = out.buf[out.now].len, need = len + HEADER + n;
	if (need > out.buf[out.now].cap) {
		size_t cap = out.buf[out.now].cap ? out.buf[out.now].cap : FLUSH_BYTES + SMALL_ANSWER + HEADER;
		while (cap < need)
			cap *= 2;
		uint8_t *p = realloc(out.buf[out.now].p, cap);
		if (!p) {
			dprintf(STDERR_FILENO, HOST_NAME ": out of memory for an answer\n");
			abort();
		}
		out.buf[out.now].p = p;
		out.buf[out.now].cap = cap;
	}
	put_header(out.buf[out.now].p + len, (uint32_t)n, type, flags, status, id);
	if (n > 0)
		memcpy(out.buf[out.now].p + len + HEADER, payload, n);
	out.buf[out.now].len = need;
	pthread_mutex_unlock(&out.lock);
	return need;
}

/* Sends what has been appended, together with `more` further pieces; out.lock is
 * held on entry and on return, out.sending is set by the caller. Returns false where
 * memory of a piece is not there: then the connection ends inside a frame. */
static bool out_send_locked(const struct iovec *more, int n)
{
	struct iovec iov[3];
	int sent = out.now, pieces = 0;

	if (out.buf[sent].len > 0)
		iov[pieces++] = (struct iovec){out.buf[sent].p, out.buf[sent].len};
	for (int i = 0; i < n; i++)
		iov[pieces++] = more[i];
	out.now = 1 - sent;
	pthread_mutex_unlock(&out.lock);
	bool whole = send_all(iov, pieces);
	pthread_mutex_lock(&out.lock);
	out.buf[sent].len = 0;
	return whole;
}

static void out_release_locked(void)
{
	while (out.buf[out.now].len > 0)
		if (!out_send_locked(NULL, 0))
			abort(); /* the processor has unmapped memory of ours */
	out.sending = false;
	out_wake();
}

/* Sends what has been appended, unless another thread is sending: that one takes it
 * along. */
static void out_flush(void)
{
	pthread_mutex_lock(&out.lock);
	if (!out.sending && out.buf[out.now].len > 0) {
		out.sending = true;
		out_release_locked();
	}
	pthread_mutex_unlock(&out.lock);
}

/* Returns when everything has been sent. */
static void out_finish(void)
{
	out_flush();
	pthread_mutex_lock(&out.lock);
	while (out.sending)
		out_wait();
	pthread_mutex_unlock(&out.lock);
}

/* What would be a segmentation fault here the kernel has found: the processor is to blame
 * in the same way. Called by the thread that has the request, so that the crash record
 * names it. */
static _Noreturn __attribute__((noinline)) void output_size_too_large(size_t n)
{
	dprintf(STDERR_FILENO, "eashost: process() set *output_size to %zu, which is more than the memory that *output_data points to\n", n);
	abort();
}

/* Sends a long message in frames, straight from its memory. Other threads' frames go
 * out between these; several long messages take turns. */
static void out_message(int type, int flags, unsigned status, uint64_t id, const uint8_t *data, size_t n)
{
	size_t at = 0;

	pthread_mutex_lock(&out.lock);
	uint64_t turn = out.next_turn++;
	for (;;) {
		while (out.sending || out.turn != turn)
			out_wait();
		out.sending = true;
		do {
			uint8_t header[HEADER];
			size_t part = n - at < MAX_PAYLOAD ? n - at : MAX_PAYLOAD;
			put_header(header, (uint32_t)part, type, flags | (at + part < n ? FLAG_MORE : 0), status, id);
			struct iovec piece[2] = {{header, HEADER}, {(void *)(uintptr_t)(data + at), part}};
			if (!out_send_locked(piece, 2))
				output_size_too_large(n);
			at += part;
			out_wake();
		} while (at < n && out.next_turn == turn + 1);
		out.turn++;
		if (at == n)
			break;
		turn = out.next_turn++;
		out.sending = false;
		out_wake();
	}
	out_release_locked();
	pthread_mutex_unlock(&out.lock);
}

/* Sends properties as one message and returns when it has gone out. The arguments are pairs
 * of name and value, ended by NULL; a NULL value leaves its name out. */
static void send_properties(int type, ...)
{
	va_list args;
	const char *name, *value;
	size_t n = 0;

	va_start(args, type);
	while ((name = va_arg(args, const char *)) != NULL) {
		value = va_arg(args, const char *);
		if (value)
			n += strlen(name) + strlen(value) + 2;
	}
	va_end(args);

	uint8_t *payload = malloc(n + 1);
	if (!payload)
		abort();
	uint8_t *p = payload;
	va_start(args, type);
	while ((name = va_arg(args, const char *)) != NULL) {
		value = va_arg(args, const char *);
		if (value) {
			p = (uint8_t *)stpcpy((char *)p, name) + 1;
			p = (uint8_t *)stpcpy((char *)p, value) + 1;
		}
	}
	va_end(args);
	out_message(type, 0, 0, 0, payload, n);
	out_finish();
	free(payload);
}

/* The load failed: say so and end. */
static _Noreturn void fail(int state, const char *hint, const char *format, ...)
{
	va_list args;
	char text[4096], number[16];

	va_start(args, format);
	vsnprintf(text, sizeof text, format, args);
	va_end(args);
	snprintf(number, sizeof number, "%d", state);
	will_leave(EXIT_FAILED);
	send_properties(FAILED, "state", number, "message", text, "hint", hint, NULL);
	leave();
}

/* ---- crash record ----------------------------------------------------- */

/* The bounds of a thread's stack, taken when it starts: asking in a signal handler
 * is not safe. */
static __thread uintptr_t stack_low, stack_high;
static __thread struct thread *self;

static void note_stack(void)
{
	pthread_attr_t attr;
	void *low;
	size_t size;

	if (pthread_getattr_np(pthread_self(), &attr) != 0)
		return;
	if (pthread_attr_getstack(&attr, &low, &size) == 0) {
		stack_low = (uintptr_t)low;
		stack_high = (uintptr_t)low + size;
	}
	pthread_attr_destroy(&attr);
}

static const int fatal_signals[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGTRAP, SIGSYS};

enum { FRAMES = 64, FRAMES_OUTER = 16, FRAMES_COUNTED = 200000, CRASH_SECONDS = 10, MAIN_ALT_STACK = 64 << 10 };

typedef _Unwind_Reason_Code unwind_fn(_Unwind_Trace_Fn, void *);
typedef _Unwind_Ptr unwind_ip_fn(struct _Unwind_Context *);

static struct {
	int fd;
	_Atomic int thread; /* kernel id of the thread that writes the record */
	volatile int signal;
	unwind_fn *unwind;
	unwind_ip_fn *ip;
	char line[1024];
	size_t len;
} crash = {.fd = -1};

/* All that follows down to crash_install runs in a signal handler: system calls and
 * plain memory only. */

static void crash_flush(void)
{
	size_t at = 0;

	while (at < crash.len) {
		ssize_t n = write(crash.fd, crash.line + at, crash.len - at);
		if (n < 0 && errno != EINTR)
			break;
		if (n > 0)
			at += (size_t)n;
	}
	crash.len = 0;
}

static void crash_char(char c)
{
	if (crash.len == sizeof crash.line)
		crash_flush();
	crash.line[crash.len++] = c;
}

static void crash_text(const char *s)
{
	while (*s)
		crash_char(*s++);
}

static void crash_number(uint64_t v, unsigned base)
{
	char digits[24];
	int n = 0;

	do
		digits[n++] = "0123456789abcdef"[v % base];
	while ((v /= base) != 0);
	while (n > 0)
		crash_char(digits[--n]);
}

static void crash_signed(long v)
{
	if (v < 0)
		crash_char('-');
	crash_number(v < 0 ? 0 - (uint64_t)v : (uint64_t)v, 10);
}

static void crash_address(const char *name, uintptr_t v)
{
	crash_text(name);
	crash_text(" 0x");
	crash_number(v, 16);
}

static void crash_maps(void)
{
	char buf[2048];
	ssize_t n;
	int fd = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);

	crash_text("maps\n");
	if (fd >= 0) {
		while ((n = read(fd, buf, sizeof buf)) > 0 || (n < 0 && errno == EINTR))
			for (ssize_t i = 0; i < n; i++)
				crash_char(buf[i]);
		close(fd);
	}
	crash_text("end-maps\n");
}

static void context_get(const ucontext_t *uc, uintptr_t *pc, uintptr_t *sp)
{
#if defined(__x86_64__)
	*pc = (uintptr_t)uc->uc_mcontext.gregs[REG_RIP];
	*sp = (uintptr_t)uc->uc_mcontext.gregs[REG_RSP];
#elif defined(__aarch64__)
	*pc = (uintptr_t)uc->uc_mcontext.pc;
	*sp = (uintptr_t)uc->uc_mcontext.sp;
#else
	(void)uc;
	*pc = *sp = 0;
#endif
}

/* After a call to an address that holds no code there is nothing to unwind from: make
 * the context look as it did before the call. Returns false where it cannot. */
static bool context_undo_call(ucontext_t *uc, uintptr_t low, uintptr_t high)
{
#if defined(__x86_64__)
	uintptr_t sp = (uintptr_t)uc->uc_mcontext.gregs[REG_RSP];
	if (sp < low || sp + sizeof sp > high || sp % sizeof sp != 0)
		return false;
	uc->uc_mcontext.gregs[REG_RIP] = (greg_t) * (uintptr_t *)sp;
	uc->uc_mcontext.gregs[REG_RSP] = (greg_t)(sp + sizeof sp);
	return true;
#elif defined(__aarch64__)
	(void)low;
	(void)high;
	uc->uc_mcontext.pc = uc->uc_mcontext.regs[30];
	return true;
#else
	(void)uc;
	(void)low;
	(void)high;
	return false;
#endif
}

struct trace {
	uintptr_t from; /* frames before this address are the handler's own */
	bool found;
	int printed, more;
	uintptr_t outer[FRAMES_OUTER]; /* the last ones so far, as a ring */
};

/* Written at once: the next step of unwinding may be the one that a damaged stack ends
 * the process in. */
static void crash_one_frame(uintptr_t ip)
{
	crash_address("frame", ip);
	crash_char('\n');
	crash_flush();
}

static _Unwind_Reason_Code crash_frame(struct _Unwind_Context *context, void *arg)
{
	struct trace *trace = arg;
	uintptr_t ip = (uintptr_t)crash.ip(context);

	if (!trace->found) {
		if (ip != trace->from)
			return _URC_NO_REASON;
		trace->found = true;
	}
	if (ip == 0)
		return _URC_NORMAL_STOP;
	if (trace->printed < FRAMES) {
		crash_one_frame(ip);
		trace->printed++;
		return _URC_NO_REASON;
	}
	trace->outer[trace->more % FRAMES_OUTER] = ip;
	return ++trace->more == FRAMES_COUNTED ? _URC_NORMAL_STOP : _URC_NO_REASON;
}

static void crash_frames(int sig, const siginfo_t *info, ucontext_t *uc)
{
	struct trace trace = {0};
	uintptr_t pc, sp;

	context_get(uc, &pc, &sp);
	trace.from = pc;
	if (sig == SIGSEGV && (uintptr_t)info->si_addr == pc) {
		ucontext_t saved = *uc;
		crash_one_frame(pc);
		trace.printed++;
		if (crash.unwind && context_undo_call(uc, stack_low, stack_high)) {
			context_get(uc, &trace.from, &sp);
			crash.unwind(crash_frame, &trace);
		}
		*uc = saved;
	} else {
		if (crash.unwind)
			crash.unwind(crash_frame, &trace);
		if (!trace.found)
			crash_one_frame(pc);
	}
	if (trace.more == 0)
		return;
	/* Who started a recursion stands at the outer end. */
	int outer = trace.more == FRAMES_COUNTED ? 0 : trace.more < FRAMES_OUTER ? trace.more : FRAMES_OUTER;
	if (trace.more > outer) {
		crash_text("frames-more ");
		crash_number((uint64_t)(trace.more - outer), 10);
		crash_char('\n');
	}
	for (int i = trace.more - outer; i < trace.more; i++)
		crash_one_frame(trace.outer[i % FRAMES_OUTER]);
}

static void crash_record(int sig, const siginfo_t *info, ucontext_t *uc)
{
	char name[17] = "";
	uintptr_t pc, sp;
	bool has_address = info->si_code > 0 && sig != SIGABRT && sig != SIGSYS;

	crash_text("eascmd-crash 1\nsignal ");
	crash_number((uint64_t)sig, 10);
	crash_char(' ');
	crash_signed(info->si_code);
	crash_address("\naddress", has_address ? (uintptr_t)info->si_addr : 0);
	crash_text("\nthread ");
	crash_number((uint64_t)syscall(SYS_gettid), 10);
	prctl(PR_GET_NAME, name);
	crash_char(' ');
	for (const char *p = name; *p; p++)
		crash_char(*p == '\n' ? '?' : *p);
	crash_char('\n');
	if (self && atomic_load_explicit(&self->request, memory_order_relaxed)) {
		crash_text("request ");
		crash_number(atomic_load_explicit(&self->request, memory_order_relaxed), 10);
		crash_char('\n');
	}
	for (int i = 0; host.pool && i < host.threads; i++) {
		uint64_t id = atomic_load_explicit(&host.pool[i].request, memory_order_relaxed);
		if (id == 0 || &host.pool[i] == self)
			continue;
		crash_text("other ");
		crash_number(id, 10);
		crash_char('\n');
	}
	context_get(uc, &pc, &sp);
	crash_address("pc", pc);
	crash_address("\nsp", sp);
	crash_char('\n');
	if (stack_high) {
		crash_address("stack", stack_low);
		crash_address("", stack_high);
		crash_char('\n');
	}
	crash_flush();
	crash_maps();
	crash_flush();
	crash_frames(sig, info, uc);
	crash_text("end\n");
	crash_flush();
}

/* The unwinder hangs, on a lock that the crashed code holds for example: go without
 * the rest of the record. */
static void crash_timeout(int sig)
{
	sigset_t set;

	(void)sig;
	crash_flush();
	signal(crash.signal, SIG_DFL);
	sigemptyset(&set);
	sigaddset(&set, crash.signal);
	sigprocmask(SIG_UNBLOCK, &set, NULL);
	syscall(SYS_tgkill, getpid(), syscall(SYS_gettid), crash.signal);
	_exit(128 + crash.signal);
}

/* Answers that wait in the output buffer belong to requests that were served well. */
static void crash_send_answers(void)
{
	if (host.sock < 0 || pthread_mutex_trylock(&out.lock) != 0)
		return;
	if (!out.sending && out.buf[out.now].len > 0)
		(void)!send(host.sock, out.buf[out.now].p, out.buf[out.now].len, MSG_NOSIGNAL | MSG_DONTWAIT);
	out.buf[out.now].len = 0;
	pthread_mutex_unlock(&out.lock);
}

static void crash_handler(int sig, siginfo_t *info, void *context)
{
	int mine = (int)syscall(SYS_gettid), first = 0;
	struct sigaction sa;

	if (!atomic_compare_exchange_strong(&crash.thread, &first, mine))
		for (;;) /* another thread writes its record, then the process ends */
			pause();
	crash.signal = sig;
	if (crash.fd >= 0) {
		memset(&sa, 0, sizeof sa);
		sa.sa_handler = crash_timeout;
		sigaction(SIGALRM, &sa, NULL);
		sigemptyset(&sa.sa_mask);
		sigaddset(&sa.sa_mask, SIGALRM);
		sigprocmask(SIG_UNBLOCK, &sa.sa_mask, NULL);
		alarm(CRASH_SECONDS);
		crash_send_answers();
		crash_record(sig, info, context);
	}
	/* The signal is blocked here; it kills the process as this handler returns. */
	memset(&sa, 0, sizeof sa);
	sa.sa_handler = SIG_DFL;
	sigaction(sig, &sa, NULL);
	syscall(SYS_tgkill, getpid(), mine, sig);
}

static _Unwind_Reason_Code crash_warm_up(struct _Unwind_Context *context, void *arg)
{
	(void)arg;
	crash.ip(context);
	return _URC_NO_REASON;
}

/* Installs the handlers where nobody has, before any user code is loaded. */
static void crash_install(void)
{
	static char alt[MAIN_ALT_STACK] __attribute__((aligned(64)));
	stack_t ss = {.ss_sp = alt, .ss_size = sizeof alt};
	struct sigaction sa, old;

	/* The unwinder is the one that C++ programs use. It is loaded here, because
	 * loading is not for signal handlers, and not linked, because the host is to
	 * run where it is absent. Its first call sets it up. */
	void *gcc = dlopen("libgcc_s.so.1", RTLD_NOW | RTLD_LOCAL);
	if (gcc) {
		crash.ip = (unwind_ip_fn *)(uintptr_t)dlsym(gcc, "_Unwind_GetIP");
		crash.unwind = (unwind_fn *)(uintptr_t)dlsym(gcc, "_Unwind_Backtrace");
		if (!crash.ip)
			crash.unwind = NULL;
		if (crash.unwind)
			crash.unwind(crash_warm_up, NULL);
	}
	sigaltstack(&ss, NULL);
	memset(&sa, 0, sizeof sa);
	sa.sa_sigaction = crash_handler;
	sa.sa_flags = SA_SIGINFO | SA_ONSTACK;
	sigfillset(&sa.sa_mask);
	sigdelset(&sa.sa_mask, SIGALRM);
	for (size_t i = 0; i < sizeof fatal_signals / sizeof fatal_signals[0]; i++)
		if (sigaction(fatal_signals[i], NULL, &old) == 0 && !(old.sa_flags & SA_SIGINFO) && old.sa_handler == SIG_DFL)
			sigaction(fatal_signals[i], &sa, NULL);
}

/* ---- threads ---------------------------------------------------------- */

#if !SANITIZED
/* The executable's own pthread_create: the dynamic linker gives it to the processor
 * and its libraries too, so that a stack overflow is recorded in every thread. The
 * alternate stack lies at the far end of the thread's own stack, which is still whole
 * when the near end overflows, and needs no freeing. */

typedef int pthread_create_fn(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);

enum { ALT_STACK = 32 << 10, SMALL_STACK = 256 << 10 };

#ifndef AT_MINSIGSTKSZ /* older C libraries do not know its name */
#define AT_MINSIGSTKSZ 51
#endif

struct start {
	void *(*run)(void *);
	void *arg;
	size_t alt;
};

static void *thread_start(void *p)
{
	struct start start = *(struct start *)p;

	free(p);
	note_stack();
	if (start.alt > 0) {
		stack_t ss = {.ss_sp = __builtin_alloca(start.alt), .ss_size = start.alt};
		sigaltstack(&ss, NULL);
	}
	return start.run(start.arg);
}

int pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*run)(void *), void *arg)
{
	static _Atomic(pthread_create_fn *) real;
	pthread_create_fn *create = atomic_load_explicit(&real, memory_order_relaxed);
	pthread_attr_t defaults;
	size_t size = 0;

	if (!create) {
		create = (pthread_create_fn *)(uintptr_t)dlsym(RTLD_NEXT, "pthread_create");
		if (!create)
			return EAGAIN;
		atomic_store_explicit(&real, create, memory_order_relaxed);
	}
	struct start *start = malloc(sizeof *start);
	if (!start)
		return EAGAIN;
	if (attr) {
		pthread_attr_getstacksize(attr, &size);
	} else if (pthread_attr_init(&defaults) == 0) {
		pthread_attr_getstacksize(&defaults, &size);
		pthread_attr_destroy(&defaults);
	}
	/* The kernel's part depends on the CPU's registers; a small stack is left alone. */
	*start = (struct start){run, arg, size >= SMALL_STACK ? ALT_STACK + getauxval(AT_MINSIGSTKSZ) : 0};
	int err = create(thread, attr, thread_start, start);
	if (err)
		free(start);
	return err;
}
#endif

/* Starts a thread that nobody joins, with a stack as large as the main thread's
 * usually is: musl's default is 128 KiB. */
static int start_thread(void *(*run)(void *), void *arg)
{
	pthread_attr_t attr;
	pthread_t thread;
	size_t size = 0;

	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	pthread_attr_getstacksize(&attr, &size);
	if (size < 8 << 20)
		pthread_attr_setstacksize(&attr, 8 << 20);
	int err = pthread_create(&thread, &attr, run, arg);
	pthread_attr_destroy(&attr);
	return err;
}

/* ---- input ------------------------------------------------------------ */

/* Takes the next frame from the buffer; false where it has not come whole. */
static bool take_frame(struct frame *f)
{
	size_t have = in.end - in.start;
	const uint8_t *p = in.buf + in.start;

	if (have < HEADER)
		return false;
	memcpy(&f->length, p, sizeof f->length);
	f->length = le32toh(f->length);
	f->type = p[4];
	f->flags = p[5];
	memcpy(&f->id, p + 8, sizeof f->id);
	f->id = le64toh(f->id);
	f->payload = p + HEADER;
	if (f->length > MAX_PAYLOAD)
		protocol_error("a frame of %lu bytes, the limit is %d", (unsigned long)f->length, MAX_PAYLOAD);
	if ((f->type < HELLO || f->type > DRAINED) && !(f->flags & FLAG_OPTIONAL))
		protocol_error("a frame of unknown type %d", f->type);
	if (have < HEADER + f->length)
		return false;
	in.start += HEADER + f->length;
	if (in.start == in.end)
		in.start = in.end = 0;
	return true;
}

/* Reads what has come, and waits for it unless `flags` forbid. */
static void read_more(int flags)
{
	if (INPUT_SIZE - in.end < INPUT_SIZE / 2 && in.start > 0) {
		memmove(in.buf, in.buf + in.start, in.end - in.start);
		in.end -= in.start;
		in.start = 0;
	}
	for (;;) {
		ssize_t n = recv(host.sock, in.buf + in.end, INPUT_SIZE - in.end, flags);
		if (n > 0) {
			in.end += (size_t)n;
			return;
		}
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
			return;
		if (n < 0)
			connection_failed();
		gateway_gone();
	}
}

static struct partial **find_partial(uint64_t id)
{
	struct partial **p = &in.partials;

	while (*p && (*p)->id != id)
		p = &(*p)->next;
	return p;
}

/* Adds a frame's payload to the message that it belongs to. */
static void grow_partial(struct partial *p, const struct frame *f)
{
	if (p->failed || p->cancelled)
		return;
	if (f->length > MAX_MESSAGE - p->size)
		protocol_error("request %llu is longer than %zu bytes", (unsigned long long)f->id, MAX_MESSAGE);
	if (p->size + f->length > p->cap || !p->data) {
		size_t cap = p->cap ? p->cap * 2 : 2 * MAX_PAYLOAD;
		if (cap > MAX_MESSAGE)
			cap = MAX_MESSAGE;
		uint8_t *data = realloc(p->data, cap + 2);
		if (!data) {
			p->failed = true;
			free(p->data);
			p->data = NULL;
			return;
		}
		p->data = data;
		p->cap = cap;
	}
	memcpy(p->data + p->size, f->payload, f->length);
	p->size += f->length;
}

/* The byte behind a body is not zero, on purpose: online nothing promises a zero
 * either, and a processor that takes the body for a C string is found out here. The
 * second byte stops it. */
static void end_body(uint8_t *data, size_t n)
{
	data[n] = 0xa5;
	data[n + 1] = 0;
}

static void answer_no_memory(uint64_t id)
{
	static const char text[] = "out of memory for the request's body";

	out_frame(RESPONSE, FLAG_EXCEPTION, 500, id, text, sizeof text - 1, false);
}

static void answer_cancelled(uint64_t id) { out_frame(RESPONSE, 0, 499, id, NULL, 0, false); }

/* Takes a REQUEST frame. Returns true when it completes a request: then *r is filled,
 * its data in `scratch` where that is given and one frame was enough, else malloc'ed. */
static bool take_request(const struct frame *f, uint8_t *scratch, struct request *r)
{
	bool more = f->flags & FLAG_MORE;
	struct partial **at = find_partial(f->id), *p = *at;

	if (f->id == 0)
		protocol_error("a request with id 0");
	*r = (struct request){.id = f->id};
	if (!p && !more) {
		r->size = f->length;
		r->data = scratch ? scratch : malloc(r->size + 2);
		r->owned = !scratch;
		if (!r->data) {
			answer_no_memory(f->id);
			return false;
		}
		memcpy(r->data, f->payload, r->size);
		end_body(r->data, r->size);
		return true;
	}
	if (!p) {
		if (in.npartials >= 2 * host.threads + EXTRA_REQUESTS)
			protocol_error("more than %d unfinished requests", in.npartials);
		p = calloc(1, sizeof *p);
		if (!p)
			abort();
		p->id = f->id;
		*at = p;
		in.npartials++;
	}
	grow_partial(p, f);
	if (more)
		return false;
	if (p->cancelled) {
		answer_cancelled(f->id);
	} else if (p->failed) {
		answer_no_memory(f->id);
	} else {
		r->data = p->data;
		r->size = p->size;
		r->owned = true;
		end_body(r->data, r->size);
		p->data = NULL;
	}
	*at = p->next;
	free(p->data);
	free(p);
	in.npartials--;
	return r->data != NULL;
}

/* The value of a property in a payload that ends with a zero byte. */
static const char *property(const uint8_t *payload, size_t n, const char *name)
{
	const char *found = NULL, *p = (const char *)payload, *end = p + n;

	while (p < end) {
		const char *value = p + strlen(p) + 1;
		if (value >= end)
			protocol_error("a property without a value");
		if (strcmp(p, name) == 0)
			found = value;
		p = value + strlen(value) + 1;
	}
	return found;
}

static const char *or_empty(const char *s) { return s ? s : ""; }

static void take_hello(const struct frame *f)
{
	char text[32];

	if (f->length == 0 || f->payload[f->length - 1] != 0)
		protocol_error("HELLO does not end with a zero byte");
	snprintf(text, sizeof text, "%d", PROTOCOL_MAX);
	const char *version = property(f->payload, f->length, "protocol");
	if (!version || strcmp(version, text) != 0)
		protocol_error("HELLO chooses version %.20s, this host speaks %s", or_empty(version), text);
	atomic_store(&host.state, WANT_START);
}

/* START may be long: its frames are collected like those of a request with id 0. What it
 * says is kept for good. */
static void take_start(const struct frame *f)
{
	static struct partial start;

	grow_partial(&start, f);
	if (f->flags & FLAG_MORE)
		return;
	if (start.failed || start.size == 0 || start.data[start.size - 1] != 0)
		protocol_error("START does not end with a zero byte");
	host.service = or_empty(property(start.data, start.size, "service"));
	host.entry = or_empty(property(start.data, start.size, "entry"));
	host.model_entry = or_empty(property(start.data, start.size, "model_entry"));
	host.model_config = or_empty(property(start.data, start.size, "model_config"));
	const char *threads = property(start.data, start.size, "threads");
	char *rest;
	long n = strtol(threads ? threads : "1", &rest, 10);
	if (n < 1 || n > MAX_THREADS || *rest)
		protocol_error("START asks for %.20s threads", threads);
	host.threads = (int)n;
	atomic_store(&host.state, LOADING);
	pthread_cond_signal(&lead.started);
}

/* Drops a request that process() has not seen; lead.lock is held. Of one that is still
 * coming the rest is skipped, and its answer follows the last frame. */
static void cancel_locked(uint64_t id)
{
	struct partial *p = *find_partial(id);

	if (p) {
		p->cancelled = true;
		free(p->data);
		p->data = NULL;
		return;
	}
	for (struct request **r = &lead.pending; *r; r = &(*r)->next) {
		struct request *gone = *r;
		if (gone->id != id)
			continue;
		*r = gone->next;
		if (!*r)
			lead.pending_end = r;
		lead.npending--;
		free(gone->data);
		free(gone);
		answer_cancelled(id);
		return;
	}
}

/* Takes a frame that is no REQUEST; lead.lock is held. Answers are appended, not sent. */
static void take_other_locked(const struct frame *f)
{
	int state = atomic_load(&host.state);

	switch (f->type) {
	case HELLO:
		if (state != WANT_HELLO)
			protocol_error("a second HELLO");
		take_hello(f);
		return;
	case START:
		if (state != WANT_START)
			protocol_error("START at the wrong time");
		take_start(f);
		return;
	case PING:
		if (state == WANT_HELLO)
			protocol_error("PING before HELLO");
		out_frame(PONG, 0, 0, f->id, f->payload, f->length, false);
		return;
	case CANCEL:
		if (state < LOADING)
			protocol_error("CANCEL before START");
		cancel_locked(f->id);
		return;
	case DRAIN:
		if (state == WANT_HELLO)
			protocol_error("DRAIN before HELLO");
		if (state < DRAINING)
			atomic_store(&host.state, DRAINING);
		return;
	case READY:
	case FAILED:
	case RESPONSE:
	case PONG:
	case DRAINED:
		protocol_error("a frame of type %d, which only workers send", f->type);
	default: /* unknown and optional */
		return;
	}
}

/* REQUEST frames come after READY; after DRAIN only those of a request that had begun. */
static void check_request_allowed(uint64_t id)
{
	int state = atomic_load_explicit(&host.state, memory_order_relaxed);

	if (state != RUNNING && !(state == DRAINING && *find_partial(id)))
		protocol_error("REQUEST %s", state < RUNNING ? "before READY" : "after DRAIN");
}

/* Whether a drain is complete; then it is the caller's duty to call finish() without
 * the lock. Before READY nothing is waited for. */
static bool finished_locked(void)
{
	if (atomic_load(&host.state) != DRAINING || lead.active > 0 || lead.pending || atomic_load(&in.npartials) > 0)
		return false;
	atomic_store(&host.state, FINISHED);
	will_leave(0);
	return true;
}

static _Noreturn void finish(void)
{
	out_frame(DRAINED, 0, 0, 0, NULL, 0, false);
	out_finish();
	leave();
}

/* ---- calling the processor -------------------------------------------- */

static int64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* Smooths the duration of process(). One outlier, a preemption for example, is cut so
 * that it does not make a fast processor look slow. */
static void note_duration(int64_t ns)
{
	int64_t usual = atomic_load_explicit(&host.usual_ns, memory_order_relaxed);

	if (ns > 4 * SLOW_NS)
		ns = 4 * SLOW_NS;
	atomic_store_explicit(&host.usual_ns, usual + (ns - usual) / 8, memory_order_relaxed);
}

struct answer {
	void *data;
	int size;
	unsigned status;
};

static void call(struct thread *me, const struct request *r, struct answer *a)
{
	a->data = NULL;
	a->size = 0;
	atomic_store_explicit(&me->request, r->id, memory_order_relaxed);
	int status = host.process(host.model, r->data, (int)r->size, &a->data, &a->size);
	a->status = status >= 0 && status < 65535 ? (unsigned)status : 65535;
}

static size_t answer_exception(uint64_t id, const char *format, ...)
{
	va_list args;
	char text[256];

	va_start(args, format);
	int n = vsnprintf(text, sizeof text, format, args);
	va_end(args);
	return out_frame(RESPONSE, FLAG_EXCEPTION, 500, id, text, (size_t)n < sizeof text ? (size_t)n : sizeof text - 1, true);
}

/* A function of its own, so that its name stands in the backtrace when *output_data was
 * not from malloc. */
static __attribute__((noinline)) void free_output_data(struct answer *a)
{
	free(a->data);
	a->data = NULL; /* and no tail call */
}

/* Answers a request, frees the answer and the request's body, and returns how much
 * output waits to be sent. */
static size_t answer(struct thread *me, struct request *r, struct answer *a)
{
	const uint8_t *data = a->data;
	size_t waiting;

	if (a->size < 0) {
		waiting = answer_exception(r->id, "process() returned %d with *output_size = %d", (int)a->status, a->size);
	} else if (!data && a->size > 0) {
		waiting = answer_exception(r->id, "process() returned %d with *output_size = %d and *output_data = NULL", (int)a->status, a->size);
	} else if (data && data >= r->data && data <= r->data + r->size) {
		a->data = NULL; /* not ours to free */
		waiting = answer_exception(r->id, "process() returned its input as *output_data; it must be memory from malloc, because the caller frees it");
	} else if (a->size <= SMALL_ANSWER) {
		waiting = out_frame(RESPONSE, 0, a->status, r->id, data, (size_t)a->size, true);
	} else {
		out_message(RESPONSE, 0, a->status, r->id, data, (size_t)a->size);
		waiting = 0;
	}
	free_output_data(a);
	if (r->owned)
		free(r->data);
	atomic_store_explicit(&me->request, 0, memory_order_relaxed);
	return waiting;
}

/* Serves a request while another thread leads. */
static void serve_away(struct thread *me, struct request *r)
{
	struct answer a;
	int64_t start = now_ns();

	call(me, r, &a);
	note_duration(now_ns() - start);
	answer(me, r, &a);
	out_flush();
}

static void kick_control(void)
{
	uint64_t one = 1;

	(void)!write(host.kick, &one, sizeof one);
}

/* The end of serving a request without the lead. */
static void came_back(void)
{
	pthread_mutex_lock(&lead.lock);
	lead.active--;
	bool done = finished_locked();
	pthread_mutex_unlock(&lead.lock);
	if (done)
		finish();
}

static void promote_locked(struct thread *t)
{
	lead.idle = t->next_idle;
	atomic_store(&lead.leader, t);
	t->promoted = true;
	pthread_cond_signal(&t->wake);
}

/* Gives the lead to an idle thread; false where there is none. */
static bool pass_lead(struct thread *me)
{
	pthread_mutex_lock(&lead.lock);
	struct thread *next = lead.idle;
	if (next) {
		atomic_store(&me->place, AWAY);
		lead.active++;
		promote_locked(next);
	}
	pthread_mutex_unlock(&lead.lock);
	return next != NULL;
}


/* Takes a frame of a request that had begun before DRAIN. Where it completes the request
 * the lead is given away, the request served, and true returned. */
static bool take_last_request(struct thread *me, const struct frame *f)
{
	struct request r;

	pthread_mutex_lock(&lead.lock);
	bool complete = take_request(f, me->scratch, &r);
	if (complete) {
		lead.active++;
		atomic_store(&me->place, AWAY);
		if (lead.idle)
			promote_locked(lead.idle);
		else
			atomic_store(&lead.leader, NULL);
	}
	bool done = finished_locked();
	pthread_mutex_unlock(&lead.lock);
	if (done)
		finish();
	out_flush();
	if (!complete)
		return false;
	kick_control(); /* it may lead now */
	serve_away(me, &r);
	came_back();
	return true;
}

/* Reads and serves requests until the lead has gone to another thread. */
static void run_lead(struct thread *me)
{
	struct frame f;
	struct request r;
	struct answer a;
	/* When the last call ended, which is when the next one begins unless a system call lies
	 * between them; when the unsent batch began. */
	int64_t last = 0, batch = 0;

	for (;;) {
		if (!take_frame(&f)) {
			if (batch)
				out_flush();
			batch = last = 0;
			read_more(0);
			continue;
		}
		if (f.type != REQUEST) {
			pthread_mutex_lock(&lead.lock);
			take_other_locked(&f);
			bool done = finished_locked();
			pthread_mutex_unlock(&lead.lock);
			if (done)
				finish();
			out_flush();
			batch = last = 0;
			continue;
		}
		check_request_allowed(f.id);
		if (atomic_load_explicit(&host.state, memory_order_relaxed) == DRAINING) {
			if (take_last_request(me, &f))
				return;
			continue;
		}
		if (!take_request(&f, me->scratch, &r)) {
			out_flush();
			batch = last = 0;
			continue;
		}

		bool slow = atomic_load_explicit(&host.usual_ns, memory_order_relaxed) >= SLOW_NS;
		if (slow) {
			if (batch)
				out_flush();
			batch = last = 0;
			if (pass_lead(me)) {
				serve_away(me, &r);
				came_back();
				return;
			}
		}
		if (!last)
			last = now_ns();
		if (!batch)
			batch = last;
		atomic_fetch_add_explicit(&me->calls, 1, memory_order_relaxed);
		atomic_store(&me->place, INLINE);
		if (atomic_load(&host.control_sleeps))
			kick_control();
		call(me, &r, &a);
		int expected = INLINE;
		bool leading = atomic_compare_exchange_strong(&me->place, &expected, LEADING);
		int64_t end = now_ns();
		note_duration(end - last);
		last = end;
		size_t waiting = answer(me, &r, &a);
		if (!leading) {
			out_flush();
			came_back();
			return;
		}
		if (slow || waiting >= FLUSH_BYTES || end - batch >= FLUSH_NS) {
			out_flush();
			batch = last = 0;
		}
	}
}

/* The life of a thread that calls process(). */
static void *run_thread(void *arg)
{
	struct thread *me = arg;

	self = me;
	for (;;) {
		struct request *r;
		pthread_mutex_lock(&lead.lock);
		if ((r = lead.pending) != NULL) {
			lead.pending = r->next;
			if (!r->next)
				lead.pending_end = &lead.pending;
			lead.npending--;
			lead.active++;
			pthread_mutex_unlock(&lead.lock);
			serve_away(me, r);
			free(r);
			came_back();
			continue;
		}
		if (atomic_load(&lead.leader) == NULL) {
			atomic_store(&lead.leader, me);
		} else {
			me->next_idle = lead.idle;
			lead.idle = me;
			while (!me->promoted)
				pthread_cond_wait(&me->wake, &lead.lock);
			me->promoted = false;
		}
		atomic_store(&me->place, LEADING);
		pthread_mutex_unlock(&lead.lock);
		run_lead(me);
	}
	return NULL;
}

/* ---- the control thread ----------------------------------------------- */

/* Takes the frames of the input buffer while no other thread can; lead.lock is held.
 * Requests wait for the next free thread. Returns true where the drain is complete. */
static bool control_take_locked(void)
{
	struct frame f;
	struct request r;

	while (take_frame(&f)) {
		if (f.type != REQUEST) {
			take_other_locked(&f);
			if (finished_locked())
				return true;
			continue;
		}
		check_request_allowed(f.id);
		if (!take_request(&f, NULL, &r)) {
			if (finished_locked())
				return true;
			continue;
		}
		if (lead.npending >= 2 * host.threads + EXTRA_REQUESTS)
			protocol_error("more than %d requests wait", lead.npending);
		struct request *p = malloc(sizeof *p);
		if (!p)
			abort();
		*p = r;
		*lead.pending_end = p;
		lead.pending_end = &p->next;
		lead.npending++;
	}
	return false;
}

/* Takes the lead from a thread that has been inside process() for a tick or more. Where
 * no thread is idle the control thread leads, and what has been read already is its. */
static void take_lead_from(struct thread *t)
{
	bool done = false;

	pthread_mutex_lock(&lead.lock);
	int expected = INLINE;
	if (atomic_load(&lead.leader) == t && atomic_compare_exchange_strong(&t->place, &expected, AWAY)) {
		lead.active++;
		if (lead.idle) {
			promote_locked(lead.idle);
		} else {
			atomic_store(&lead.leader, NULL);
			done = control_take_locked();
		}
	}
	pthread_mutex_unlock(&lead.lock);
	if (done)
		finish();
	out_flush();
}

static void *run_control(void *arg)
{
	struct pollfd fds[2] = {{.fd = host.sock}, {.fd = host.kick, .events = POLLIN}};
	struct thread *seen = NULL;
	uint32_t seen_calls = 0;
	int quiet = 0;
	bool sleeps = false;

	(void)arg;
	prctl(PR_SET_NAME, "eashost-control");
	for (;;) {
		/* The events of plain arrivals are not asked for where another thread reads, so
		 * that they wake only that one. */
		fds[0].events = POLLRDHUP | (atomic_load(&lead.leader) ? 0 : POLLIN);
		fds[0].revents = fds[1].revents = 0;
		int n = poll(fds, 2, sleeps ? -1 : TICK_MS);
		if (n < 0)
			continue;
		if (fds[0].revents & POLLNVAL)
			descriptor_closed("gateway", host.sock);
		if (fds[1].revents & POLLNVAL)
			descriptor_closed("host", host.kick);
		if (fds[0].revents & (POLLRDHUP | POLLHUP | POLLERR))
			gateway_gone();
		if (n > 0) {
			bool done = false;
			pthread_mutex_lock(&lead.lock);
			if (!atomic_load(&lead.leader)) {
				read_more(MSG_DONTWAIT);
				done = control_take_locked();
			}
			pthread_mutex_unlock(&lead.lock);
			if (done)
				finish();
			out_flush();
		}
		if (fds[1].revents & POLLIN) {
			uint64_t count;
			(void)!read(host.kick, &count, sizeof count);
			atomic_store(&host.control_sleeps, sleeps = false);
			quiet = 0;
		}
		if (n > 0 || sleeps)
			continue;

		struct thread *t = atomic_load(&lead.leader);
		uint32_t calls = t ? atomic_load(&t->calls) : 0;
		bool same = t == seen && calls == seen_calls;
		seen = t;
		seen_calls = calls;
		if (!same) {
			quiet = 0;
		} else if (t && atomic_load(&t->place) == INLINE) {
			take_lead_from(t);
			quiet = 0;
		} else if (++quiet >= QUIET_TICKS) {
			/* A leader sets its place and then looks at the flag, here it is the other way
			 * round: one of the two notices. */
			atomic_store(&host.control_sleeps, sleeps = true);
			t = atomic_load(&lead.leader);
			if (t && atomic_load(&t->place) == INLINE)
				atomic_store(&host.control_sleeps, sleeps = false);
		}
	}
	return NULL;
}

/* ---- start ------------------------------------------------------------ */

/* In a child that the processor forks: it is no part of the conversation, and it must not
 * keep the connection open when this worker dies. */
static void forked_child(void)
{
	if (host.sock >= 0)
		close(host.sock);
	if (crash.fd >= 0)
		close(crash.fd);
	host.sock = crash.fd = -1;
}

/* The processor called exit(): what was answered before is sent. */
static void at_exit(void)
{
	if (host.sock >= 0 && !atomic_load(&host.leaving))
		out_finish();
}

static char *take_env(const char *name)
{
	const char *value = getenv(name);
	char *copy = value ? strdup(value) : NULL;

	unsetenv(name);
	return copy;
}

static int connect_gateway(const char *path)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};

	if (strlen(path) >= sizeof addr.sun_path) {
		errno = ENAMETOOLONG;
		return -1;
	}
	strcpy(addr.sun_path, path);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -1;
	while (connect(fd, (struct sockaddr *)&addr, sizeof addr) != 0) {
		if (errno == EINTR)
			continue;
		close(fd);
		return -1;
	}
	return fd;
}

/* When memory is short the kernel is to end this process and not the gateway, which can
 * say what happened. */
static void volunteer_for_oom(void)
{
	char text[16] = "";
	int fd = open("/proc/self/oom_score_adj", O_RDWR | O_CLOEXEC);

	if (fd < 0)
		return;
	if (read(fd, text, sizeof text - 1) > 0 && atoi(text) < 500)
		(void)!pwrite(fd, "500", 3, 0);
	close(fd);
}

static const char *load_hint(const char *error)
{
	/* glibc's words, then musl's */
	static const struct {
		const char *part, *hint;
	} hints[] = {
		{"cannot open shared object file", "put the missing library beside the processor and link with -Wl,-rpath,'$ORIGIN', or install it"},
		{"Error loading shared library", "put the missing library beside the processor and link with -Wl,-rpath,'$ORIGIN', or install it"},
		{"undefined symbol", "link the library that defines it, or add the missing source file"},
		{"symbol not found", "link the library that defines it, or add the missing source file; a processor built for glibc does not run with musl"},
		{"GLIBCXX_", "the processor was built with a newer compiler than this place has: build it here, or add -static-libstdc++"},
		{"CXXABI_", "the processor was built with a newer compiler than this place has: build it here, or add -static-libstdc++"},
		{"GLIBC_", "the processor was built on a newer system than this one: build it here or on an older one"},
		{"wrong ELF class", "the processor was built for another CPU: build it for this one"},
		{"invalid ELF header", "the file is no shared object: build it with -shared -fPIC"},
		{"file too short", "the file is cut off: build or fetch it again"},
		{"static TLS", "load that library first: set LD_PRELOAD to it in processor_envs"},
		{"failed to map segment", "the file lies where programs may not run (noexec): move it"},
	};

	if (access(host.entry, F_OK) != 0)
		return "check processor_entry: it is relative to the processor's directory";
	for (size_t i = 0; i < sizeof hints / sizeof hints[0]; i++)
		if (strstr(error, hints[i].part))
			return hints[i].hint;
	return NULL;
}

static void *find_function(void *library, const char *name, const char *mangled, const char *prototype)
{
	void *function = dlsym(library, name);
	char hint[512];

	if (function)
		return function;
	if (dlsym(library, mangled))
		snprintf(hint, sizeof hint, "declare it as extern \"C\": the library has it with a C++ name, %s", mangled);
	else
		snprintf(hint, sizeof hint, "define and export: extern \"C\" %s", prototype);
	fail(0, hint, "%s has no function %s", host.entry, name);
}

static void load(void)
{
	int state = 0;

	if (!*host.entry)
		fail(0, NULL, "START names no entry");
	dlerror();
	void *library = dlopen(host.entry, RTLD_NOW | RTLD_LOCAL);
	if (!library) {
		const char *error = dlerror();
		fail(0, error ? load_hint(error) : NULL, "the processor cannot be loaded: %s", error ? error : host.entry);
	}
	initialize_fn *initialize = (initialize_fn *)(uintptr_t)find_function(library, "initialize", "_Z10initializePKcS0_Pi",
		"void *initialize(const char *model_entry, const char *model_config, int *state)");
	host.process = (process_fn *)(uintptr_t)find_function(library, "process", "_Z7processPvPKviPS_Pi",
		"int process(void *model_buf, const void *input_data, int input_size, void **output_data, int *output_size)");
	host.model = initialize(host.model_entry, host.model_config, &state);
	atomic_store(&host.library, library);
	if (state != 0)
		fail(state, NULL, "initialize() set *state to %d", state);
}

static void start_threads(void)
{
	struct thread *pool;

	if (posix_memalign((void **)&pool, 64, sizeof *pool * (size_t)host.threads) != 0)
		fail(0, NULL, "out of memory");
	memset(pool, 0, sizeof *pool * (size_t)host.threads);
	for (int i = 0; i < host.threads; i++) {
		pthread_cond_init(&pool[i].wake, NULL);
		/* Untouched pages cost nothing. */
		void *scratch = mmap(NULL, MAX_PAYLOAD + 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (scratch == MAP_FAILED)
			fail(0, NULL, "out of memory for %d threads", host.threads);
		pool[i].scratch = scratch;
	}
	host.pool = pool;
	for (int i = 1; i < host.threads; i++) {
		int err = start_thread(run_thread, &pool[i]);
		if (err)
			fail(0, "lower rpc.worker_threads or raise the limit of processes", "thread %d of %d cannot be started: %s", i + 1, host.threads, strerror(err));
	}
}

int main(int argc, char **argv)
{
	char text[3][32];
	sigset_t all, before;

	if (argc == 2 && strcmp(argv[1], "--version") == 0) {
		printf(HOST_NAME " protocol %d-%d\n", PROTOCOL_MIN, PROTOCOL_MAX);
		return 0;
	}
	char *path = take_env("EASCMD_WORKER_SOCKET");
	char *crash_fd = take_env("EASCMD_CRASH_FD");
	host.id = take_env("EASCMD_WORKER_ID");
	host.key = take_env("EASCMD_WORKER_KEY");
	if (!path) {
		fprintf(stderr, HOST_NAME ": EASCMD_WORKER_SOCKET is not set; this program is started by eascmd\n");
		return EXIT_USAGE;
	}
	prctl(PR_SET_NAME, "eashost");
	volunteer_for_oom();
	int null = open("/dev/null", O_RDONLY);
	if (null > 0) {
		dup2(null, STDIN_FILENO);
		close(null);
	}
	/* A pipe makes stdio collect 4 KiB; the processor's output is to be seen line by line. */
	setvbuf(stdout, NULL, _IOLBF, 0);

	host.sock = connect_gateway(path);
	if (host.sock < 0) {
		fprintf(stderr, HOST_NAME ": cannot connect to %s: %s\n", path, strerror(errno));
		return EXIT_USAGE;
	}
	free(path);
	in.buf = malloc(INPUT_SIZE);
	host.kick = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (!in.buf || host.kick < 0) {
		fprintf(stderr, HOST_NAME ": cannot start: %s\n", strerror(errno));
		return EXIT_USAGE;
	}
	note_stack();
	if (crash_fd) {
		crash.fd = atoi(crash_fd);
		free(crash_fd);
		fcntl(crash.fd, F_SETFD, FD_CLOEXEC);
	}
	if (crash.fd >= 0)
		crash_install();
	pthread_atfork(NULL, NULL, forked_child);
	atexit(at_exit);

	snprintf(text[0], sizeof text[0], "%d", PROTOCOL_MIN);
	snprintf(text[1], sizeof text[1], "%d", PROTOCOL_MAX);
	snprintf(text[2], sizeof text[2], "%d", (int)getpid());
	send_properties(HELLO, "protocol.min", text[0], "protocol.max", text[1], "features", "", "worker", or_empty(host.id),
		"key", or_empty(host.key), "pid", text[2], "host", HOST_NAME, NULL);

	/* Signals that are sent to the process are the processor's business: the control thread
	 * takes none. */
	sigfillset(&all);
	for (size_t i = 0; i < sizeof fatal_signals / sizeof fatal_signals[0]; i++)
		sigdelset(&all, fatal_signals[i]);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	int err = start_thread(run_control, NULL);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (err) {
		fprintf(stderr, HOST_NAME ": cannot start a thread: %s\n", strerror(err));
		return EXIT_USAGE;
	}

	pthread_mutex_lock(&lead.lock);
	while (!host.entry) /* and not the state, which a DRAIN that comes before START changes too */
		pthread_cond_wait(&lead.started, &lead.lock);
	pthread_mutex_unlock(&lead.lock);

	load();
	start_threads();
	snprintf(text[0], sizeof text[0], "%d", host.threads);
	int loading = LOADING;
	if (atomic_compare_exchange_strong(&host.state, &loading, RUNNING))
		send_properties(READY, "concurrency", text[0], NULL);
	run_thread(&host.pool[0]);
	return 0;
}
