#include "digit.h"

#include <algorithm>
#include <climits>
#include <cmath>
#include <cstdlib>
#include <vector>

#include "refused.h"

namespace {

const char* const kNoDigit = "no digit in the picture: it is all of one brightness";

constexpr int kDigitSize = 20;  // the longer side of the digit in what the network gets

constexpr double kMinContrast = 24;  // grey levels between digit and background
// A picture with a longer side is smoothed, and rid of shadows, to look for strokes.
constexpr int kSmoothed = 64;
// Of the contrast: a stroke is what is above kLow, where some of it is above kHigh.
constexpr double kLow = 0.2, kHigh = 0.5;
// In a noisy picture kLow is this many times the median of the edge, up to kMaxLow.
constexpr double kNoise = 4, kMaxLow = 0.4;
constexpr int kReach = 13;      // of kSmoothed pixels: what is wider than twice that is no stroke but light and shadow
constexpr double kSide = 0.7;   // of one of the picture's sides: what takes more of it is a table's edge or a frame
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

// Returns the mean of each pixel and the eight around it, less the paper; the edge is
// repeated.
Picture<double> smooth_out(const Picture<unsigned char>& grey, const Paper& paper) {
  Picture<double> result(grey.width, grey.height);
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
      result.row(y)[x] = (sums[x] + sums[x + 1] + sums[x + 2]) / 9.0 - paper.at(x, y);
    }
  }
  return result;
}

// Makes each value the extreme of up to kReach values before and behind it.
template <typename Extreme>
void spread(std::vector<float>* line, const Extreme& extreme) {
  const std::size_t size = line->size();
  std::vector<float> of(kReach, line->front());  // the line, its ends repeated
  of.insert(of.end(), line->begin(), line->end());
  of.insert(of.end(), kReach, line->back());
  // The extreme of the values from each one on: of 2, 4, 8, 16. Two of these are
  // enough for one of 27.
  constexpr std::size_t kWindow = 2 * kReach + 1;
  std::size_t length = 1;
  for (; 2 * length <= kWindow; length *= 2) {
    for (std::size_t i = 0; i + length < of.size(); i++) {
      of[i] = extreme(of[i], of[i + length]);
    }
  }
  for (std::size_t i = 0; i < size; i++) {
    (*line)[i] = extreme(of[i], of[i + kWindow - length]);
  }
}

// The same for all columns of a picture, and then for all rows.
template <typename Extreme>
void spread(Picture<float>* picture, const Extreme& extreme) {
  std::vector<float> line(picture->height);
  for (int x = 0; x < picture->width; x++) {
    for (int y = 0; y < picture->height; y++) {
      line[y] = picture->row(y)[x];
    }
    spread(&line, extreme);
    for (int y = 0; y < picture->height; y++) {
      picture->row(y)[x] = line[y];
    }
  }
  for (int y = 0; y < picture->height; y++) {
    line.assign(picture->row(y), picture->row(y) + picture->width);
    spread(&line, extreme);
    std::copy(line.begin(), line.end(), picture->row(y));
  }
}

// Returns a picture without anything as narrow as a stroke: what is left is shadows
// and the like.
Picture<float> find_shade(const Picture<double>& ink) {
  const double scale = static_cast<double>(kSmoothed) / std::max(ink.width, ink.height);
  Picture<float> small = resize(ink, std::max(1, round_half_up(ink.width * scale)), std::max(1, round_half_up(ink.height * scale)));
  // Each pixel becomes the least of those around it, which leaves no stroke, then the
  // greatest, which gives back their size to all others.
  spread(&small, [](float a, float b) { return std::min(a, b); });
  spread(&small, [](float a, float b) { return std::max(a, b); });
  return resize(small, ink.width, ink.height);
}

