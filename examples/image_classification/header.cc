#include "header.h"

#include <cstdio>
#include <string>

#include "refused.h"

namespace {

using std::string_view;
using std::size_t;

// A baseline JPEG is decoded row by row, whatever its size: this bounds the time.
constexpr long kMaxPixels = 100'000'000;
// Several scans over the picture: all coefficients are in memory, up to 6 bytes a pixel.
constexpr long kMaxPixelsInScans = 16'000'000;
// Encoders write about 10. Each one goes over the whole picture and may cost a few bytes only.
constexpr int kMaxScans = 100;

const char* const kEarly = "the JPEG ends too early";

unsigned byte(string_view data, size_t at) { return static_cast<unsigned char>(data[at]); }

bool starts_with(string_view data, string_view beginning) { return data.substr(0, beginning.size()) == beginning; }

[[noreturn]] void broken(const std::string& why) { throw Refused(400, "the JPEG is broken: " + why); }

std::string marker_at(unsigned marker, size_t at) {
  char text[64];
  std::snprintf(text, sizeof text, "marker 0x%02x at byte %zu", marker, at);
  return text;
}

// Returns what the bytes are, as far as their beginning tells, or "".
const char* kind(string_view data) {
  static const struct {
    string_view beginning;
    const char* name;
  } kinds[] = {
      {"\x89PNG", "a PNG"},
      {"GIF8", "a GIF"},
      {"BM", "a BMP"},
      {string_view("II*\0", 4), "a TIFF"},
      {string_view("MM\0*", 4), "a TIFF"},
      {"%PDF", "a PDF"},
      {"PK\3\4", "a ZIP archive"},
      {"\x1f\x8b", "compressed by gzip"},
      {"/9j/", "a JPEG in base64"},
      {"data:", "a data URL"},
      {"--", "a form of several parts"},
  };
  for (const auto& known : kinds) {
    if (starts_with(data, known.beginning)) {
      return known.name;
    }
  }
  if (starts_with(data, "RIFF") && data.size() >= 12 && data.substr(8, 4) == "WEBP") {
    return "a WebP";
  }
  if (data.size() >= 8 && data.substr(4, 4) == "ftyp") {
    return "a HEIC, AVIF or MP4";
  }
  // Bytes below the space, other than tab, line feed and carriage return, are in no text.
  for (const unsigned char c : data.substr(0, 64)) {
    if (c < 32 && c != '\t' && c != '\n' && c != '\r') {
      return "";
    }
  }
  return "text";
}

// Returns where the next marker behind the coded data of a scan is: 0xFF, and
// neither a stuffed 0, a restart marker nor another 0xFF behind it.
size_t after_scan(string_view data, size_t at) {
  while ((at = data.find('\xff', at)) != string_view::npos && at + 1 < data.size()) {
    const unsigned next = byte(data, at + 1);
    if (next != 0x00 && next != 0xFF && (next < 0xD0 || next > 0xD7)) {
      return at;
    }
    at++;
  }
  return string_view::npos;
}

// Reads a frame header, SOFn.
void read_frame(Header* header, unsigned marker, string_view segment) {
  if (segment.size() < 6) {
    broken("its frame header is too short");
  }
  const unsigned precision = byte(segment, 0);
  header->height = static_cast<int>(byte(segment, 1) << 8 | byte(segment, 2));
  header->width = static_cast<int>(byte(segment, 3) << 8 | byte(segment, 4));
  header->components = static_cast<int>(byte(segment, 5));
  if (marker > 0xC2) {
    throw Refused(400, "a lossless or arithmetic coded JPEG is not taken: send a baseline or progressive one");
  }
  if (precision != 8) {
    throw Refused(400, "a JPEG of " + std::to_string(precision) + " bits is not taken: send one of 8 bits");
  }
  if (header->components != 1 && header->components != 3) {
    throw Refused(400, "a JPEG of " + std::to_string(header->components) +
                           " colour components is not taken: send a grey or RGB one");
  }
  if (header->width == 0 || header->height == 0) {
    broken(std::to_string(header->width) + "x" + std::to_string(header->height) + " pixels");
  }
  header->progressive = marker == 0xC2;
}

// Refuses a picture that would take too much time or memory.
void check_size(const Header& header) {
  const long pixels = static_cast<long>(header.width) * header.height;
  if (pixels > (header.in_scans ? kMaxPixelsInScans : kMaxPixels)) {
    throw Refused(413, "too large: " + std::to_string(header.width) + "x" + std::to_string(header.height) +
                           " pixels; at most " + std::to_string(kMaxPixels / 1'000'000) +
                           " megapixels, progressive " + std::to_string(kMaxPixelsInScans / 1'000'000));
  }
}

// Reads the numbers of a TIFF structure, which is of either byte order.
class Tiff {
 public:
  explicit Tiff(string_view data) : data_(data), little_(data[0] == 'I') {}

