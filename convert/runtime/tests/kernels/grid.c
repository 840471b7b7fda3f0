// Every micro-kernel against reference.c, or, for the programs of fused stages, against what
// each instruction is said to do, over a grid of sizes; bit by bit. Takes names of kernels, and
// prints how many cases each has passed; `make test` builds and runs it.
#include <math.h>
#include <stdio.h>

#include "float_mode.h"
#include "setup.h"

static const Kernels* kernels;
static long cases;

static void expect(const void* got, const void* expected, size_t bytes, const char* what, int a,
                   int b, int c) {
  ++cases;
  if (memcmp(got, expected, bytes) == 0) return;
  printf("%s: %s differs at %d, %d, %d\n", kernels->name, what, a, b, c);
  exit(1);
}

// ---- Signs ----

static const float kSpecial[] = {0.0f, -0.0f, 1e-45f, -1e-45f, INFINITY, -INFINITY, NAN, -NAN};

static void test_quantize(void) {
  for (int channels = 1; channels <= 130; ++channels) {
    enum { kRows = 3, kWords = 5 };
    const size_t count = (size_t)channels * kRows;
    float* floats = random_floats(count);
    int8_t* bytes = allocate(count);
    for (size_t i = 0; i < count; ++i) bytes[i] = (int8_t)random_word();
    for (int i = 0; i < 8; ++i) floats[random_below((int)count)] = kSpecial[i];
    uint32_t got[kRows * kWords] = {0}, expected[kRows * kWords] = {0};
    kernels->quantize_float(floats, kRows, channels, got);
    reference_kernels.quantize_float(floats, kRows, channels, expected);
    expect(got, expected, sizeof(got), "quantize_float", channels, 0, 0);
    for (int zero_point = -128; zero_point <= 127; zero_point += 51) {
      kernels->quantize_int8(bytes, kRows, channels, zero_point, got);
      reference_kernels.quantize_int8(bytes, kRows, channels, zero_point, expected);
      expect(got, expected, sizeof(got), "quantize_int8", channels, zero_point, 0);
    }
    free(floats);
    free(bytes);
  }
}

// ---- Convolutions ----

static void compare_convolution(Case* made, Shape shape) {
  char *got = allocate(made->output_bytes), *expected = allocate(made->output_bytes);
  prepare_case(made, &reference_kernels, 0);
  reference_kernels.convolve(&made->convolution, made->input, expected, 0, made->pixels, NULL);
  for (int panel = kPanelStep; panel <= 2 * kPanelStep; panel += kPanelStep) {
    prepare_case(made, kernels, panel);
    // In two pieces, as two threads would.
    const size_t half = made->pixels / 2;
    kernels->convolve(&made->convolution, made->input, got, half, made->pixels, made->scratch);
    kernels->convolve(&made->convolution, made->input, got, 0, half, made->scratch);
    expect(got, expected, made->output_bytes, "convolve", shape.window, shape.channels_in,
           shape.channels_out);
  }
  free(got);
  free(expected);
}

static void test_convolution(Shape shape) {
  Case made = make_case(shape);
  compare_convolution(&made, shape);
  free_case(&made);
}

// The words of the image lie anywhere, in pieces, or are zero.
static void test_mapped(Shape shape, int run) {
  Case made = make_case(shape);
  Convolution* c = &made.convolution;
  const int words = shape.size * shape.size * c->window.in_words;
  int32_t* map = allocate((size_t)words * sizeof(int32_t));
  uint32_t* moved = random_words((size_t)words);
  for (int i = 0; i < words; i += run) {
    const int from = random_below(8) == 0 ? -1 : random_below(words / run) * run;
    for (int k = 0; k < run; ++k) {
      map[i + k] = from < 0 ? -1 : from + k;
      made.input[i + k] = from < 0 ? 0 : moved[from + k];
    }
  }
  char *got = allocate(made.output_bytes), *expected = allocate(made.output_bytes);
  prepare_case(&made, &reference_kernels, 0);
  reference_kernels.convolve(c, made.input, expected, 0, made.pixels, NULL);
  prepare_case(&made, kernels, kPanelStep);
  c->map = map;
  c->map_run = run;
  kernels->convolve(c, moved, got, 0, made.pixels, made.scratch);
  expect(got, expected, made.output_bytes, "convolve with a map", shape.window,
         shape.channels_in, run);
  free(got);
  free(expected);
  free(map);
  free(moved);
  free_case(&made);
}

