// From a picture to the digit in it.
#pragma once

#include <array>

#include "picture.h"

constexpr int kSize = 28;

// What the network takes: rows from top to bottom, 0 to 1, white on black.
using Digit = std::array<float, kSize * kSize>;

// Returns what is no background, as large and where the network wants it. Throws
// Refused where the picture is all of one brightness.
Digit find_digit(const Picture<unsigned char>& grey);
