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
  // Twice the multiplier, for the count itself: the same bits. NULL if that cannot be, or if
  // counts are clamped.
  const float* count_multiplier;
  const float* bias;
  const float* scale;        // the multiplier as it stands in the file
  const int32_t* threshold;  // within +-kMaxCount

  // What only the tiled convolution uses, see tiles.h.
  const int32_t*
      map;      // where each input word of a sample lies, see passes/elide_moves.h; may be NULL
  int map_run;  // words that stay together in the map
  size_t image_words;       // from one sample to the next where they lie
  const uint32_t* packed;   // the filter in the kernels' own order
  int patch_words;          // from one patch to the next
  const int32_t* tap_sums;  // [window_height * window_width][channels_out], zero padding
  int panel_pixels;         // output pixels that are computed together
  size_t scratch_bytes;     // of one thread
} Convolution;

// Channels of one block: a kernel computes so many side by side.
enum { kLanes = 16 };
// The largest tile a kernel computes at once, and what panels are multiples of, so that tiles
// of three, four and six pixels fill them.
enum {
  kMaxTilePixels = 6,
  kPanelStep = 12,
  kTileBlocks = 4,
  kTileChannels = kLanes * kTileBlocks
};
// A MEAN adds up so many pixels at a time, and then these sums. It is part of what a MEAN comes
// to, so it is the same everywhere; panels are multiples of it.
enum { kSumPixels = 12 };

// A tiled convolution's scratch: panel_pixels of these, then patches_bytes.
typedef struct {
  const uint32_t* row;
  int64_t in_y, in_x;  // of the window's first row and column; set if it is a border's
  bool is_border;      // part of the window lies outside the image
} PanelPixel;

// Words behind one output channel of one output pixel.
static inline int convolution_depth(const Convolution* c) {
  return c->window.window_height * c->window.window_width * c->group_words;
}

// Of the patches of so many pixels, of one that kernels may need to encode them, and of what
// they may write behind the last word.
static inline size_t patches_bytes(const Convolution* c, int pixels) {
  return (((size_t)pixels + 1) * (size_t)c->patch_words + kLanes) * sizeof(uint32_t);
}

// What an activation cuts a value to. A value that is not a number stays what it is.
typedef struct {
  float low, high;
} Bounds;

static inline float within_bounds(const Bounds* bounds, float x) {
  x = x < bounds->low ? bounds->low : x;
  return x > bounds->high ? bounds->high : x;
}

typedef struct {
  int inputs, outputs;
  const float* weights;  // [outputs][inputs]
  const float* bias;     // [outputs], and kLanes more so that a kernel may read whole blocks
  // The weights in tiles of up to kTileChannels outputs, in whole blocks of kLanes: for each
  // tile [inputs][outputs of the tile]. Only if is_tiled.
  const float* packed;
} FullyConnected;

// The most pixels that a kernel computes at once of a convolution of an image, and the most
// weights of one of its output channels.
enum { kMaxImagePixels = 6, kMaxImageDepth = 512 };

// A convolution of floats over an image of few channels, which networks begin with.
typedef struct {
  Window window;  // a word of the input is a float
  int channels_out;
  const float* filter;  // [channels_out][window_height][window_width][in_words]
  const float* bias;  // [channels_out], and kLanes more so that a kernel may read whole blocks
  bool has_bounds;
  Bounds bounds;
  // The filter in whole blocks of kLanes channels: for each of them [window_height]
  // [window_width][in_words][kLanes]. Only if is_tiled.
  const float* packed;
} ImageConvolution;

static inline int image_depth(const ImageConvolution* c) {
  return c->window.window_height * c->window.window_width * c->window.in_words;
}

// What an operand does to a row.
typedef enum { kSet, kAdd, kSubtract, kMultiply, kPrelu } Arithmetic;

// The instructions of a fused stage's program, see passes/fuse_codegen.h. Each works on a row,
// the channels of one pixel in a strip of at most kTileChannels, which is held in registers:
// its code, the function in row_ops.h that computes it, and what that does with its operand.
#define BCD_ROW_OPS(X)                                                                      \
  X(kSetRow, take_row, kSet) /* row = operand */                                            \
  X(kAddRow, take_row, kAdd) /* row = row + operand */                                      \
  X(kSubtractRow, take_row, kSubtract)                                                      \
  X(kMultiplyRow, take_row, kMultiply)                                                      \
  X(kPreluRow, take_row, kPrelu) /* row = row < 0 ? row * operand : row */                  \
  X(kSetRepeated, take_repeated, kSet)                                                      \
  X(kAddRepeated, take_repeated, kAdd)                                                      \
  X(kSetCounts, take_counts, kSet)                                                          \
  X(kAddCounts, take_counts, kAdd)                                                          \
  X(kSetPool, take_pool, kSet)                                                              \
  X(kAddPool, take_pool, kAdd)                                                              \
  X(kBound, bound_row, kSet)                                                                \
  X(kStore, store_row, kSet)                                                                \
  X(kSum, sum_row, kSet)   /* adds to the sum of its kSumPixels pixels; the first begins */ \
  X(kSign, sign_row, kSet) /* stores the signs, packed */                                   \
  /* The same of a row that may hold denormal numbers: it has not been computed with. */    \
  X(kSignExact, sign_row_exact, kSet)

