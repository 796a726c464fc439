#include "picture.h"

#include <algorithm>
#include <cmath>

namespace {

// What one pixel of the result has of the pixels before: of the one at first, the
// one behind it, and so on. The shares add up to 1.
struct Shares {
  int first;
  std::vector<double> of;
};

// Returns the shares of each of `after` pixels that `before` pixels in a row become.
std::vector<Shares> shares(int before, int after) {
  const double scale = static_cast<double>(before) / after;
  const double reach = std::max(scale, 1.0);
  std::vector<Shares> all(after);
  for (int i = 0; i < after; i++) {
    const double centre = (i + 0.5) * scale;
    const int first = std::max(0, static_cast<int>(std::floor(centre - reach - 0.5)));
    const int last = std::min(before - 1, static_cast<int>(std::ceil(centre + reach - 0.5)));
    all[i].first = first;
    double sum = 0;
    for (int j = first; j <= last; j++) {
      all[i].of.push_back(std::max(0.0, 1 - std::abs(j + 0.5 - centre) / reach));
      sum += all[i].of.back();
    }
    for (double& share : all[i].of) {
      share /= sum;
    }
  }
  return all;
}

}  // namespace

template <typename Value>
Picture<float> resize(const Picture<Value>& picture, int width, int height) {
  Picture<float> narrow(width, picture.height);
  const std::vector<Shares> columns = shares(picture.width, width);
  for (int y = 0; y < picture.height; y++) {
    const Value* row = picture.row(y);
    for (int x = 0; x < width; x++) {
      double sum = 0;
      for (std::size_t i = 0; i < columns[x].of.size(); i++) {
        sum += columns[x].of[i] * static_cast<float>(row[columns[x].first + i]);
      }
      narrow.row(y)[x] = static_cast<float>(sum);
    }
  }

  Picture<float> result(width, height);
  const std::vector<Shares> rows = shares(picture.height, height);
  std::vector<double> sums(width);
  for (int y = 0; y < height; y++) {
    std::fill(sums.begin(), sums.end(), 0.0);
    for (std::size_t i = 0; i < rows[y].of.size(); i++) {
      const float* row = narrow.row(rows[y].first + static_cast<int>(i));
      for (int x = 0; x < width; x++) {
        sums[x] += rows[y].of[i] * row[x];
      }
    }
    std::copy(sums.begin(), sums.end(), result.row(y));
  }
  return result;
}

template Picture<float> resize(const Picture<unsigned char>&, int, int);
template Picture<float> resize(const Picture<float>&, int, int);
template Picture<float> resize(const Picture<double>&, int, int);

template <typename Value>
Value largest(const Picture<Value>& picture) {
  Value result = 0;
  for (const Value value : picture.pixels) {
    result = std::max(result, value);
  }
  return result;
}

template double largest(const Picture<double>&);
template float largest(const Picture<float>&);

int round_half_up(double x) { return static_cast<int>(std::floor(x + 0.5)); }
