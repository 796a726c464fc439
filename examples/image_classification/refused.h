// Why a request is not answered with a digit.
#pragma once

#include <stdexcept>
#include <string>

// A request that is answered with an HTTP status other than 200; what() says why.
class Refused : public std::runtime_error {
 public:
  Refused(int status, const std::string& why) : std::runtime_error(why), status(status) {}

  const int status;
};