static void test_maps(void) {
  for (int words = 1; words <= 24; ++words) {
    for (int run = 1; words % run == 0; run *= 2) {
      for (int window = 1; window <= 3; ++window) {
        for (int how = 0; how < 4; ++how) {
          const int groups = how == 3 ? 2 : 1;
          test_mapped((Shape){1, 6, kWordBits * words * groups, 18, window, 1 + (how == 1),
                              1 + (how == 2), groups, true, how > 1, false, kOutputFloat},
                      run);
        }
      }
    }
  }
}

// Every bit differs: no count of this depth is greater.
static void test_greatest_count(int words) {
  const Shape shape = {1,     4,     kWordBits * words, 16, 1, 1, 1, 1, false,
                       false, false, kOutputFloat};
  Case made = make_case(shape);
  const size_t depth = (size_t)words;
  memset(made.input, 0, made.pixels * depth * sizeof(uint32_t));
  memset(made.filter, 0xff, (size_t)shape.channels_out * depth * sizeof(uint32_t));
  compare_convolution(&made, shape);
  free_case(&made);
}

static void test_convolutions(void) {
  static const int kIn[] = {1, 31, 32, 33, 64, 96, 160, 256}, kOut[] = {1, 16, 33, 48, 64, 81};
  for (int output = kOutputFloat; output <= kOutputBits; ++output) {
    for (size_t i = 0; i < sizeof(kIn) / sizeof(kIn[0]); ++i) {
      for (size_t o = 0; o < sizeof(kOut) / sizeof(kOut[0]); ++o) {
        for (int window = 1; window <= 3; ++window) {
          for (int how = 0; how < 8; ++how) {
            test_convolution((Shape){.batch = 1,
                                     .size = 5,
                                     .channels_in = kIn[i],
                                     .channels_out = kOut[o],
                                     .window = window,
                                     .stride = 1 + (how == 3),
                                     .dilation = 1 + (how == 4),
                                     .groups = 1,
                                     .pads = how != 0 && how != 4,
                                     .pads_with_zero = how & 1,
                                     .has_activation = how > 5,
                                     .output = (OutputKind)output});
          }
        }
      }
    }
    test_convolution((Shape){2, 4, 192, 57, 3, 1, 1, 3, true, true, false, (OutputKind)output});
    // So deep that sums of 8 and of 16 bits are taken in parts.
    test_convolution(
        (Shape){1, 3, 32 * 8200, 18, 1, 1, 1, 1, false, false, false, (OutputKind)output});
  }
}

static void test_greatest_counts(void) {
  for (int words = 1; words <= 64; ++words) test_greatest_count(words);
  for (int words = 2044; words <= 2050; ++words) test_greatest_count(words);
}

// ---- Sums and fully connected layers ----

static void test_sum(void) {
  for (int channels = 1; channels <= 150; channels += channels < 70 ? 1 : 16) {
    for (size_t pixels = 1; pixels <= 13; pixels += 4) {
      float *in = random_floats(pixels * (size_t)channels),
            *got = random_floats((size_t)channels);
      float* expected = random_floats((size_t)channels);
      kernels->sum(in, pixels, channels, 0, channels, got);
      reference_kernels.sum(in, pixels, channels, 0, channels, expected);
      expect(got, expected, (size_t)channels * sizeof(float), "sum", channels, (int)pixels, 0);
      free(in);
      free(got);
      free(expected);
    }
  }
}

