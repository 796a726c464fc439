// A processor that computes on a GPU: it adds the numbers of a request to those
// of its model, one after the other.

#include <cuda_runtime.h>

#include <cctype>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <memory>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

namespace {

constexpr int kOk = 200;
constexpr int kBadRequest = 400;
constexpr int kFailed = 500;

struct FreeDevice {
  void operator()(float* memory) const { cudaFree(memory); }
};

using DeviceMemory = std::unique_ptr<float, FreeDevice>;

// Copies numbers to the GPU; null where that fails.
DeviceMemory to_device(const std::vector<float>& numbers) {
  float* memory = nullptr;
  const std::size_t size = numbers.size() * sizeof(float);
  if (cudaMalloc(&memory, size) != cudaSuccess) {
    return nullptr;
  }
  DeviceMemory owned(memory);
  if (cudaMemcpy(memory, numbers.data(), size, cudaMemcpyHostToDevice) != cudaSuccess) {
    return nullptr;
  }
  return owned;
}

// Loaded once by initialize and only read afterwards: process needs no lock,
// though several threads call it at the same time.
struct Model {
  std::size_t size;
  DeviceMemory numbers;
};

__global__ void add(const float* model, float* input, int n) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n) {
    input[i] += model[i];
  }
}

// Reads the numbers of a text that blanks separate; false where there is
// something else in it.
bool parse(std::string_view text, std::vector<float>* numbers) {
  std::istringstream in{std::string(text)};
  numbers->assign(std::istream_iterator<float>(in), {});
  return in.eof();
}

// Hands text over as an answer. The caller of process releases it with free.
int answer(int status, std::string_view text, void** output_data, int* output_size) {
  char* copy = static_cast<char*>(std::malloc(text.size() + 1));
  if (copy == nullptr) {
    return kFailed;
  }
  std::memcpy(copy, text.data(), text.size());
  *output_data = copy;
  *output_size = static_cast<int>(text.size());
  return status;
}

}  // namespace

extern "C" {

void* initialize(const char* model_entry, const char* /*model_config*/, int* state) {
  *state = kFailed;
  std::ifstream file(model_entry);
  std::vector<float> numbers;
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  if (!file || !parse(text, &numbers) || numbers.empty()) {
    std::fprintf(stderr, "cuda: %s holds no numbers\n", model_entry);
    return nullptr;
  }
  // The first call that needs the GPU, so this is where it is found missing.
  cudaDeviceProp gpu;
  DeviceMemory memory;
  if (cudaGetDeviceProperties(&gpu, 0) == cudaSuccess) {
    memory = to_device(numbers);
  }
  if (!memory) {
    std::fprintf(stderr, "cuda: the GPU cannot be used: %s\n", cudaGetErrorString(cudaGetLastError()));
    return nullptr;
  }
  std::fprintf(stderr, "cuda: loaded %zu numbers to the %s\n", numbers.size(), gpu.name);
  *state = 0;
  return new Model{numbers.size(), std::move(memory)};
}

int process(void* model_buf, const void* input_data, int input_size, void** output_data, int* output_size) {
  const Model& model = *static_cast<const Model*>(model_buf);
  std::vector<float> numbers;
  if (!parse({static_cast<const char*>(input_data), static_cast<std::size_t>(input_size)}, &numbers) ||
      numbers.size() != model.size) {
    return answer(kBadRequest, "the request takes " + std::to_string(model.size) + " numbers, with blanks between them", output_data, output_size);
  }
  const DeviceMemory input = to_device(numbers);
  if (input) {
    const int n = static_cast<int>(numbers.size());
    constexpr int kBlock = 256;
    add<<<(n + kBlock - 1) / kBlock, kBlock>>>(model.numbers.get(), input.get(), n);
    // Waits for the kernel, and reports what went wrong in it.
    cudaMemcpy(numbers.data(), input.get(), numbers.size() * sizeof(float), cudaMemcpyDeviceToHost);
  }
  if (const cudaError_t error = cudaGetLastError(); !input || error != cudaSuccess) {
    return answer(kFailed, std::string("the GPU failed: ") + cudaGetErrorString(error), output_data, output_size);
  }
  std::ostringstream out;
  for (std::size_t i = 0; i < numbers.size(); i++) {
    out << (i > 0 ? " " : "") << numbers[i];
  }
  return answer(kOk, out.str(), output_data, output_size);
}

}  // extern "C"
