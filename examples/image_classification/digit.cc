#include "digit.h"

#include <algorithm>
#include <climits>
#include <cmath>
#include <cstdlib>
#include <vector>

#include "refused.h"

namespace {

constexpr int kDigitSize = 20;  // the longer side of the digit in what the network gets

constexpr double kMinContrast = 24;  // grey levels between digit and background
constexpr int kSmoothed = 64;        // a picture with a longer side is smoothed to look for strokes
// Of the contrast: a stroke is what is above kLow, where some of it is above kHigh.
constexpr double kLow = 0.2, kHigh = 0.5;
// In a noisy picture kLow is what this many times the edge's median lies below, up to kMaxLow.
constexpr double kNoise = 4, kMaxLow = 0.4;
constexpr double kSpeck = 0.1;  // of the largest stroke's weight: what is less is no part of the digit

// Returns the median; of an even number of values the upper one of the two in the middle.
double middle(std::vector<double> values) {
  const auto nth = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), nth, values.end());
  return *nth;
}

// Calls a function with the place of each pixel in the outermost rows and columns,
// and returns the median of what it returns.
template <typename Function>
double middle_of_edge(int width, int height, const Function& value) {
  std::vector<double> values;
  values.reserve(2 * (static_cast<std::size_t>(width) + static_cast<std::size_t>(height)));
  for (int x = 0; x < width; x++) {
    values.push_back(value(x, 0));
    values.push_back(value(x, height - 1));
  }
  for (int y = 0; y < height; y++) {
    values.push_back(value(0, y));
    values.push_back(value(width - 1, y));
  }
  return middle(std::move(values));
}

std::vector<double> row(const Picture<unsigned char>& grey, int y) { return {grey.row(y), grey.row(y) + grey.width}; }

std::vector<double> column(const Picture<unsigned char>& grey, int x) {
  std::vector<double> values;
  for (int y = 0; y < grey.height; y++) {
    values.push_back(grey.row(y)[x]);
  }
  return values;
}

// The brightness of what the digit is on.
struct Paper {
  double level = 0;              // in the middle of the picture
  double right = 0, down = 0;    // how much brighter it gets from a pixel to the next
  double middle_x = 0, middle_y = 0;

  double slope(int x, int y) const { return right * (x - middle_x) + down * (y - middle_y); }
  double at(int x, int y) const { return slope(x, y) + level; }
};

// Returns what the picture's edge tells of the paper. It is even: the median of the
// edge. Or, where that fits the edge better, it rises evenly from side to side, as
// under a lamp or beside a window.
Paper find_paper(const Picture<unsigned char>& grey) {
  const auto median = [&grey](const auto& value) { return middle_of_edge(grey.width, grey.height, value); };

  Paper even;
  even.level = median([&](int x, int y) { return grey.row(y)[x]; });

  Paper rising;
  rising.middle_x = (grey.width - 1) / 2.0;
  rising.middle_y = (grey.height - 1) / 2.0;
  rising.right = (middle(column(grey, grey.width - 1)) - middle(column(grey, 0))) / std::max(1, grey.width - 1);
  rising.down = (middle(row(grey, grey.height - 1)) - middle(row(grey, 0))) / std::max(1, grey.height - 1);
  rising.level = median([&](int x, int y) { return grey.row(y)[x] - rising.slope(x, y); });

  const auto misfit = [&](const Paper& paper) {
    return median([&](int x, int y) { return std::abs(grey.row(y)[x] - paper.at(x, y)); });
  };
  return misfit(rising) < misfit(even) ? rising : even;
}

// Returns how far each pixel is from the paper.
Picture<double> find_ink(const Picture<unsigned char>& grey, const Paper& paper) {
  Picture<double> ink(grey.width, grey.height);
  for (int y = 0; y < grey.height; y++) {
    for (int x = 0; x < grey.width; x++) {
      ink.row(y)[x] = std::abs(grey.row(y)[x] - paper.at(x, y));
    }
  }
  return ink;
}

// Returns the same for the mean of each pixel and the eight around it; the edge is
// repeated.
Picture<double> find_smooth_ink(const Picture<unsigned char>& grey, const Paper& paper) {
  Picture<double> ink(grey.width, grey.height);
  std::vector<int> sums(grey.width + 2);  // of three rows, with one more at both ends
  for (int y = 0; y < grey.height; y++) {
    const unsigned char* above = grey.row(std::max(y - 1, 0));
    const unsigned char* here = grey.row(y);
    const unsigned char* below = grey.row(std::min(y + 1, grey.height - 1));
    for (int x = 0; x < grey.width; x++) {
      sums[x + 1] = above[x] + here[x] + below[x];
    }
    sums.front() = sums[1];
    sums.back() = sums[grey.width];
    for (int x = 0; x < grey.width; x++) {
      ink.row(y)[x] = std::abs((sums[x] + sums[x + 1] + sums[x + 2]) / 9.0 - paper.at(x, y));
    }
  }
  return ink;
}

// Pixels of a row, from start to before end.
struct Run {
  int y, start, end;
};

// Pixels that hang together; right and bottom are behind the last ones.
struct Stroke {
  std::vector<Run> runs;
  int left = INT_MAX, top = INT_MAX, right = 0, bottom = 0;
  double weight = 0, peak = 0;