static float* pack_weights(const FullyConnected* layer) {
  const size_t inputs = (size_t)layer->inputs, outputs = (size_t)layer->outputs;
  const size_t padded = (outputs + kLanes - 1) / kLanes * kLanes;
  float* packed = allocate(padded * inputs * sizeof(float));
  memset(packed, 0, padded * inputs * sizeof(float));
  for (size_t o = 0; o < outputs; ++o) {
    const size_t first = o / kTileChannels * kTileChannels, rest = padded - first;
    const size_t width = rest < kTileChannels ? rest : kTileChannels;
    for (size_t k = 0; k < inputs; ++k) {
      packed[first * inputs + o - first + k * width] = layer->weights[o * inputs + k];
    }
  }
  return packed;
}

static void test_connect(void) {
  for (int outputs = 1; outputs <= 150; outputs += outputs < 70 ? 3 : 16) {
    for (int inputs = 1; inputs <= 40; inputs += 13) {
      enum { kRows = 2 };
      float *weights = random_floats((size_t)(inputs * outputs)),
            *in = random_floats(kRows * (size_t)inputs);
      float *bias = random_floats((size_t)outputs + kLanes),
            *got = random_floats(kRows * (size_t)outputs);
      float* expected = random_floats(kRows * (size_t)outputs);
      FullyConnected layer = {inputs, outputs, weights, bias, NULL};
      float* packed = pack_weights(&layer);
      layer.packed = packed;
      kernels->connect(&layer, in, kRows, 0, outputs, got);
      reference_kernels.connect(&layer, in, kRows, 0, outputs, expected);
      expect(got, expected, kRows * (size_t)outputs * sizeof(float), "connect", outputs, inputs,
             0);
      free(weights);
      free(in);
      free(bias);
      free(got);
      free(expected);
      free(packed);
    }
  }
}

// ---- Convolutions of images ----

static void test_image(int size, int channels_in, int channels_out, int window, int stride,
                       int pad) {
  ImageCase made = make_image(
      (ImageShape){2, size, channels_in, channels_out, window, stride, pad, pad != 0});
  const size_t values = made.pixels * (size_t)channels_out;
  float *got = random_floats(values), *expected = random_floats(values);
  // In two parts, so that one begins and ends anywhere.
  const size_t middle = made.pixels / 3;
  kernels->convolve_image(&made.convolution, made.input, got, 0, middle, made.scratch);
  kernels->convolve_image(&made.convolution, made.input, got, middle, made.pixels,
                          made.scratch);
  reference_kernels.convolve_image(&made.convolution, made.input, expected, 0, made.pixels,
                                   NULL);
  expect(got, expected, values * sizeof(float), "convolve_image", channels_out, size, window);
  free(got);
  free(expected);
  free_image(&made);
}

static void test_images(void) {
  for (int channels_out = 1; channels_out <= 70; channels_out += channels_out < 34 ? 3 : 9) {
    for (int window = 1; window <= 7; window += 2) {
      for (int size = window; size <= window + 7; size += 3) {
        for (int channels_in = 1; channels_in <= 3; ++channels_in) {
          test_image(size, channels_in, channels_out, window, 1 + size % 2, 0);
          test_image(size, channels_in, channels_out, window, 1 + channels_out % 2, window / 2);
        }
      }
    }
  }
}

// ---- Programs ----

enum { kMaxPixels = 24, kMaxOps = 12, kStride = kTileChannels, kImage = 5 * kMaxPixels };

// What the instructions work on, in rows of kStride values.
typedef struct {
  float *rows, *stored, *sums;
  uint32_t* signs;
  uint32_t indices[kMaxPixels];
} Memory;

static float arithmetic(Arithmetic how, float row, float x) {
  switch (how) {
    case kSet:
      return x;
    case kAdd:
      return row + x;
    case kSubtract:
      return row - x;
    case kMultiply:
      return row * x;
    default:
      return row < 0 ? row * x : row;
  }
}

