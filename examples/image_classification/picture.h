// Pictures of one value a pixel.
#pragma once

#include <cstddef>
#include <vector>

// Rows from top to bottom, without gaps.
template <typename Value>
struct Picture {
  int width = 0;
  int height = 0;
  std::vector<Value> pixels;

  Picture() = default;
  Picture(int width, int height)
      : width(width), height(height), pixels(static_cast<std::size_t>(width) * static_cast<std::size_t>(height)) {}

  Value* row(int y) { return pixels.data() + static_cast<std::size_t>(y) * width; }
  const Value* row(int y) const { return pixels.data() + static_cast<std::size_t>(y) * width; }
};

// Returns a picture in another size: bilinear, over all pixels that go into one.
// It is compiled for unsigned char, float and double.
template <typename Value>
Picture<float> resize(const Picture<Value>& picture, int width, int height);

// Returns the largest value of a picture that has no negative one. It is compiled
// for double and float.
template <typename Value>
Value largest(const Picture<Value>& picture);

// Rounds to the nearest number, a half upwards.
int round_half_up(double x);