// How much each pixel differs from what the digit is on.
class Ink {
 public:
  explicit Ink(const Picture<unsigned char>& grey) : grey_(grey), paper_(find_paper(grey)) {
    // Strokes are looked for in a picture without noise. A small one would lose its
    // strokes as well.
    if (std::max(grey.width, grey.height) <= kSmoothed) {
      smooth = Picture<double>(grey.width, grey.height);
      for (int y = 0; y < grey.height; y++) {
        for (int x = 0; x < grey.width; x++) {
          smooth.row(y)[x] = at(x, y);
        }
      }
      return;
    }
    smooth = smooth_out(grey, paper_);
    // Ink is darker than paper or brighter: as what differs most from the paper is.
    const auto [darkest, brightest] = std::minmax_element(smooth.pixels.begin(), smooth.pixels.end());
    if (-*darkest > *brightest) {
      sign_ = -1;
      for (double& value : smooth.pixels) {
        value = -value;
      }
    }
    shade_ = find_shade(smooth);
    for (std::size_t i = 0; i < smooth.pixels.size(); i++) {
      smooth.pixels[i] -= shade_.pixels[i];
    }
    // Noise makes the paper's shade too low, by as much as half of the picture is above it.
    level_ = middle(smooth.pixels);
    for (double& value : smooth.pixels) {
      value = std::max(0.0, value - level_);
    }
  }

  // Returns it for a pixel as it is.
  double at(int x, int y) const {
    const double difference = grey_.row(y)[x] - paper_.at(x, y);
    return shade_.pixels.empty() ? std::abs(difference) : std::max(0.0, sign_ * difference - shade_.row(y)[x] - level_);
  }

  // The same, smoothed: strokes are looked for here.
  Picture<double> smooth;

 private:
  const Picture<unsigned char>& grey_;
  const Paper paper_;
  int sign_ = 1;
  Picture<float> shade_;
  double level_ = 0;
};

// Pixels of a row, from start to before end.
struct Run {
  int y, start, end;
};

// Pixels that hang together; right and bottom are behind the last ones.
struct Stroke {
  std::vector<Run> runs;
  int left = INT_MAX, top = INT_MAX, right = 0, bottom = 0;
  double weight = 0, peak = 0;

  // Reports whether it takes most of one of the picture's sides.
  bool along_side(int width, int height) const {
    int up = 0, down = 0, before = 0, behind = 0;
    for (const Run& run : runs) {
      up += run.y == 0 ? run.end - run.start : 0;
      down += run.y == height - 1 ? run.end - run.start : 0;
      before += run.start == 0;
      behind += run.end == width;
    }
    return std::max(up, down) > kSide * width || std::max(before, behind) > kSide * height;
  }

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
  const Ink ink(grey);
  const double contrast = largest(ink.smooth);
  if (contrast < kMinContrast) {
    throw Refused(400, kNoDigit);
  }

  const double noise = middle_of_edge(grey.width, grey.height, [&](int x, int y) { return ink.smooth.row(y)[x]; });
  std::vector<Stroke> strokes = connected(ink.smooth, std::min(std::max(kLow * contrast, kNoise * noise), kMaxLow * contrast));
  const auto drop = [&strokes](auto is) { strokes.erase(std::remove_if(strokes.begin(), strokes.end(), is), strokes.end()); };
  drop([contrast](const Stroke& stroke) { return stroke.peak <= kHigh * contrast; });
  // What is along a whole side of the picture is a table's or a frame's, unless there is nothing else.
  const auto along_side = [&grey](const Stroke& stroke) { return stroke.along_side(grey.width, grey.height); };
  if (!std::all_of(strokes.begin(), strokes.end(), along_side)) {
    drop(along_side);
  }
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
        cut.row(run.y - all.top)[x - all.left] = static_cast<float>(ink.at(x, run.y));
      }
    }
  }

  const double scale = static_cast<double>(kDigitSize) / std::max(cut.width, cut.height);
  const Picture<float> small =
      resize(cut, std::max(1, round_half_up(cut.width * scale)), std::max(1, round_half_up(cut.height * scale)));
  // Thin strokes become faint where a large picture is made small.
  const float brightest = largest(small);
  if (brightest <= 0) {
    throw Refused(400, kNoDigit);
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
