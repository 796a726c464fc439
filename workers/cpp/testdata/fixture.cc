// The fixture processor of the host's tests. The body of a request is a command
// and its arguments; the suite in pkg/serving/hosttest lists what every
// language's fixture knows. Build it with -g, -O2 and -fno-omit-frame-pointer or
// not: names of static and inlined functions come from the debug information.
#include <cerrno>
#include <chrono>
#include <condition_variable>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <iostream>
#include <mutex>
#include <new>
#include <stdexcept>
#include <string>

#include <fcntl.h>
#include <pthread.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

namespace {

struct model {
	std::string entry, config;
};

std::mutex mutex;
std::condition_variable met;
int inside, peak, meeting;

// Counts the calls of process() at the same time.
struct visit {
	visit()
	{
		std::lock_guard<std::mutex> lock(mutex);
		if (++inside > peak)
			peak = inside;
	}
	~visit()
	{
		std::lock_guard<std::mutex> lock(mutex);
		--inside;
	}
};

// Waits until n calls are here at the same time.
bool meet(int n)
{
	std::unique_lock<std::mutex> lock(mutex);
	if (++meeting >= n)
		met.notify_all();
	return met.wait_for(lock, std::chrono::seconds(30), [n] { return meeting >= n; });
}

void sleep_ms(long ms)
{
	timespec t = {ms / 1000, ms % 1000 * 1000000L};
	while (nanosleep(&t, &t) != 0 && errno == EINTR) {
	}
}

// The crash path: an inlined function, called from a static one, called from one
// with a name.
inline __attribute__((always_inline)) void write_to(volatile int *where)
{
	*where = 1;
}

__attribute__((noinline)) void write_nowhere(volatile int *where)
{
	write_to(where);
	*(where + 1) = 2;
}

volatile int zero = 0;

__attribute__((noinline)) int overflow_stack(int depth)
{
	volatile char room[512];
	room[0] = static_cast<char>(depth);
	if (zero)
		return 0;
	return overflow_stack(depth + 1) + room[0];
}

// A pointer whose value the compiler does not know.
template <typename T> T pointer(uintptr_t value)
{
	volatile uintptr_t hidden = value;
	return reinterpret_cast<T>(hidden);
}

__attribute__((noinline)) void crash(const std::string &how)
{
	static char no_heap[256];

	if (how == "segv")
		write_nowhere(pointer<volatile int *>(0x10));
	else if (how == "abort")
		abort();
	else if (how == "overflow")
		overflow_stack(0);
	else if (how == "fpe")
		zero = 1000 / zero;
	else if (how == "ill")
		__builtin_trap();
	else if (how == "null-call")
		pointer<void (*)()>(0)();
	else if (how == "bus")
		raise(SIGBUS);
	else if (how == "throw")
		throw std::runtime_error("thrown by the fixture");
	else if (how == "free")
		free(pointer<void *>(reinterpret_cast<uintptr_t>(no_heap + 64)));
	zero = 0; // something to return to: no tail call above
}

void *crash_in_thread(void *how)
{
	crash(static_cast<char *>(how));
	return nullptr;
}

void own_handler(int)
{
	static const char text[] = "own handler\n";
	if (write(STDOUT_FILENO, text, sizeof text - 1) < 0)
		_exit(78);
	_exit(77);
}

int answer(const std::string &text, void **output_data, int *output_size, int status = 200)
{
	*output_data = malloc(text.empty() ? 1 : text.size());
	if (*output_data == nullptr)
		throw std::bad_alloc();
	memcpy(*output_data, text.data(), text.size());
	*output_size = static_cast<int>(text.size());
	return status;
}

// Takes the first word off a command.
std::string word(std::string &line)
{
	std::string::size_type blank = line.find(' ');
	std::string first = line.substr(0, blank);
	line = blank == std::string::npos ? "" : line.substr(blank + 1);
	return first;
}

// Closes what somebody else has opened, as programs do that make daemons of themselves.
// Where another file takes the place of these, their numbers are no sockets.
void close_all(const std::string &how)
{
	for (int fd = 3; fd < 1024; fd++)
		close(fd);
	if (how == "reopen")
		for (int n = 0; n < 20; n++)
			open("/dev/zero", O_RDWR);
}

pid_t start_child(bool exec)
{
	pid_t pid = fork();
	if (pid == 0) {
		if (!exec)
			for (;;)
				sleep_ms(1000);
		execlp("sleep", "sleep", "1000", static_cast<char *>(nullptr));
		_exit(127);
	}
	return pid;
}

} // namespace

// model_config may tell initialize what to do: "state <n>", "sleep <ms>", "hang",
// "exit <n>", "crash <how>", "own-handler", "print <text>", "cout-and-hang <text>",
// "close-all [reopen]".
extern "C" void *initialize(const char *model_entry, const char *model_config, int *state)
{
	std::string rest = model_config;
	std::string what = word(rest);

	if (what == "state")
		*state = atoi(rest.c_str());
	else if (what == "sleep")
		sleep_ms(atol(rest.c_str()));
	else if (what == "hang")
		for (;;)
			sleep_ms(1000);
	else if (what == "exit")
		exit(atoi(rest.c_str()));
	else if (what == "crash")
		crash(rest);
	else if (what == "own-handler")
		signal(SIGSEGV, own_handler);
	else if (what == "print")
		printf("%s\n", rest.c_str());
	else if (what == "close-all")
		close_all(rest);
	else if (what == "cout-and-hang") {
		std::ios::sync_with_stdio(false);
		std::cout << "in the buffer of cout";
		printf("initialize hangs\n%s", rest.c_str()); // without an end of line
		for (;;)
			sleep_ms(1000);
	}
	model *m = new model;
	m->entry = model_entry;
	m->config = model_config;
	return m;
}