#define BCD_ARITHMETIC(code, function, how) [code] = how,
static const Arithmetic kArithmetic[] = {BCD_ROW_OPS(BCD_ARITHMETIC)};

// The operand of an instruction in one channel, as kernels.h describes it.
static float operand(const RowOp* op, int pixel, int channel, const float* counts) {
  const float* data = (const float*)(const void*)op->data;
  const size_t row = (size_t)(op->is_in_tile ? 0 : pixel) * op->stride;
  switch (op->code) {
    case kSetCounts:
    case kAddCounts:
      return counts[pixel * kTileChannels + channel];
    case kSetRepeated:
    case kAddRepeated:
      return data[row + (size_t)((op->offset + channel) % op->period)];
    case kSetPool:
    case kAddPool: {
      const float* at = data + op->indices[pixel] + channel;
      const float left = at[0] + at[op->below];
      const float right = at[op->right] + at[op->right + op->below];
      return (left + right) * 0.25f;
    }
    default:
      return data[row + (size_t)channel];
  }
}

// Executes a program channel by channel, into memory that is not the kernels'.
static void run_plainly(const RowOp* ops, int count, int pixels, int channels,
                        const float* counts, const Memory* to) {
  for (int p = 0; p < pixels; ++p) {
    for (int c = 0; c < channels; ++c) {
      float row = 0.0f;
      for (int i = 0; i < count; ++i) {
        const RowOp* op = &ops[i];
        const size_t at = (size_t)p * kStride + (size_t)c;
        switch (op->code) {
          case kBound:
            row = within_bounds(&op->bounds, row);
            break;
          case kStore:
            to->stored[at] = row;
            break;
          case kSum: {
            float* sum = &to->sums[(size_t)(p / kSumPixels) * kStride + (size_t)c];
            *sum = (p % kSumPixels == 0 ? 0.0f : *sum) + row;
            break;
          }
          case kSign:
          case kSignExact: {
            uint32_t* word = &to->signs[p * 2 + c / kWordBits];
            if (c % kWordBits == 0) *word = 0;
            *word |= (uint32_t)is_negative(row) << c % kWordBits;
            break;
          }
          default:
            row = arithmetic(kArithmetic[op->code], row, operand(op, p, c, counts));
        }
      }
    }
  }
}

static Memory make_memory(void) {
  Memory made = {.rows = random_floats(kImage * kStride + kLanes),
                 .stored = allocate(kMaxPixels * kStride * sizeof(float)),
                 .sums = allocate(kMaxPixels * kStride * sizeof(float)),
                 .signs = allocate(kMaxPixels * 2 * sizeof(uint32_t))};
  for (int p = 0; p < kMaxPixels; ++p)
    made.indices[p] = (uint32_t)(random_below(kMaxPixels) * kStride);
  return made;
}

static void clear_results(const Memory* memory) {
  memset(memory->stored, 0, kMaxPixels * kStride * sizeof(float));
  memset(memory->sums, 0, kMaxPixels * kStride * sizeof(float));
  memset(memory->signs, 0, kMaxPixels * 2 * sizeof(uint32_t));
}

static void free_memory(const Memory* memory) {
  free(memory->rows);
  free(memory->stored);
  free(memory->sums);
  free(memory->signs);
}

static RowOp random_op(RowCode code, const Memory* memory, int channels) {
  RowOp op = {.code = code, .data = (char*)memory->rows, .stride = kStride};
  switch (code) {
    case kSetRepeated:
    case kAddRepeated:
      op.period = kLanes * (1 + random_below(3));
      op.offset = kLanes * random_below(op.period / kLanes);
      break;
    case kSetPool:
    case kAddPool:
      op.indices = memory->indices;
      op.right = kStride;
      op.below = 3 * kStride;
      op.stride = 0;
      break;
    case kBound:
      op.bounds = (Bounds){-1.0f, random_below(2) ? 1.0f : INFINITY};
      break;
    case kStore:
      op.data = (char*)memory->stored;
      break;
    case kSum:
      op.data = (char*)memory->sums;
      break;
    case kSign:
    case kSignExact:
      op.data = (char*)memory->signs;
      op.stride = (size_t)words_of(channels) > 0 ? 2 : 0;
      break;
    default:
      if (random_below(2)) op.stride = 0;  // one for all pixels
  }
  return op;
}

