// From a JPEG file to the brightness of its picture.
#pragma once

#include <string_view>

#include "picture.h"

// Returns the brightness of a JPEG file's picture, as it is to be looked at, the
// longer side at most 256 pixels. Throws Refused.
Picture<unsigned char> decode(std::string_view data);
