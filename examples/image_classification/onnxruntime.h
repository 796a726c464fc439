// The part of ONNX Runtime's C interface that is used here.
//
// The library exports one function, OrtGetApiBase, which leads to a table of all
// others. Places in the table are for good: newer versions only add to its end. So
// a program that uses twenty of them needs no more than their places and types, and
// this file spares the build the header files, which Maven Central does not have for
// Linux. Whoever uses more of it takes onnxruntime_cxx_api.h of a release instead.
#pragma once

#include <cstddef>
#include <cstdint>

namespace ort {

// All of these are made and released by the library.
struct Status;  // null where all went well
struct Env;
struct SessionOptions;
struct Session;
struct RunOptions;
struct MemoryInfo;
struct Allocator;
struct TypeInfo;
struct TensorInfo;
struct Value;

constexpr int kLogErrors = 3;       // OrtLoggingLevel: 2 would be warnings
constexpr int kFloat = 1;           // ONNXTensorElementDataType
constexpr int kDeviceAllocator = 0; // OrtAllocatorType
constexpr int kMemoryDefault = 0;   // OrtMemType

using Unused = void (*)();

struct Api {
  Unused place0[2];
  const char* (*GetErrorMessage)(const Status*);
  Status* (*CreateEnv)(int level, const char* log_id, Env**);
  Unused place4[3];
  Status* (*CreateSession)(const Env*, const char* path, const SessionOptions*, Session**);
  Unused place8[1];
  Status* (*Run)(Session*, const RunOptions*, const char* const* input_names, const Value* const* inputs, std::size_t input_count,
                 const char* const* output_names, std::size_t output_count, Value** outputs);
  Status* (*CreateSessionOptions)(SessionOptions**);
  Unused place11[8];
  Status* (*DisableCpuMemArena)(SessionOptions*);
  Unused place20[4];
  Status* (*SetIntraOpNumThreads)(SessionOptions*, int);
  Unused place25[5];
  Status* (*SessionGetInputCount)(const Session*, std::size_t*);
  Status* (*SessionGetOutputCount)(const Session*, std::size_t*);
  Unused place32[1];
  Status* (*SessionGetInputTypeInfo)(const Session*, std::size_t index, TypeInfo**);
  Status* (*SessionGetOutputTypeInfo)(const Session*, std::size_t index, TypeInfo**);
  Unused place35[1];
  Status* (*SessionGetInputName)(const Session*, std::size_t index, Allocator*, char**);
  Status* (*SessionGetOutputName)(const Session*, std::size_t index, Allocator*, char**);
  Unused place38[11];
  Status* (*CreateTensorWithDataAsOrtValue)(const MemoryInfo*, void* data, std::size_t bytes, const std::int64_t* shape, std::size_t dimensions,
                                            int type, Value**);
  Unused place50[5];
  Status* (*CastTypeInfoToTensorInfo)(const TypeInfo*, const TensorInfo**);
  Unused place56[4];
  Status* (*GetTensorElementType)(const TensorInfo*, int*);
  Status* (*GetDimensionsCount)(const TensorInfo*, std::size_t*);
  Status* (*GetDimensions)(const TensorInfo*, std::int64_t*, std::size_t);
  Unused place63[6];
  Status* (*CreateCpuMemoryInfo)(int allocator, int memory, MemoryInfo**);
  Unused place70[6];
  Status* (*AllocatorFree)(Allocator*, void*);
  Unused place77[1];
  Status* (*GetAllocatorWithDefaultOptions)(Allocator**);
  Unused place79[13];
  void (*ReleaseEnv)(Env*);
  void (*ReleaseStatus)(Status*);
  void (*ReleaseMemoryInfo)(MemoryInfo*);
  void (*ReleaseSession)(Session*);
  void (*ReleaseValue)(Value*);
  Unused place97[1];
  void (*ReleaseTypeInfo)(TypeInfo*);
  Unused place99[1];
  void (*ReleaseSessionOptions)(SessionOptions*);
};

static_assert(offsetof(Api, Run) == 9 * sizeof(Unused));
static_assert(offsetof(Api, CreateTensorWithDataAsOrtValue) == 49 * sizeof(Unused));
static_assert(offsetof(Api, ReleaseSessionOptions) == 100 * sizeof(Unused));

struct ApiBase {
  const Api* (*GetApi)(std::uint32_t version);  // null where the library does not know the version
  const char* (*GetVersionString)();
};

}  // namespace ort

extern "C" const ort::ApiBase* OrtGetApiBase() noexcept;
