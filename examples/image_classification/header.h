// What a JPEG file says of itself, and whether it is taken.
#pragma once

#include <string_view>

struct Header {
  int width = 0;
  int height = 0;
  int components = 0;
  bool progressive = false;
  int scans = 0;
  bool in_scans = false;  // the picture is spread over several scans
  int orientation = 1;    // Exif's: 1 as it is, 3 upside down, 6 and 8 turned, others mirrored
};

// Walks over all of a file's markers, decoding nothing. Throws Refused where the
// file is no JPEG, ends too early, is of a kind that is not taken, or is too large.
Header read_header(std::string_view data);
