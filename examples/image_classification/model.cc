#include "model.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <stdexcept>
#include <system_error>
#include <vector>

namespace {

const char* const kInput = "image";
const char* const kOutput = "scores";
constexpr int kDigits = 10;

// The number of pictures comes first, as the model says it: any, or one.
using Shape = std::vector<std::int64_t>;
const Shape kInputShape = {-1, 1, kSize, kSize};
const Shape kOutputShape = {-1, kDigits};

const ort::Api& find_api() {
  // All that is used here has been there since the first version of the interface.
  const ort::Api* api = OrtGetApiBase()->GetApi(1);
  if (api == nullptr) {
    throw std::runtime_error(std::string("ONNX Runtime ") + OrtGetApiBase()->GetVersionString() + " is too new");
  }
  return *api;
}

// Throws what a call of the library says that went wrong.
void must(const ort::Api& api, ort::Status* status) {
  if (status != nullptr) {
    const Owned<ort::Status> owned(status, api.ReleaseStatus);
    throw std::runtime_error(api.GetErrorMessage(status));
  }
}

// Calls a function of the library that makes something.
template <typename Object, typename... Parameters, typename... Arguments>
Owned<Object> make(const ort::Api& api, void (*release)(Object*), ort::Status* (*function)(Parameters...), Arguments... arguments) {
  Object* object = nullptr;
  must(api, function(arguments..., &object));
  return Owned<Object>(object, release);
}

// Returns why a model cannot be loaded, of what the library says, which may begin
// with the file's name and the place in the library's source code.
std::string reason(std::string text) {
  const auto drop_until = [&text](const char* end) {
    if (const std::size_t at = text.find(end); at != std::string::npos) {
      text.erase(0, at + std::strlen(end));
    }
  };
  drop_until(" failed:");
  if (text[0] == '/') {
    drop_until(") ");  // of the function's parameters
  }
  text.erase(text.find_last_not_of(" \n") + 1);
  return text;
}

// Returns the model's file.
std::string find_file(const std::string& entry) {
  namespace fs = std::filesystem;
  std::error_code error;
  const fs::file_status status = fs::status(entry, error);
  if (!fs::exists(status)) {
    throw std::runtime_error(entry + ": " + error.message());
  }
  if (!fs::is_directory(status)) {
    return entry;
  }
  std::vector<std::string> found;
  for (const fs::directory_entry& file : fs::directory_iterator(entry)) {
    if (file.path().extension() == ".onnx") {
      found.push_back(file.path().string());
    }
  }
  if (found.empty()) {
    throw std::runtime_error(entry + " holds no file *.onnx");
  }
  if (found.size() > 1) {
    throw std::runtime_error(entry + " holds " + std::to_string(found.size()) + " files *.onnx: model_entry has to name one of them");
  }
  return found[0];
}

// What a model says of one of its inputs or outputs.
struct Tensor {
  std::string name;
  bool is_float = false;
  Shape shape;

  // Returns it as one reads it: "image" float32 [N, 1, 28, 28].
  std::string text() const {
    std::string result = "\"" + name + "\" " + (is_float ? "float32 [" : "of another type [");
    for (std::size_t i = 0; i < shape.size(); i++) {
      result += (i > 0 ? ", " : "") + (shape[i] < 0 ? "N" : std::to_string(shape[i]));
    }
    return result + "]";
  }

  // Reports whether it can be used in place of another one: the number of pictures
  // may be left open, or be one.
  bool fits(const Tensor& wanted) const {
    return name == wanted.name && is_float == wanted.is_float && shape.size() == wanted.shape.size() && (shape[0] < 0 || shape[0] == 1) &&
           std::equal(shape.begin() + 1, shape.end(), wanted.shape.begin() + 1);
  }
};

// Asks a model for its first input, or output.
Tensor ask(const ort::Api& api, const ort::Session* session, ort::Status* (*get_name)(const ort::Session*, std::size_t, ort::Allocator*, char**),
           ort::Status* (*get_type)(const ort::Session*, std::size_t, ort::TypeInfo**)) {
  Tensor tensor;
  ort::Allocator* allocator = nullptr;  // the library's own, which nobody releases
  must(api, api.GetAllocatorWithDefaultOptions(&allocator));
  char* name = nullptr;
  must(api, get_name(session, 0, allocator, &name));
  tensor.name = name;
  must(api, api.AllocatorFree(allocator, name));

  const Owned<ort::TypeInfo> type = make(api, api.ReleaseTypeInfo, get_type, session, std::size_t{0});
  const ort::TensorInfo* info = nullptr;  // belongs to type
  must(api, api.CastTypeInfoToTensorInfo(type.get(), &info));
  if (info != nullptr) {  // null for a list or a map
    int element = 0;
    must(api, api.GetTensorElementType(info, &element));
    tensor.is_float = element == ort::kFloat;
    std::size_t dimensions = 0;
    must(api, api.GetDimensionsCount(info, &dimensions));
    tensor.shape.resize(dimensions);
    must(api, api.GetDimensions(info, tensor.shape.data(), dimensions));
  }
  return tensor;
}

}  // namespace

