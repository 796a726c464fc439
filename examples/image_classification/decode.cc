#include "decode.h"

#include <algorithm>
#include <csetjmp>
#include <cstdio>  // jpeglib.h needs it
#include <new>
#include <string>

#include <jpeglib.h>

#include <jerror.h>

#include "header.h"
#include "refused.h"

namespace {

constexpr int kWorkingSize = 256;  // the longer side of the picture in which the digit is looked for

// The most that libjpeg may hold for one picture: the coefficients of the largest
// that is taken in several scans, and some more.
constexpr long kMaxMemory = 128L << 20;

// A decoder of libjpeg. Its errors leave through longjmp, over libjpeg's frames
// and nothing else: each call is made by guarded, which throws what the error was.
class Decoder {
 public:
  Decoder() = default;
  Decoder(const Decoder&) = delete;
  Decoder& operator=(const Decoder&) = delete;
  ~Decoder() { jpeg_destroy_decompress(&info_); }  // does nothing where nothing was created

  // Takes the picture 1/factor as large. The data has to outlive the decoder.
  void start(std::string_view data, int factor) {
    info_.err = jpeg_std_error(&errors_);
    errors_.error_exit = leave;
    errors_.output_message = [](j_common_ptr) {};  // warnings are not for the log: clients cause them
    info_.client_data = this;
    guarded([&] {
      jpeg_create_decompress(&info_);
      info_.mem->max_memory_to_use = kMaxMemory;
      jpeg_mem_src(&info_, reinterpret_cast<const unsigned char*>(data.data()), data.size());
      info_.src->fill_input_buffer = at_end;
      jpeg_read_header(&info_, TRUE);
      info_.out_color_space = JCS_GRAYSCALE;
      info_.scale_num = 1;
      info_.scale_denom = static_cast<unsigned>(factor);
      jpeg_start_decompress(&info_);
    });
  }

  int width() const { return static_cast<int>(info_.output_width); }
  int height() const { return static_cast<int>(info_.output_height); }

  void read_row(unsigned char* row) {
    guarded([&] { jpeg_read_scanlines(&info_, &row, 1); });
  }

  // Reads the file to its end.
  void finish() {
    guarded([&] { jpeg_finish_decompress(&info_); });
  }

 private:
  // longjmp runs no destructors: what is called has no objects that need one.
  template <typename Call>
  void guarded(const Call& call) {
    if (setjmp(place_) == 0) {
      call();
      return;
    }
    switch (errors_.msg_code) {
      case JERR_OUT_OF_MEMORY:
        throw std::bad_alloc();
      case JERR_INPUT_EOF:
        throw Refused(400, "the JPEG ends too early");
    }
    char message[JMSG_LENGTH_MAX];
    errors_.format_message(reinterpret_cast<j_common_ptr>(&info_), message);
    throw Refused(400, std::string("the JPEG is broken: ") + message);
  }

  [[noreturn]] static void leave(j_common_ptr info) { std::longjmp(static_cast<Decoder*>(info->client_data)->place_, 1); }

  // All that there is has been given to libjpeg at once. Its own function goes on
  // with a grey rest here.
  static boolean at_end(j_decompress_ptr info) {
    ERREXIT(info, JERR_INPUT_EOF);
    return FALSE;
  }

  jpeg_decompress_struct info_ = {};
  jpeg_error_mgr errors_ = {};
  std::jmp_buf place_;
};

// Returns a picture upright that Exif says is turned or mirrored.
Picture<unsigned char> turn(const Picture<unsigned char>& grey, int orientation) {
  const bool at_diagonal = orientation >= 5;
  const bool left_right = orientation == 2 || orientation == 3 || orientation == 6 || orientation == 7;
  const bool upside_down = orientation == 3 || orientation == 4 || orientation == 7 || orientation == 8;
  Picture<unsigned char> result(at_diagonal ? grey.height : grey.width, at_diagonal ? grey.width : grey.height);
  for (int y = 0; y < result.height; y++) {
    for (int x = 0; x < result.width; x++) {
      const int from_x = left_right ? result.width - 1 - x : x;
      const int from_y = upside_down ? result.height - 1 - y : y;
      result.row(y)[x] = at_diagonal ? grey.row(from_x)[from_y] : grey.row(from_y)[from_x];
    }
  }
  return result;
}

}  // namespace

Picture<unsigned char> decode(std::string_view data) {
  const Header header = read_header(data);
  // The decoder itself makes it smaller, at a part of the cost, as long as it stays large enough.
  const int longer = std::max(header.width, header.height), shorter = std::min(header.width, header.height);
  int factor = 1;
  while (factor < 8 && longer >= 2 * factor * kWorkingSize && shorter >= 2 * factor) {
    factor *= 2;
  }

  Decoder decoder;
  decoder.start(data, factor);
  Picture<unsigned char> grey(decoder.width(), decoder.height());
  for (int y = 0; y < grey.height; y++) {
    decoder.read_row(grey.row(y));
  }
  decoder.finish();

  if (std::max(grey.width, grey.height) > kWorkingSize) {
    const double scale = static_cast<double>(kWorkingSize) / std::max(grey.width, grey.height);
    const Picture<float> smaller = resize(grey, std::max(1, round_half_up(grey.width * scale)), std::max(1, round_half_up(grey.height * scale)));
    grey = Picture<unsigned char>(smaller.width, smaller.height);
    for (std::size_t i = 0; i < grey.pixels.size(); i++) {
      grey.pixels[i] = static_cast<unsigned char>(round_half_up(smaller.pixels[i]));
    }
  }
  return header.orientation == 1 ? grey : turn(grey, header.orientation);
}
