// What a set of kernels computes, and the data it computes it on.
//
// Bit c % 32 of word c / 32 holds channel c of a packed activation or weight: 0 stands for +1,
// 1 for -1, and the bits above the last channel are 0. Activations are N, H, W, words; filters
// are O, H, W, words.
#ifndef BCD_KERNELS_H_
#define BCD_KERNELS_H_

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum { kWordBits = 32 };

// No count of bits exceeds this, so twice a count, and a border correction, fit an int32.
enum { kMaxCount = 1 << 28 };

// The bits of the negative floats, the one closest to zero and minus infinity.
static const uint32_t kFirstNegative = 0x80000001u, kLastNegative = 0xff800000u;

static inline int64_t words_of(int64_t channels) {
  return (channels + kWordBits - 1) / kWordBits;
}

// x < 0 by the bits: between the smallest negative number and minus infinity; -0 and NaN are
// not negative. A comparison of floats would depend on whether the caller's program flushes
// denormal numbers to zero.
static inline bool is_negative(float x) {
  uint32_t bits;
  memcpy(&bits, &x, sizeof(bits));
  return bits - kFirstNegative <= kLastNegative - kFirstNegative;
}

// A window that slides over an image: of a convolution or of a pooling.
typedef struct {
  int batch;
  int in_height, in_width, in_words;  // words of one input pixel, all groups
  int out_height, out_width;
  int window_height, window_width;
  int stride_height, stride_width;
  int dilation_height, dilation_width;
  int pad_top, pad_left;
} Window;

typedef enum { kOutputFloat, kOutputInt8, kOutputBits } OutputKind;

// A binary convolution, as the equations at the head of reference.c read it.
typedef struct {
  Window window;
  int groups;
  int group_channels_in;  // K / (window_height * window_width)
  int group_words;        // words of one input pixel of one group
  int group_channels_out;
  int channels_out;
  bool pads_with_zero;  // a true zero outside the image; otherwise +1
  bool has_activation;
  int32_t clamp_min, clamp_max;  // of the doubled count of differing bits
  OutputKind output;
  const uint32_t* filter;  // [channels_out][window_height][window_width][group_words]
  // All [channels_out] and kLanes more, so that a kernel may read whole blocks.
  const float* multiplier;  // of the doubled count
  const float* bias;
  const float* scale;        // the multiplier as it stands in the file
  const int32_t* threshold;  // within +-kMaxCount

  // What only the tiled convolution uses, see tiles.h.
  const uint32_t* packed;   // the filter in the order of tiles.h, see pack_filter
  const int32_t* tap_sums;  // [window_height * window_width][channels_out], zero padding
  int panel_pixels;         // output pixels that are computed together
  size_t scratch_bytes;     // of one thread
} Convolution;

// Channels of one block: a kernel computes so many side by side.
enum { kLanes = 16 };
// The largest tile a kernel computes at once.
enum { kTilePixels = 4, kTileBlocks = 4, kTileChannels = kLanes * kTileBlocks };

// A tiled convolution's scratch: panel_pixels of these, then as many patches.
typedef struct {
  const uint32_t* row;
  int64_t in_y, in_x;  // of the window's first row and column; negative in the padding
  bool is_border;      // part of the window lies outside the image
} PanelPixel;

// Words behind one output channel of one output pixel.
static inline int convolution_depth(const Convolution* c) {
  return c->window.window_height * c->window.window_width * c->group_words;
}

// A 1x1 window without padding reads its row of words where it lies in the image.
static inline bool needs_patches(const Convolution* c) {
  const Window* w = &c->window;
  return w->window_height != 1 || w->window_width != 1 || w->pad_top != 0 || w->pad_left != 0;
}

// Rows of float values; with stride 0 one row that serves every pixel.
typedef struct {
  const float* data;
  size_t stride;
} Operand;

// What an activation cuts a value to. A value that is not a number stays what it is.
typedef struct {
  float low, high;
} Bounds;

typedef struct {
  const char* name;
  bool (*runs_here)(void);
  void (*quantize_float)(const float* in, size_t rows, int channels, uint32_t* out);
  void (*quantize_int8)(const int8_t* in, size_t rows, int channels, int zero_point,
                        uint32_t* out);
  // Pixels [first, last) of the flattened batch * out_height * out_width.
  void (*convolve)(const Convolution* convolution, const uint32_t* in, void* out, size_t first,
                   size_t last, void* scratch);
  bool is_tiled;  // convolve needs packed, tap_sums and scratch, and what follows is there

  // The parts of a fused stage, see stage.h. They work on `pixels` rows of `channels` values,
  // `stride` values apart; inputs and output do not overlap.

  // Places the windows of an ungrouped convolution over a panel of output pixels.
  void (*place)(const Convolution* convolution, const uint32_t* in, size_t first, int pixels,
                PanelPixel* panel, uint32_t* patches);
  // Convolves for at most kTileChannels output channels, from a multiple of kTileChannels on.
  void (*convolve_floats)(const Convolution* convolution, const PanelPixel* panel, int pixels,
                          int channel, int channels, float* out, size_t stride);
  void (*add)(Operand a, Operand b, const Bounds* bounds, int pixels, int channels, float* out,
              size_t stride);
  void (*multiply)(Operand a, Operand b, const Bounds* bounds, int pixels, int channels,
                   float* out, size_t stride);
  // The sign of a + b; b.data may be NULL.
  void (*quantize)(Operand a, Operand b, int pixels, int channels, uint32_t* out,
                   size_t stride);
  // prelu(a + shortcut + shift, slopes) + rise, added in this order: what follows a convolution
  // in a residual block. All but a and slopes may be NULL.
  void (*activate)(Operand a, Operand shortcut, Operand shift, Operand slopes, Operand rise,
                   int pixels, int channels, float* out, size_t stride);
} Kernels;

extern const Kernels reference_kernels;
extern const Kernels avx2_kernels;
extern const Kernels avx512_kernels;
extern const Kernels neon_kernels;

// "auto" is the fastest set that runs here. NULL if there is no set of that name, or if this
// machine lacks its instructions.
const Kernels* find_kernels(const char* name);

// These are bound by memory: one portable version serves every machine.
void quantize_bool(const bool* in, size_t rows, int channels, uint32_t* out);
void dequantize_float(const uint32_t* in, size_t rows, int channels, float* out);
void dequantize_int8(const uint32_t* in, size_t rows, int channels, int8_t plus_one,
                     int8_t minus_one, int8_t* out);
void dequantize_bool(const uint32_t* in, size_t rows, int channels, bool* out);
void max_pool(const Window* window, const uint32_t* in, uint32_t* out, size_t first,
              size_t last);

#endif  // BCD_KERNELS_H_
