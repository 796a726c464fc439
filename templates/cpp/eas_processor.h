// eas_processor.h: the two functions that EAS calls in a C/C++ processor.
//
// EAS loads the library named by "processor_entry" and looks both functions up
// by name. They must therefore have C linkage: this header declares them so,
// and a definition that follows an #include of it needs no extern "C" of its
// own. A definition with other parameter types does not match and is reported
// by the compiler or by `eascmd test`.

#ifndef EAS_PROCESSOR_H_
#define EAS_PROCESSOR_H_

#if defined(__GNUC__)
#define EAS_EXPORT __attribute__((visibility("default")))
#else
#define EAS_EXPORT
#endif

#ifdef __cplusplus
extern "C" {
#endif

// Loads the model. Called once in a process, before any request.
//
//   model_entry   The absolute path of "model_entry" of service.json below the
//                 model directory; of the model itself where that is empty.
//                 It may hold "//" and "./", which file functions accept.
//   model_config  The text of "model_config"; "" where there is none.
//   state         Set it to 0 when the model is loaded. Anything else refuses
//                 to start the service.
//
// Both strings end with a zero byte and are valid only during the call: copy
// what is needed later.
//
// Returns what every call of process gets as model_buf. It may be NULL. EAS
// never gives it back for release.
EAS_EXPORT void* initialize(const char* model_entry, const char* model_config, int* state);

// Answers one request. Called by several threads at the same time, as many as
// "rpc.worker_threads" says (5 where it is not set): what model_buf points to
// is shared and has to be read-only or locked.
//
//   input_data    The request's body: input_size bytes, without a zero byte
//                 behind them. They are valid only during the call.
//   output_data   Set it to the answer, allocated with malloc (strdup and
//                 strndup do so too): the caller releases it with free. Memory
//                 from new, static memory and input_data itself will not do.
//                 NULL with a size of 0 is an empty answer.
//   output_size   Set it to the answer's size in bytes.
//
// Returns the status of the answer: 0 or 200 for success, 201 to 599 to have
// that HTTP status sent with the answer as its body. Anything else becomes 400.
//
// No C++ exception may leave this function: it would end the process.
EAS_EXPORT int process(void* model_buf, const void* input_data, int input_size,
                       void** output_data, int* output_size);

#ifdef __cplusplus
}  // extern "C"
#endif

#endif  // EAS_PROCESSOR_H_