// Runs a program both ways, and compares all results. There is room for one instruction more.
static void compare_program(RowOp* ops, int count, int code, int pixels, int channels,
                            Case* made, const Memory* memory) {
  Memory expected = make_memory();
  const Convolution* c = &made->convolution;
  float* counts = allocate(kMaxPixels * kTileChannels * sizeof(float));
  PanelPixel panel[kMaxPixels];
  uint32_t* patches = allocate(patches_bytes(c, kMaxPixels) + 64);
  kernels->place(c, made->input, 0, pixels, panel, patches);
  float* whole = allocate(made->output_bytes);
  reference_kernels.convolve(c, made->input, whole, 0, (size_t)pixels, NULL);
  for (int p = 0; p < pixels; ++p) {
    memcpy(counts + p * kTileChannels, whole + p * c->channels_out,
           (size_t)channels * sizeof(float));
  }
  clear_results(memory);
  clear_results(&expected);
  run_plainly(ops, count, pixels, channels, counts, &expected);
  const Strip strip = {pixels, channels, 1, {{c, panel, 0}}};
  kernels->run_strip(ops, count, &strip);
  expect(memory->stored, expected.stored, kMaxPixels * kStride * sizeof(float), "kStore", code,
         pixels, channels);
  expect(memory->sums, expected.sums, kMaxPixels * kStride * sizeof(float), "kSum", code,
         pixels, channels);
  expect(memory->signs, expected.signs, kMaxPixels * 2 * sizeof(uint32_t), "kSign", code,
         pixels, channels);
  free(counts);
  free(patches);
  free(whole);
  free_memory(&expected);
}

// A random program with an instruction.
static void test_program(RowCode first, int pixels, int channels, Case* made) {
  Memory memory = make_memory();
  RowOp ops[kMaxOps + 1];
  int count = 0;
  ops[count++] = random_op(kSetCounts, &memory, channels);
  static const RowCode kMiddle[] = {kAddRow,  kSubtractRow, kMultiplyRow, kPreluRow, kAddCounts,
                                    kAddPool, kSetRow,      kSetPool,     kAddRow,   kBound};
  for (int i = 0; i < 3; ++i) {
    ops[count++] = random_op(kMiddle[random_below(10)], &memory, channels);
  }
  if (channels % kLanes == 0 || (first != kSetRepeated && first != kAddRepeated)) {
    ops[count++] = random_op(first, &memory, channels);
  }
  ops[count++] = random_op(kStore, &memory, channels);
  if (first != kSum) ops[count++] = random_op(kSum, &memory, channels);
  ops[count++] = random_op(random_below(2) ? kSign : kSignExact, &memory, channels);
  compare_program(ops, count, (int)first, pixels, channels, made, &memory);
  free_memory(&memory);
}

// What blocks of networks are made of: a beginning, what is added to it, and an end. A small
// letter is an instruction whose operand is the same for all pixels.
static RowOp op_of(char letter, const Memory* memory, int channels) {
  static const RowCode kCode[] = {['a' - 'a'] = kAddRow,   ['c' - 'a'] = kAddCounts,
                                  ['p' - 'a'] = kPreluRow, ['r' - 'a'] = kAddRepeated,
                                  ['m' - 'a'] = kAddPool,  ['n' - 'a'] = kSetCounts,
                                  ['x' - 'a'] = kSetRow,   ['o' - 'a'] = kStore,
                                  ['u' - 'a'] = kSum,      ['s' - 'a'] = kSign};
  const bool is_same = letter >= 'a';
  RowOp op = random_op(kCode[letter - (is_same ? 'a' : 'A')], memory, channels);
  if (op.code == kAddRow || op.code == kPreluRow || op.code == kSetRow) {
    op.stride = is_same ? 0 : kStride;
  }
  return op;
}

