// Tells which handwritten digit a JPEG file shows: {"result": 9}.
//
// What happens to a request is in four files: header.cc reads what the file says of
// itself, decode.cc makes a small grey picture of it, digit.cc cuts out the digit,
// and model.cc asks the network.

#include <malloc.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <memory>
#include <string>
#include <string_view>

#include "decode.h"
#include "digit.h"
#include "model.h"
#include "refused.h"

// All else stays inside the library: neither its own functions nor libjpeg's are
// mixed up with those of another library in the process.
#define EXPORTED extern "C" __attribute__((visibility("default")))

namespace {

constexpr int kOk = 200;
constexpr int kFailed = 500;

// Says something in the service's log.
void log(const char* what, const char* detail) { std::fprintf(stderr, "image_classification: %s %s\n", what, detail); }

// Has what a large picture took go back to the system as soon as it is freed. Left
// to itself, malloc learns from the first one to keep such blocks, in each thread.
// What a usual request takes stays: asking for it anew would cost more than the rest.
void keep_little_memory() {
  constexpr int kLargest = 4 << 20;
  mallopt(M_MMAP_THRESHOLD, kLargest);
  mallopt(M_TRIM_THRESHOLD, kLargest);
}

// Hands text over as an answer. The caller of process releases it with free.
int answer(int status, std::string_view text, void** output_data, int* output_size) {
  void* copy = std::malloc(text.size());
  if (copy == nullptr) {
    return kFailed;
  }
  std::memcpy(copy, text.data(), text.size());
  *output_data = copy;
  *output_size = static_cast<int>(text.size());
  return status;
}

}  // namespace

// No exception may leave these two functions: nobody could catch it.

EXPORTED void* initialize(const char* model_entry, const char* /*model_config*/, int* state) {
  *state = kFailed;
  keep_little_memory();
  try {
    auto model = std::make_unique<Model>(model_entry);
    log("loaded", model->path().c_str());
    *state = 0;
    return model.release();  // EAS never gives it back: it lives as long as the process
  } catch (const std::exception& error) {
    log("cannot load", error.what());
  }
  return nullptr;
}

EXPORTED int process(void* model_buf, const void* input_data, int input_size, void** output_data, int* output_size) {
  const auto* model = static_cast<const Model*>(model_buf);
  const std::string_view body(static_cast<const char*>(input_data), static_cast<std::size_t>(input_size));
  try {
    const int digit = model->classify(find_digit(decode(body)));
    return answer(kOk, "{\"result\": " + std::to_string(digit) + "}", output_data, output_size);
  } catch (const Refused& refused) {
    return answer(refused.status, refused.what(), output_data, output_size);
  } catch (const std::exception& error) {
    log("a request failed:", error.what());
  }
  return answer(kFailed, "Predict Process Failed", output_data, output_size);
}