  size_t number(size_t at, int bytes) const {
    size_t value = 0;
    for (int i = 0; i < bytes; i++) {
      value = value << 8 | byte(data_, at + (little_ ? bytes - 1 - i : i));
    }
    return value;
  }

 private:
  string_view data_;
  bool little_;
};

// Returns the orientation that an APP1 segment of Exif says, or 1.
int orientation(string_view segment) {
  if (!starts_with(segment, string_view("Exif\0\0", 6))) {
    return 1;
  }
  const string_view data = segment.substr(6);
  if ((!starts_with(data, "II") && !starts_with(data, "MM")) || data.size() < 8) {
    return 1;
  }
  const Tiff tiff(data);
  const size_t directory = tiff.number(4, 4);
  if (directory + 2 > data.size()) {
    return 1;
  }
  const size_t entries = tiff.number(directory, 2);
  for (size_t i = 0; i < entries; i++) {
    const size_t entry = directory + 2 + 12 * i;
    if (entry + 12 > data.size()) {
      return 1;
    }
    constexpr size_t kOrientation = 0x0112, kShort = 3;
    if (tiff.number(entry, 2) == kOrientation && tiff.number(entry + 2, 2) == kShort) {
      const size_t value = tiff.number(entry + 8, 2);
      return value >= 1 && value <= 8 ? static_cast<int>(value) : 1;
    }
  }
  return 1;
}

}  // namespace

Header read_header(string_view data) {
  if (data.empty()) {
    throw Refused(400, "empty: send a JPEG file");
  }
  if (data.substr(0, 2) != string_view("\xff\xd8").substr(0, data.size())) {
    const std::string what = kind(data);
    throw Refused(400, "this is " + (what.empty() ? "no JPEG" : what + ", no JPEG") + ": send a JPEG file");
  }
  Header header;
  size_t at = 2;
  for (;;) {
    // A marker is 0xFF and its kind; more of 0xFF may stand before it.
    if (at < data.size() && byte(data, at) != 0xFF) {
      broken("no marker at byte " + std::to_string(at));
    }
    while (at < data.size() && byte(data, at) == 0xFF) {
      at++;
    }
    if (at >= data.size()) {
      throw Refused(400, kEarly);
    }
    const unsigned marker = byte(data, at);
    at++;
    if (marker == 0xD9) {  // EOI
      break;
    }
    if (marker == 0x01 || (marker >= 0xD0 && marker <= 0xD7)) {  // TEM, RSTn: without a length
      continue;
    }
    if (marker < 0xC0 || marker == 0xD8) {
      broken(marker_at(marker, at - 2));
    }
    if (at + 2 > data.size()) {
      throw Refused(400, kEarly);
    }
    const size_t length = byte(data, at) << 8 | byte(data, at + 1);
    if (length < 2) {
      broken(marker_at(marker, at - 2) + " has no length");
    }
    if (at + length > data.size()) {
      throw Refused(400, kEarly);
    }
    const string_view segment = data.substr(at + 2, length - 2);
    at += length;

    if (marker >= 0xC0 && marker <= 0xCF && marker != 0xC4 && marker != 0xC8 && marker != 0xCC) {  // SOFn; not DHT, JPG, DAC
      if (header.components != 0) {
        broken("two frames");
      }
      read_frame(&header, marker, segment);
    } else if (marker == 0xE1 && header.orientation == 1) {  // APP1
      header.orientation = orientation(segment);
    } else if (marker == 0xDA) {  // SOS
      if (header.components == 0 || segment.empty()) {
        broken("a scan without a frame");
      }
      header.scans++;
      if (header.scans == 1) {
        header.in_scans = header.progressive || static_cast<int>(byte(segment, 0)) < header.components;
        check_size(header);
      }
      if (header.scans > kMaxScans) {
        throw Refused(413, "too large: more than " + std::to_string(kMaxScans) + " scans");
      }
      at = after_scan(data, at);
      if (at == string_view::npos) {
        throw Refused(400, kEarly);
      }
    }
  }
  if (header.scans == 0) {
    broken("it holds no picture");
  }
  return header;
}