static void test_blocks(int pixels, int channels, Case* made) {
  static const char* const kBegin[] = {"N", "Na", "NCC", "X"};
  static const char kAdded[] = "AaRMC";
  static const char* const kEnd[] = {"pOaS", "pOU", "apaOaS", "OS", "S"};
  for (size_t i = 0; i < sizeof(kBegin) / sizeof(kBegin[0]); ++i) {
    for (const char* added = kAdded; *added != 0; ++added) {
      for (size_t j = 0; j < sizeof(kEnd) / sizeof(kEnd[0]); ++j) {
        Memory memory = make_memory();
        RowOp ops[kMaxOps + 1];
        int count = 0;
        for (const char* at = kBegin[i]; *at != 0; ++at) {
          ops[count++] = op_of(*at, &memory, channels);
        }
        ops[count++] = op_of(*added, &memory, channels);
        for (const char* at = kEnd[j]; *at != 0; ++at) {
          ops[count++] = op_of(*at, &memory, channels);
        }
        compare_program(ops, count, *added, pixels, channels, made, &memory);
        free_memory(&memory);
      }
    }
  }
}

// ---- Thresholds ----

static float moved_by(float x, int32_t steps) {
  uint32_t bits;
  memcpy(&bits, &x, sizeof(bits));
  bits += (uint32_t)steps;
  memcpy(&x, &bits, sizeof(bits));
  return x;
}

// Whose sum with a number next to their negative is so small that it is zero.
static const float kTiny[] = {0x1p-104f, -0x1.8p-104f, -0x1p-110f, 0x1.4p-120f,
                              0x1p-126f, 0x1p-149f,    -0x1p-130f};
static const float kOrdinary[] = {0.0f,      -0.0f,      INFINITY,    -INFINITY, NAN,
                                  0x1p-100f, -0x1p-100f, 0x1.8p-102f, 0x1p127f,  -0x1p-60f};
enum { kTinies = sizeof(kTiny) / sizeof(kTiny[0]), kOrdinaries = 10 };

static float random_threshold(void) {
  return random_below(2) ? kOrdinary[random_below(kOrdinaries)] : random_float();
}

// A value that a threshold may be thought to be on the wrong side of.
static float value_near(float threshold) {
  switch (random_below(4)) {
    case 0:
      return kSpecial[random_below(8)];
    case 1:
      return kTiny[random_below(kTinies)];
    case 2:
      return random_threshold();
    default:
      return moved_by(-threshold, random_below(3) - 1);
  }
}

// The signs of sums with what is the same for all pixels; `tiny` is in one channel, if any.
static void test_threshold(const float* tiny, const char* program, int pixels, int channels,
                           Case* made) {
  Memory memory = make_memory();
  // Of exactly its size, if it is whole blocks.
  float* thresholds = allocate((size_t)channels * sizeof(float));
  for (int c = 0; c < channels; ++c) thresholds[c] = random_threshold();
  if (tiny != NULL) thresholds[random_below(channels)] = *tiny;
  for (int i = 0; i < kImage * kStride; ++i) {
    const int c = i % kStride;
    memory.rows[i] = value_near(thresholds[c < channels ? c : 0]);
  }
  RowOp ops[kMaxOps + 1];
  int count = 0;
  for (const char* at = program; *at != 0; ++at) {
    ops[count] = op_of(*at, &memory, channels);
    if (*at == 'a') ops[count].data = (char*)thresholds;
    ++count;
  }
  compare_program(ops, count, 'a', pixels, channels, made, &memory);
  free(thresholds);
  free_memory(&memory);
}