extern "C" int process(void *model_buf, const void *input_data, int input_size, void **output_data, int *output_size)
{
	const model *m = static_cast<const model *>(model_buf);
	const char *input = static_cast<const char *>(input_data);
	if (input == nullptr)
		return answer("the input is NULL", output_data, output_size, 500);

	// Fast paths, for the benchmark and for large bodies.
	if (input_size >= 5 && memcmp(input, "echo ", 5) == 0) {
		int n = input_size - 5;
		*output_data = malloc(n > 0 ? static_cast<size_t>(n) : 1);
		if (*output_data == nullptr)
			return 500;
		memcpy(*output_data, input + 5, static_cast<size_t>(n));
		*output_size = n;
		return 200;
	}
	if (input_size == 0)
		return answer("empty", output_data, output_size);

	visit here;
	std::string rest(input, static_cast<size_t>(input_size));
	std::string what = word(rest);
	if (what == "size")
		return answer(std::to_string(input_size), output_data, output_size);
	if (what == "status") {
		int status = atoi(word(rest).c_str());
		return answer(rest, output_data, output_size, status);
	}
	if (what == "sleep") {
		sleep_ms(atol(rest.c_str()));
		return answer("slept", output_data, output_size);
	}
	if (what == "spin") {
		timespec start, now;
		clock_gettime(CLOCK_MONOTONIC, &start);
		long ms = atol(rest.c_str());
		do
			clock_gettime(CLOCK_MONOTONIC, &now);
		while ((now.tv_sec - start.tv_sec) * 1000 + (now.tv_nsec - start.tv_nsec) / 1000000 < ms);
		return answer("spun", output_data, output_size);
	}
	if (what == "meet")
		return meet(atoi(rest.c_str())) ? answer("met", output_data, output_size) : answer("alone", output_data, output_size, 500);
	if (what == "peak")
		return answer(std::to_string(peak), output_data, output_size);
	if (what == "null") {
		*output_data = nullptr;
		*output_size = 0;
		return 200;
	}
	if (what == "null-with-size") {
		*output_data = nullptr;
		*output_size = 5;
		return 200;
	}
	if (what == "negative-size") {
		answer("x", output_data, output_size);
		*output_size = -5;
		return 200;
	}
	if (what == "input-as-output") {
		*output_data = const_cast<void *>(input_data);
		*output_size = input_size;
		return 200;
	}
	if (what == "close-all") {
		close_all(word(rest));
		sleep_ms(atol(rest.c_str()));
		return answer("closed", output_data, output_size);
	}
	if (what == "damage-input") { // what malloc keeps before a long body
		memset(const_cast<char *>(input) - 16, 0x7f, 16);
		return answer("damaged", output_data, output_size);
	}
	if (what == "output-beyond") { // more than there is memory
		*output_data = malloc(10);
		*output_size = atoi(rest.c_str());
		return 200;
	}
	if (what == "wild-output") {
		*output_data = pointer<void *>(0x123450);
		*output_size = atoi(rest.c_str());
		return 200;
	}
	if (what == "static-output") {
		alignas(16) static struct {
			size_t before[8]; // zeros, where malloc would keep a size
			char text[64];
		} room = {{}, "not from malloc"};
		*output_data = room.text;
		*output_size = 3;
		return 200;
	}
	if (what == "big")
		return answer(std::string(static_cast<size_t>(atol(rest.c_str())), 'b'), output_data, output_size);
	if (what == "alignment")
		return answer(std::to_string(reinterpret_cast<uintptr_t>(input_data) % 16), output_data, output_size);
	if (what == "model")
		return answer(m->entry + "|" + m->config, output_data, output_size);
	if (what == "print") {
		printf("%s\n", rest.c_str());
		return answer("printed", output_data, output_size);
	}
	if (what == "cout") { // without an end of line
		std::ios::sync_with_stdio(false);
		std::cout << rest;
		return answer("written", output_data, output_size);
	}
	if (what == "env") {
		const char *value = getenv(rest.c_str());
		return value ? answer(value, output_data, output_size) : answer("", output_data, output_size, 404);
	}
	if (what == "pid")
		return answer(std::to_string(getpid()), output_data, output_size);
	if (what == "cwd") {
		char path[4096];
		return answer(getcwd(path, sizeof path) ? path : "", output_data, output_size);
	}
	if (what == "child")
		return answer(std::to_string(start_child(true)), output_data, output_size);
	if (what == "fork")
		return answer(std::to_string(start_child(false)), output_data, output_size);
	if (what == "exit")
		exit(atoi(rest.c_str()));
	if (what == "behind")
		return answer(std::to_string(input[input_size]), output_data, output_size);
	if (what == "meet-and-crash") {
		meet(atoi(rest.c_str()));
		crash("segv");
	}
	if (what == "crash")
		crash(rest);
	if (what == "thread-crash") {
		pthread_t thread;
		static std::string how;
		how = rest;
		if (pthread_create(&thread, nullptr, crash_in_thread, &how[0]) == 0)
			pthread_join(thread, nullptr);
	}
	return answer("unknown command", output_data, output_size, 400);
}