#define BCD_CODE(code, function, arithmetic) code,
typedef enum { BCD_ROW_OPS(BCD_CODE) } RowCode;
#undef BCD_CODE

// An instruction.
typedef struct {
  const void* own[3];  // of the kernels that execute it
  RowCode code;
  // The operand in the first pixel of the panel, or where that pixel's result goes: floats, or
  // packed words.
  char* data;
  size_t stride;    // values, or words, to the next pixel
  bool is_in_tile;  // the data are of the pixels of the tile at hand, not of the panel
  int convolution;  // kSetCounts, kAddCounts: which of the strip's
  // kSetRepeated, kAddRepeated: so many channels over and over, from `offset` on; a multiple of
  // kLanes, both.
  int period, offset;
  // kSetPool, kAddPool: the first of four pixels to average for each of the panel's, and how
  // many values further the next one to the right, and the next one below, lie.
  const uint32_t* indices;
  size_t right, below;
  Bounds bounds;
} RowOp;

enum { kMaxStripConvolutions = 4 };

// A panel's pixels in some channels.
typedef struct {
  int pixels, channels;
  int convolutions;
  struct {
    const Convolution* convolution;
    const PanelPixel* panel;
    int channel;  // the convolution's, in which the strip begins; a multiple of kTileChannels
  } of[kMaxStripConvolutions];
} Strip;

typedef struct {
  const char* name;
  bool (*runs_here)(void);
  void (*quantize_float)(const float* in, size_t rows, int channels, uint32_t* out);
  void (*quantize_int8)(const int8_t* in, size_t rows, int channels, int zero_point,
                        uint32_t* out);
  // Pixels [first, last) of the flattened batch * out_height * out_width.
  void (*convolve)(const Convolution* convolution, const uint32_t* in, void* out, size_t first,
                   size_t last, void* scratch);
  // Adds pixels up, one after the other, in the channels [first, last); first is a multiple of
  // kLanes.
  void (*sum)(const float* in, size_t pixels, int channels, int first, int last, float* out);
  // Of each row, the outputs [first, last); first is a multiple of kTileChannels, and so is
  // last unless it is the end.
  void (*connect)(const FullyConnected* layer, const float* in, size_t rows, int first,
                  int last, float* out);
  // Pixels [first, last) of the flattened batch * out_height * out_width. There is scratch for
  // kMaxImagePixels * image_depth floats.
  void (*convolve_image)(const ImageConvolution* convolution, const float* in, float* out,
                         size_t first, size_t last, float* scratch);
  bool is_tiled;  // convolve needs packed, tap_sums and scratch, and what follows is there

  // Words that a patch takes in the kernels' own encoding.
  int (*patch_words)(const Convolution* convolution);

  // The filter in the order in which the kernels read it.
  size_t (*packed_words)(const Convolution* convolution);
  void (*pack)(const Convolution* convolution, uint32_t* packed);

  // The parts of a fused stage, see passes/fuse.h.

  // Places the windows of an ungrouped convolution over a panel of output pixels.
  void (*place)(const Convolution* convolution, const uint32_t* in, size_t first, int pixels,
                PanelPixel* panel, uint32_t* patches);
  // Executes a program for every pixel of a strip. There is room for one more instruction.
  void (*run_strip)(RowOp* ops, int count, const Strip* strip);
} Kernels;

// A set that is made with tiles.h, rows.h, vectors.h and image.h.
#define BCD_TILED_KERNELS(its_name, check)                                                \
  {                                                                                       \
    .name = its_name, .runs_here = check, .quantize_float = quantize_float,               \
    .quantize_int8 = quantize_int8, .convolve = convolve, .sum = sum, .connect = connect, \
    .convolve_image = convolve_image, .is_tiled = true, .patch_words = patch_words,       \
    .packed_words = packed_words, .pack = pack, .place = place_ungrouped,                 \
    .run_strip = run_strip,                                                               \
  }

extern const Kernels reference_kernels;
extern const Kernels avx2_kernels;
extern const Kernels avx512bw_kernels;
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