static void test_thresholds(int pixels, int channels, Case* made) {
  static const char* const kPrograms[] = {"XaS", "XOaS", "XaSXO", "XaaS"};
  for (size_t i = 0; i < sizeof(kPrograms) / sizeof(kPrograms[0]); ++i) {
    for (int t = 0; t < kTinies; ++t) {
      test_threshold(&kTiny[t], kPrograms[i], pixels, channels, made);
      test_threshold(NULL, kPrograms[i], pixels, channels, made);
    }
  }
}

#define BCD_LIST(code, function, how) code,
static const RowCode kCodes[] = {BCD_ROW_OPS(BCD_LIST)};

// One strip after the other: nothing of the first one's channels is left in the second one.
static void test_strips(int pixels) {
  enum { kStrips = 3, kChannels = kStrips * kTileChannels };
  Case made =
      make_case((Shape){1, 5, 32, kChannels, 3, 1, 1, 1, true, true, false, kOutputFloat});
  prepare_case(&made, kernels, kMaxPixels);
  const Convolution* c = &made.convolution;
  float *got = allocate(made.output_bytes), *expected = allocate(made.output_bytes);
  reference_kernels.convolve(c, made.input, expected, 0, (size_t)pixels, NULL);
  PanelPixel panel[kMaxPixels];
  uint32_t* patches = allocate(patches_bytes(c, kMaxPixels) + 64);
  kernels->place(c, made.input, 0, pixels, panel, patches);
  for (int from = 0; from < kChannels; from += kTileChannels) {
    RowOp ops[] = {{.code = kSetCounts},
                   {.code = kStore, .data = (char*)(got + from), .stride = kChannels},
                   {.code = kStore}};  // room for one more
    const Strip strip = {pixels, kTileChannels, 1, {{c, panel, from}}};
    kernels->run_strip(ops, 2, &strip);
  }
  expect(got, expected, (size_t)pixels * kChannels * sizeof(float), "strips", kStrips, pixels,
         kTileChannels);
  free(got);
  free(expected);
  free(patches);
  free_case(&made);
}

static void test_programs(void) {
  static const int kChannels[] = {1, 15, 16, 17, 31, 32, 33, 47, 48, 49, 63, 64};
  for (int zeros = 0; zeros < 3; ++zeros) {
    for (size_t k = 0; k < sizeof(kChannels) / sizeof(kChannels[0]); ++k) {
      // Where lines are long, tiles without a border lie before tiles that end with one.
      const int size = kChannels[k] % kWordBits == 0 ? 9 : 5;
      Case made = make_case((Shape){1, size, 32, kChannels[k], 3, 1, 1, 1, true, zeros == 1,
                                    zeros == 2, kOutputFloat});
      prepare_case(&made, kernels, kMaxPixels);
      for (int pixels = 1; pixels <= kMaxPixels; pixels += 1 + pixels / 8) {
        for (size_t i = 0; i < sizeof(kCodes) / sizeof(kCodes[0]); ++i) {
          test_program(kCodes[i], pixels, kChannels[k], &made);
        }
        if (zeros == 0) test_thresholds(pixels, kChannels[k], &made);
        if (pixels % 4 <= 1 && kChannels[k] % kLanes == 0) {
          test_blocks(pixels, kChannels[k], &made);
        }
      }
      free_case(&made);
    }
  }
}

int main(int count, char** names) {
  set_float_mode(without_denormals(float_mode()));  // as graphs run
  for (int i = 1; i < count; ++i) {
    kernels = find_kernels(names[i]);
    if (kernels == NULL) {
      printf("there are no kernels '%s' on this machine\n", names[i]);
      return 1;
    }
    cases = 0;
    test_quantize();
    test_convolutions();
    test_greatest_counts();
    test_maps();
    test_sum();
    test_connect();
    test_images();
    for (int pixels = 1; pixels <= kMaxPixels; ++pixels) test_strips(pixels);
    test_programs();
    printf("%s: %ld cases\n", kernels->name, cases);
  }
  return 0;
}