  void add(const Run& run, const Picture<double>& ink) {
    runs.push_back(run);
    left = std::min(left, run.start);
    right = std::max(right, run.end);
    top = std::min(top, run.y);
    bottom = std::max(bottom, run.y + 1);
    for (int x = run.start; x < run.end; x++) {
      weight += ink.row(run.y)[x];
      peak = std::max(peak, ink.row(run.y)[x]);
    }
  }
};

// Returns the strokes of what is above a threshold: pixels that touch, at corners
// too, are of one stroke.
std::vector<Stroke> connected(const Picture<double>& ink, double threshold) {
  std::vector<Run> runs;    // row by row
  std::vector<int> parent;  // of each run; a run that is its own parent stands for its stroke
  const auto root = [&parent](int i) {
    while (parent[i] != i) {
      parent[i] = parent[parent[i]];
      i = parent[i];
    }
    return i;
  };

  int above = 0;  // the first run of the row above; the first of this row is behind its last
  for (int y = 0; y < ink.height; y++) {
    const int first = static_cast<int>(runs.size());
    const double* row = ink.row(y);
    for (int x = 0; x < ink.width; x++) {
      if (row[x] <= threshold) {
        continue;
      }
      const int start = x;
      while (x < ink.width && row[x] > threshold) {
        x++;
      }
      const int run = static_cast<int>(runs.size());
      runs.push_back({y, start, x});
      parent.push_back(run);
      while (above < first && runs[above].end < start) {
        above++;  // and no later run of this row touches it
      }
      for (int other = above; other < first && runs[other].start <= x; other++) {
        parent[root(other)] = root(run);
      }
    }
    above = first;
  }

  std::vector<Stroke> strokes;
  std::vector<int> number(runs.size(), -1);  // of the stroke, at the run that stands for it
  for (std::size_t i = 0; i < runs.size(); i++) {
    int& which = number[root(static_cast<int>(i))];
    if (which < 0) {
      which = static_cast<int>(strokes.size());
      strokes.emplace_back();
    }
    strokes[which].add(runs[i], ink);
  }
  return strokes;
}

}  // namespace

Digit find_digit(const Picture<unsigned char>& grey) {
  const Paper paper = find_paper(grey);
  // Strokes are looked for in a picture without noise. A small one would lose its strokes as well.
  const bool smoothed = std::max(grey.width, grey.height) > kSmoothed;
  const Picture<double> ink = smoothed ? find_smooth_ink(grey, paper) : find_ink(grey, paper);
  const double contrast = largest(ink);
  if (contrast < kMinContrast) {
    throw Refused(400, "no digit in the picture: it is all of one brightness");
  }

  const double noise = middle_of_edge(ink.width, ink.height, [&](int x, int y) { return ink.row(y)[x]; });
  std::vector<Stroke> strokes = connected(ink, std::min(std::max(kLow * contrast, kNoise * noise), kMaxLow * contrast));
  const auto drop = [&strokes](auto is) { strokes.erase(std::remove_if(strokes.begin(), strokes.end(), is), strokes.end()); };
  drop([contrast](const Stroke& stroke) { return stroke.peak <= kHigh * contrast; });
  double heaviest = 0;
  for (const Stroke& stroke : strokes) {
    heaviest = std::max(heaviest, stroke.weight);
  }
  drop([heaviest](const Stroke& stroke) { return stroke.weight < kSpeck * heaviest; });

  Stroke all;  // the borders of all strokes
  for (const Stroke& stroke : strokes) {
    all.left = std::min(all.left, stroke.left);
    all.right = std::max(all.right, stroke.right);
    all.top = std::min(all.top, stroke.top);
    all.bottom = std::max(all.bottom, stroke.bottom);
  }
  // The digit itself is as sharp as it came.
  Picture<float> cut(all.right - all.left, all.bottom - all.top);
  for (const Stroke& stroke : strokes) {
    for (const Run& run : stroke.runs) {
      for (int x = run.start; x < run.end; x++) {
        cut.row(run.y - all.top)[x - all.left] = static_cast<float>(std::abs(grey.row(run.y)[x] - paper.at(x, run.y)));
      }
    }
  }

  const double scale = static_cast<double>(kDigitSize) / std::max(cut.width, cut.height);
  const Picture<float> small =
      resize(cut, std::max(1, round_half_up(cut.width * scale)), std::max(1, round_half_up(cut.height * scale)));
  // Thin strokes become faint where a large picture is made small. And where dots
  // lie close together, what is between them may be all that is taken for strokes.
  const float brightest = largest(small);
  if (brightest <= 0) {
    throw Refused(400, "no digit in the picture: there are dots only");
  }

  // The centre of mass goes to the middle, the pixel at (14, 14), as far as there is room.
  double total = 0, mass_x = 0, mass_y = 0;
  for (int y = 0; y < small.height; y++) {
    for (int x = 0; x < small.width; x++) {
      const double value = small.row(y)[x];
      total += value;
      mass_x += x * value;
      mass_y += y * value;
    }
  }
  const int left = std::clamp(round_half_up(kSize / 2.0 - mass_x / total), 0, kSize - small.width);
  const int top = std::clamp(round_half_up(kSize / 2.0 - mass_y / total), 0, kSize - small.height);

  Digit digit = {};
  for (int y = 0; y < small.height; y++) {
    for (int x = 0; x < small.width; x++) {
      digit[(top + y) * kSize + left + x] = small.row(y)[x] / brightest;
    }
  }
  return digit;
}
