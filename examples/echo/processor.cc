// The echo processor: answers a request with the files of its model and the
// body it was sent. It behaves like the echo demo of EAS, its odd output
// included, so that answers can be compared with a deployed service.

#include <dirent.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <iostream>
#include <memory>
#include <string>
#include <string_view>

namespace {

constexpr int kOk = 200;
constexpr int kBadRequest = 400;

// The demo prints into a buffer of 8192 bytes, of which C's final zero byte
// takes one.
constexpr std::size_t kLongestAnswer = 8191;

// Loaded once by initialize and only read afterwards: process needs no lock,
// though several threads call it at the same time.
struct Model {
  std::string files;
};

// Returns the path itself for a file, "path,entry,entry..." for a directory,
// with the entries in the order in which the file system lists them.
bool list_files(const std::string& path, std::string* files) {
  struct stat info;
  if (stat(path.c_str(), &info) == 0 && S_ISREG(info.st_mode)) {
    *files = path;
    return true;
  }
  std::unique_ptr<DIR, int (*)(DIR*)> dir(opendir(path.c_str()), closedir);
  if (!dir) {
    return false;
  }
  *files = path;
  while (const dirent* entry = readdir(dir.get())) {
    *files += ',';
    *files += entry->d_name;
  }
  return true;
}

// Hands text over as an answer. The caller of process releases it with free.
int answer(int status, std::string_view text, void** output_data, int* output_size) {
  char* copy = static_cast<char*>(std::malloc(std::max<std::size_t>(text.size(), 1)));
  if (copy == nullptr) {
    return 500;
  }
  std::memcpy(copy, text.data(), text.size());
  *output_data = copy;
  *output_size = static_cast<int>(text.size());
  return status;
}

}  // namespace

extern "C" {

void* initialize(const char* model_entry, const char* /*model_config*/, int* state) {
  auto model = std::make_unique<Model>();
  if (!list_files(model_entry, &model->files)) {
    std::cerr << "cannot open model entry " << model_entry << ": " << std::strerror(errno) << std::endl;
    *state = kBadRequest;
    return nullptr;
  }
  std::cout << "echo: loaded " << model->files << std::endl;
  *state = 0;
  return model.release();  // EAS never gives it back: it lives as long as the process
}

int process(void* model_buf, const void* input_data, int input_size, void** output_data, int* output_size) {
  if (input_size == 0) {
    return answer(kBadRequest, "input data should not be empty", output_data, output_size);
  }
  const auto* model = static_cast<const Model*>(model_buf);

  // The body is bytes, not a C string; the demo prints it as one, up to the
  // first zero byte.
  std::string_view body(static_cast<const char*>(input_data), input_size);
  body = body.substr(0, body.find('\0'));

  // The comma behind "inputcontent" should be a colon. It is what the demo
  // answers, so it stays.
  std::string text;
  text.reserve(std::min(kLongestAnswer, model->files.size() + body.size() + 64));
  text += "{\"modelfiles\": \"";
  text += model->files;
  text += "\", \"inputcontent\", \"";
  text += body.substr(0, kLongestAnswer);
  text += "\"}";
  if (text.size() > kLongestAnswer) {
    text.resize(kLongestAnswer);
  }
  return answer(kOk, text, output_data, output_size);
}

}  // extern "C"
