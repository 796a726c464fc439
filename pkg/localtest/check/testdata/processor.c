/* The same in C, with more to go wrong. */
#include <stdlib.h>
#include <string.h>

#ifdef USES
int USES(int);
#endif
#ifdef WEAK
__attribute__((weak)) int WEAK(int);
#endif
#ifdef WORKSPACE
const char *const paths[] = {"/home/admin/docker_ml/workspace/model/1", "open /eas/workspace/model now", "/eas/workspace/model now"};
#endif

void *initialize(const char *model_entry, const char *model_config, int *state) {
    (void)model_entry, (void)model_config;
    *state = 0;
#ifdef USES
    *state = USES(1);
#endif
#ifdef WEAK
    if (WEAK) *state = WEAK(1);
#endif
    return NULL;
}

#ifdef ONLY_INITIALIZE
#elif defined(VARIABLE)
int process = 1;
#elif defined(DECLARED)
int process(void *, const void *, int, void **, int *);
int (*const table[])(void *, const void *, int, void **, int *) = {process};
#else
int process(void *model_buf, const void *input_data, int input_size, void **output_data, int *output_size) {
    (void)model_buf;
    *output_data = malloc((size_t)input_size + 1);
    memcpy(*output_data, input_data, (size_t)input_size);
    *output_size = input_size;
    return 200;
}
#endif
