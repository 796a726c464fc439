// Crashes, one chosen at compile time by WAY.
#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <stdexcept>

struct Item {
    long first, second;
};

static volatile int zero;
static Item* volatile nothing;

#define NOINLINE __attribute__((noinline))

#if WAY == 1  // a null pointer
NOINLINE static long read_item(Item* item) {
    return item->second;  // here: fault1
}
NOINLINE static void crash() { zero = read_item(nothing); }
#elif WAY == 2  // a stack overflow
NOINLINE static long deeper(volatile char* up) {
    volatile char room[512];
    room[0] = up[0];
    return deeper(room) + room[0];  // here: fault2
}
NOINLINE static void crash() {
    char c = 0;
    zero = deeper(&c);
}
#elif WAY == 3  // division by zero
NOINLINE static void crash() {
    zero = 7 / zero;  // here: fault3
}
#elif WAY == 4  // an assertion
NOINLINE static void crash() {
    assert(zero == 1);  // here: fault4
}
#elif WAY == 5  // an exception that nobody catches
NOINLINE static void crash() {
    throw std::runtime_error("broken");  // here: fault5
}
#elif WAY == 6  // a call through a null pointer
static void (*volatile missing)();
NOINLINE static void crash() {
    missing();  // here: fault6
    zero++;
}
#elif WAY == 7  // writing to a constant
NOINLINE static void crash() {
    *(volatile char*)strchr("constant", 'n') = 0;  // here: fault7
}
#elif WAY == 8  // freed twice
NOINLINE static void crash() {
    char* p = (char*)malloc(100);
    char* volatile q = p;
    free(p);
    free(q);  // here: fault8
    zero++;
}
#elif WAY == 9  // a pointer that is garbage
NOINLINE static void crash() {
    zero = **(int* volatile*)"0123456789abcdef";  // here: fault9
}
#elif WAY == 10  // functions that call each other
static long odd(long n);
NOINLINE static long even(long n) {
    volatile char room[100] = {0};
    return n == 0 ? room[0] : odd(n - 1) + room[0];  // here: fault10
}
NOINLINE static long odd(long n) {
    volatile char room[100] = {0};
    return n == 0 ? room[0] : even(n + 2) + room[0];
}
NOINLINE static void crash() { zero = even(1000000000); }
#elif WAY == 11  // a large local variable
NOINLINE static int large(int n) {
    volatile char room[100 << 20];
    room[n] = 1;  // here: fault11
    return room[n + 1];
}
NOINLINE static void crash() { zero = large(zero); }
#elif WAY == 12  // a file that is shorter than its mapping
#include <stdio.h>
#include <sys/mman.h>
NOINLINE static void crash() {
    FILE* f = tmpfile();
    volatile char* p = (char*)mmap(NULL, 4096, PROT_READ, MAP_SHARED, fileno(f), 0);
    zero = p[100];  // here: fault12
}
#elif WAY == 13  // a place that the compiler takes for never reached
NOINLINE static void crash() {
    __builtin_trap();  // here: fault13
}
#elif WAY == 14  // a method without a body
struct Base {
    NOINLINE Base() { call(); }
    NOINLINE void call() { method(); }
    virtual void method() = 0;
};
struct Derived : Base {
    NOINLINE Derived() {}
    void method() override {}
};
NOINLINE static void crash() {
    Derived d;  // here: fault14
    zero++;
}
#elif WAY == 15  // a local array that is too short
NOINLINE static void fill(char* to, int n) {
    for (int i = 0; i < n; i++) to[i] = 'x';
}
NOINLINE static void crash() {
    char room[16];
    fill(room, 40 + zero);
    zero = room[3];
}  // here: fault15
#endif

extern "C" void entry(void (*)()) {
    crash();
    zero++;
}
