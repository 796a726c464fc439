// A chain of calls with what makes names hard: static functions, inlined
// functions, templates, namespaces, methods and lambdas. "here: NAME" marks
// the line that the frame of NAME must show.
typedef void (*Callback)();
static Callback stop;
static volatile int sink;

namespace shop {

template <typename T>
struct Table {
    T rows[4];
    __attribute__((noinline)) int find(T key) const;
};

template <typename T>
__attribute__((noinline)) int Table<T>::find(T key) const {
    stop();  // here: find
    return rows[0] + key + sink++;
}

static inline __attribute__((always_inline)) int innermost(const Table<long>& t, int key) {
    int n = t.find(key);  // here: innermost
    sink += n;
    return n;
}

static inline __attribute__((always_inline)) int inlined(const Table<long>& t, int key) {
    if (sink < 0) return 1;
    return innermost(t, key) + 1;  // here: inlined
}

namespace {
__attribute__((noinline)) int hidden(const Table<long>& t, int key) {
    int n = inlined(t, key);  // here: hidden
    sink += n;
    return n;
}
}  // namespace

struct Visitor {
    Table<long> table = {{1, 2, 3, 4}};
    __attribute__((noinline)) int visit(int key) {
        int n = hidden(table, key);  // here: visit
        sink += n;
        return n;
    }
};

}  // namespace shop

static __attribute__((noinline)) int local(int key) {
    shop::Visitor v;
    auto call = [&](int k) __attribute__((noinline)) {
        int n = v.visit(k);  // here: lambda
        sink += n;
        return n;
    };
    int n = call(key);  // here: local
    sink += n;
    return n;
}

extern "C" __attribute__((visibility("default"))) void entry(Callback callback) {
    stop = callback;
    sink = local(3);  // here: entry
    sink++;
}
