// A processor that scores a row of numbers with a linear model. It is small on
// purpose: replace Model and Score with your own, and keep the frame.

#include "eas_processor.h"

#include <cstdlib>
#include <cstring>
#include <exception>
#include <fstream>
#include <iostream>
#include <memory>
#include <sstream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace {

// A request that cannot be answered; its text becomes the body of a 400.
struct BadRequest : std::runtime_error {
  using std::runtime_error::runtime_error;
};

// The model: one weight per input. It is loaded once and only read afterwards,
// so that threads share it without a lock.
class Model {
 public:
  explicit Model(const std::string& path) {
    std::ifstream file(path);
    if (!file) {
      throw std::runtime_error("cannot open " + path);
    }
    for (double weight; file >> weight;) {
      weights_.push_back(weight);
    }
    if (weights_.empty() || !file.eof()) {
      throw std::runtime_error(path + " does not hold a list of numbers");
    }
  }

  std::size_t size() const { return weights_.size(); }

  double Score(const std::vector<double>& row) const {
    if (row.size() != weights_.size()) {
      throw BadRequest("expected " + std::to_string(weights_.size()) + " numbers, got " + std::to_string(row.size()));
    }
    double sum = 0;
    for (std::size_t i = 0; i < row.size(); ++i) {
      sum += weights_[i] * row[i];
    }
    return sum;
  }

 private:
  std::vector<double> weights_;
};

std::vector<double> ParseRow(std::string_view body) {
  std::istringstream text{std::string(body)};
  std::vector<double> row;
  for (double number; text >> number;) {
    row.push_back(number);
  }
  if (!text.eof()) {
    throw BadRequest("expected numbers with blanks between them");
  }
  return row;
}

// Hands text over as an answer in memory that the caller releases with free.
int Answer(int status, std::string_view text, void** output_data, int* output_size) {
  char* copy = static_cast<char*>(std::malloc(text.size() + 1));
  if (copy == nullptr) {
    return 500;
  }
  std::memcpy(copy, text.data(), text.size());
  *output_data = copy;
  *output_size = static_cast<int>(text.size());
  return status;
}

}  // namespace

void* initialize(const char* model_entry, const char* /*model_config*/, int* state) {
  try {
    auto model = std::make_unique<Model>(model_entry);
    std::cout << "loaded a model of " << model->size() << " weights" << std::endl;
    *state = 0;
    return model.release();
  } catch (const std::exception& e) {
    std::cerr << "cannot load the model: " << e.what() << std::endl;
    *state = 1;
    return nullptr;
  }
}

int process(void* model_buf, const void* input_data, int input_size, void** output_data, int* output_size) {
  const auto* model = static_cast<const Model*>(model_buf);
  try {
    const std::string_view body(static_cast<const char*>(input_data), input_size);
    std::ostringstream text;
    text << "{\"score\": " << model->Score(ParseRow(body)) << "}";
    return Answer(200, text.str(), output_data, output_size);
  } catch (const BadRequest& e) {
    return Answer(400, e.what(), output_data, output_size);
  } catch (const std::exception& e) {
    return Answer(500, e.what(), output_data, output_size);
  }
}
