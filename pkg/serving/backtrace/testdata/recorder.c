// recorder loads a shared object, calls its function "entry" on a thread of
// its own, and writes a crash record to standard output: when entry calls the
// function it is given, or when a fatal signal comes. It stands in for the
// host, and uses what the C library offers (backtrace) to find the frames.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <execinfo.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

static char *stack_low, *stack_high;

// record writes everything. The frames begin with pc; those that follow are
// what the unwinder finds below the frame at the address from.
static void record(int sig, int code, void *addr, uintptr_t pc, uintptr_t sp, uintptr_t from) {
    static void *frames[20000];
    int n = backtrace(frames, 20000), i = 0, count = 1;
    printf("eascmd-crash 1\nsignal %d %d\naddress 0x%lx\n", sig, code, (uintptr_t)addr);
    printf("thread %ld recorder\nrequest 17\nother 18\nother 19\n", syscall(SYS_gettid));
    printf("pc 0x%lx\nsp 0x%lx\nstack %p %p\nmaps\n", pc, sp, (void *)stack_low, (void *)stack_high);
    FILE *maps = fopen("/proc/self/maps", "r");
    for (int c; (c = fgetc(maps)) != EOF;) putchar(c);
    fclose(maps);
    printf("end-maps\nframe 0x%lx\n", pc);
    while (i < n && (uintptr_t)frames[i] != from) i++;
    if (from == pc || from == pc + 1) i++;  // it is the first frame itself
    for (; i < n && count < 1000; i++, count++) printf("frame 0x%lx\n", (uintptr_t)frames[i]);
    if (i < n) printf("frames-more %d\n", n - i);
    printf("end\n");
    fflush(stdout);
    _exit(0);
}

// stop records the place that it is called from, as if a signal had come there.
__attribute__((noinline)) static void stop(void) {
    uintptr_t ra = (uintptr_t)__builtin_return_address(0);
    record(SIGTRAP, 1, 0, ra - 1, 0, ra);
}

static void handler(int sig, siginfo_t *info, void *context) {
    ucontext_t *uc = context;
#if defined(__x86_64__)
    uintptr_t pc = uc->uc_mcontext.gregs[REG_RIP], sp = uc->uc_mcontext.gregs[REG_RSP], from = pc;
    if (sig == SIGSEGV && (uintptr_t)info->si_addr == pc) {  // go back to before the call
        from = uc->uc_mcontext.gregs[REG_RIP] = *(greg_t *)sp;
        uc->uc_mcontext.gregs[REG_RSP] += 8;
    }
#else
    uintptr_t pc = uc->uc_mcontext.pc, sp = uc->uc_mcontext.sp, from = pc;
    if (sig == SIGSEGV && (uintptr_t)info->si_addr == pc) from = uc->uc_mcontext.pc = uc->uc_mcontext.regs[30];
#endif
    record(sig, info->si_code, info->si_addr, pc, sp, from);
}

static void (*entry)(void (*)(void));

static void *run(void *unused) {
    static char alternate[1 << 20];
    stack_t ss = {.ss_sp = alternate, .ss_size = sizeof alternate};
    sigaltstack(&ss, NULL);
    pthread_attr_t attr;
    void *low;
    size_t size;
    pthread_getattr_np(pthread_self(), &attr);
    pthread_attr_getstack(&attr, &low, &size);
    stack_low = low;
    stack_high = stack_low + size;
    entry(stop);
    _exit(1);
    return unused;
}

#ifdef CRASH
__attribute__((noinline)) static int own_crash(volatile int *p) {
    return p[2] + 1;  // here: own_crash
}
#endif

int main(int argc, char **argv) {
    void *warm[1];
    backtrace(warm, 1);  // loads the unwinder, which a handler must not
    struct sigaction sa = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO | SA_ONSTACK};
    int signals[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT};
    for (unsigned i = 0; i < sizeof signals / sizeof *signals; i++) sigaction(signals[i], &sa, NULL);
#ifdef CRASH
    return own_crash(NULL) + 1;
#endif
    void *lib = dlopen(argv[argc - 1], RTLD_NOW);
    if (!lib || !(entry = (void (*)(void (*)(void)))dlsym(lib, "entry"))) {
        fprintf(stderr, "%s\n", dlerror());
        return 1;
    }
    pthread_t thread;
    pthread_attr_t attr;
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, 1 << 20);
    pthread_create(&thread, &attr, run, NULL);
    pthread_join(thread, NULL);
    return 1;
}
