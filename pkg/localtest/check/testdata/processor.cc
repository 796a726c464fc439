// A processor that is right, and what a macro makes wrong about it.
#include <cstdlib>
#include <cstring>

#ifdef MANGLED
#define EXPORT
#elif defined(HIDDEN)
#define EXPORT extern "C" __attribute__((visibility("hidden")))
#else
#define EXPORT extern "C"
#endif

#ifdef NAMESPACE
namespace my {
#endif
#ifdef STATIC
extern "C" {
__attribute__((used)) static
#else
EXPORT
#endif
void *
#ifdef OLD_NAMES
Load
#else
initialize
#endif
(const char *model_entry, const char *model_config, int *state) {
    *state = 0;
    return new size_t(strlen(model_entry) + strlen(model_config));
}

#ifdef STATIC
__attribute__((used)) static
#else
EXPORT
#endif
int
#ifdef OLD_NAMES
Process
#else
process
#endif
(void *model_buf, const void *input_data, int input_size, void **output_data, int *output_size) {
    *output_data = malloc(input_size + 1);
    memcpy(*output_data, input_data, input_size);
    *output_size = input_size;
    return *static_cast<size_t *>(model_buf) == 0 ? 400 : 200;
}
#ifdef STATIC
}
#endif
#ifdef NAMESPACE
}
#endif