Model::Model(const std::string& entry)
    : path_(find_file(entry)),
      api_(find_api()),
      env_(nullptr, api_.ReleaseEnv),
      memory_(nullptr, api_.ReleaseMemoryInfo),
      session_(nullptr, api_.ReleaseSession) {
  try {
    load();
    check();
    classify(Digit{});
  } catch (const std::exception& error) {
    throw std::runtime_error(path_ + ": " + error.what());
  }
}

void Model::load() {
  env_ = make(api_, api_.ReleaseEnv, api_.CreateEnv, ort::kLogErrors, "image_classification");
  memory_ = make(api_, api_.ReleaseMemoryInfo, api_.CreateCpuMemoryInfo, ort::kDeviceAllocator, ort::kMemoryDefault);
  const Owned<ort::SessionOptions> options = make(api_, api_.ReleaseSessionOptions, api_.CreateSessionOptions);
  // Requests are computed side by side by the threads that call process. Threads of
  // the library's own would only be in their way.
  must(api_, api_.SetIntraOpNumThreads(options.get(), 1));
  // A network this small allocates little: malloc, whose memory is each thread's
  // own, does it as fast as an arena that all share.
  must(api_, api_.DisableCpuMemArena(options.get()));
  try {
    session_ = make(api_, api_.ReleaseSession, api_.CreateSession, env_.get(), path_.c_str(), options.get());
  } catch (const std::exception& error) {
    throw std::runtime_error("it is no model that ONNX Runtime can run: " + reason(error.what()));
  }
}

// Throws where the model is one for something else.
void Model::check() const {
  std::size_t inputs = 0, outputs = 0;
  must(api_, api_.SessionGetInputCount(session_.get(), &inputs));
  must(api_, api_.SessionGetOutputCount(session_.get(), &outputs));
  if (inputs != 1 || outputs != 1) {
    throw std::runtime_error("the model has to have one input and one output, and has " + std::to_string(inputs) + " and " + std::to_string(outputs));
  }
  const Tensor input = ask(api_, session_.get(), api_.SessionGetInputName, api_.SessionGetInputTypeInfo);
  const Tensor output = ask(api_, session_.get(), api_.SessionGetOutputName, api_.SessionGetOutputTypeInfo);
  const Tensor wanted_input = {kInput, true, kInputShape}, wanted_output = {kOutput, true, kOutputShape};
  if (!input.fits(wanted_input)) {
    throw std::runtime_error("the model's input is " + input.text() + ", and has to be " + wanted_input.text());
  }
  if (!output.fits(wanted_output)) {
    throw std::runtime_error("the model's output is " + output.text() + ", and has to be " + wanted_output.text());
  }
}

int Model::classify(const Digit& digit) const {
  Shape input_shape = kInputShape, output_shape = kOutputShape;
  input_shape[0] = output_shape[0] = 1;
  // Neither is copied: the library reads the digit where it is, and only reads it,
  // and writes the scores where they are wanted.
  std::array<float, kDigits> scores = {};
  const Owned<ort::Value> input = make(api_, api_.ReleaseValue, api_.CreateTensorWithDataAsOrtValue, memory_.get(), const_cast<float*>(digit.data()),
                                       sizeof digit, input_shape.data(), input_shape.size(), ort::kFloat);
  const Owned<ort::Value> output = make(api_, api_.ReleaseValue, api_.CreateTensorWithDataAsOrtValue, memory_.get(), scores.data(), sizeof scores,
                                        output_shape.data(), output_shape.size(), ort::kFloat);
  const ort::Value* const inputs[] = {input.get()};
  ort::Value* outputs[] = {output.get()};
  must(api_, api_.Run(session_.get(), nullptr, &kInput, inputs, 1, &kOutput, 1, outputs));
  if (!std::all_of(scores.begin(), scores.end(), [](float score) { return std::isfinite(score); })) {
    throw std::runtime_error("the model's scores are no numbers");
  }
  return static_cast<int>(std::max_element(scores.begin(), scores.end()) - scores.begin());
}
