// The network that tells which digit it is.
#pragma once

#include <memory>
#include <string>

#include "digit.h"
#include "onnxruntime.h"

// What ONNX Runtime has made and gets back.
template <typename Object>
using Owned = std::unique_ptr<Object, void (*)(Object*)>;

// A model in an ONNX file, and what it takes to run it. It does not change after it
// was loaded: several threads may use one at the same time.
class Model {
 public:
  // Loads a file, or the one file *.onnx of a directory, and runs the network once,
  // so that the first request is as quick as others. Throws std::exception: what()
  // names the file and what is wrong with it.
  explicit Model(const std::string& entry);

  const std::string& path() const { return path_; }

  // Returns 0 to 9. Throws std::exception where the network cannot be run.
  int classify(const Digit& digit) const;

 private:
  void load();
  void check() const;

  std::string path_;
  const ort::Api& api_;
  Owned<ort::Env> env_;
  Owned<ort::MemoryInfo> memory_;
  Owned<ort::Session> session_;
};
