// Executes the programs of fused stages on NEON, as threaded code: every instruction is a
// function that calls the next one as the last it does, and rows travel in the eight registers
// that hold arguments: a block of channels of one or two pixels. A compiler that is given all
// instructions at once spills half of the rows to memory.
#ifndef BCD_NEON_ROWS_H_
#define BCD_NEON_ROWS_H_

// GCC makes jumps of these calls when it optimizes. Otherwise they pile up, which is as right:
// programs are short.
#if defined(__clang__) && __has_attribute(musttail)
#define BCD_LAST_CALL __attribute__((musttail))
#else
#define BCD_LAST_CALL
#endif

enum { kRowPixels = 2, kRowQuads = kRowPixels * kQuads };

// Of the rows: their first pixel in the panel and in the tile, their first channel in the
// strip.
#define BCD_ARGUMENTS                                                                 \
  const RowOp *op, int64_t pixel, int64_t tiled, int64_t channel, float32x4_t r0,     \
      float32x4_t r1, float32x4_t r2, float32x4_t r3, float32x4_t r4, float32x4_t r5, \
      float32x4_t r6, float32x4_t r7
typedef void (*RunOp)(BCD_ARGUMENTS);

// RowOp.own: the functions for two pixels and for one, and the counts, or the bytes to the next
// pixel.
enum { kRunTwo, kRunOne, kOwnCounts, kOwnBytes = kOwnCounts };

// Defines the functions of an instruction by what it does with the rows r of so many pixels.
#define BCD_DEFINE_OF(name, count, run, compute)                                      \
  static void name(BCD_ARGUMENTS) {                                                   \
    enum { pixels = count };                                                          \
    float32x4_t r[kRowQuads] = {r0, r1, r2, r3, r4, r5, r6, r7};                      \
    compute;                                                                          \
    const RowOp* next = op + 1;                                                       \
    BCD_LAST_CALL return ((RunOp)(uintptr_t)next->own[run])(                          \
        next, pixel, tiled, channel, r[0], r[1], r[2], r[3], r[4], r[5], r[6], r[7]); \
  }
#define BCD_DEFINE(name, compute)                \
  BCD_DEFINE_OF(name##_two, 2, kRunTwo, compute) \
  BCD_DEFINE_OF(name##_one, 1, kRunOne, compute)
#define BCD_INLINE static inline __attribute__((always_inline))
#define BCD_FOR_PIXELS _Pragma("GCC unroll 2") for (int p = 0; p < pixels; ++p)
#define BCD_FOR_QUADS _Pragma("GCC unroll 4") for (int q = 0; q < kQuads; ++q)
#define BCD_ROW r[p * kQuads + q]

typedef enum { kSet, kAdd, kSubtract, kMultiply, kPrelu } Arithmetic;

BCD_INLINE float32x4_t apply(const Arithmetic arithmetic, float32x4_t row, float32x4_t x) {
  switch (arithmetic) {
    case kSet:
      return x;
    case kAdd:
      return vaddq_f32(row, x);
    case kSubtract:
      return vsubq_f32(row, x);
    case kMultiply:
      return vmulq_f32(row, x);
    case kPrelu:
      break;
  }
  return vbslq_f32(vcltzq_f32(row), vmulq_f32(row, x), row);
}

BCD_INLINE size_t own_bytes(const RowOp* op) { return (size_t)(uintptr_t)op->own[kOwnBytes]; }

BCD_INLINE char* float_at(const RowOp* op, int64_t index, int64_t channel) {
  return op->data + (size_t)index * own_bytes(op) + (size_t)channel * sizeof(float);
}

BCD_INLINE float32x4_t load_quad(const char* at, int q) {
  return vld1q_f32((const float*)(const void*)at + q * 4);
}

// The same operand for all pixels.
BCD_INLINE void take_same(const RowOp* op, int64_t channel, float32x4_t* r, const int pixels,
                          const Arithmetic arithmetic) {
  const char* at = float_at(op, 0, channel);
  BCD_FOR_QUADS {
    const float32x4_t x = load_quad(at, q);
    BCD_FOR_PIXELS BCD_ROW = apply(arithmetic, BCD_ROW, x);
  }
}

BCD_INLINE void take_each(const char* at, size_t bytes, float32x4_t* r, const int pixels,
                          const Arithmetic arithmetic) {
  BCD_FOR_PIXELS {
    BCD_FOR_QUADS BCD_ROW = apply(arithmetic, BCD_ROW, load_quad(at, q));
    at += bytes;
  }
}
#define BCD_OPERAND(name, code)                                                       \
  BCD_DEFINE(name##_same, take_same(op, channel, r, pixels, code))                    \
  BCD_DEFINE(name##_in_tile,                                                          \
             take_each(float_at(op, tiled, channel), own_bytes(op), r, pixels, code)) \
  BCD_DEFINE(name##_in_panel,                                                         \
             take_each(float_at(op, pixel, channel), own_bytes(op), r, pixels, code))
BCD_OPERAND(set, kSet)
BCD_OPERAND(add, kAdd)
BCD_OPERAND(subtract, kSubtract)
BCD_OPERAND(multiply, kMultiply)
BCD_OPERAND(prelu, kPrelu)

BCD_INLINE const char* repeated_at(const RowOp* op, int64_t pixel, int64_t channel) {
  return float_at(op, pixel, (op->offset + channel) % op->period);
}
BCD_DEFINE(set_repeated,
           take_each(repeated_at(op, pixel, channel), own_bytes(op), r, pixels, kSet))
BCD_DEFINE(add_repeated,
           take_each(repeated_at(op, pixel, channel), own_bytes(op), r, pixels, kAdd))

BCD_INLINE void take_counts(const RowOp* op, int64_t tiled, int64_t channel, float32x4_t* r,
                            const int pixels, const Arithmetic arithmetic) {
  const Counted* counted = op->own[kOwnCounts];
  bool has_floats = false;
  BCD_FOR_PIXELS has_floats |= counted->is_float[tiled + p];
  if (has_floats) {
    BCD_FOR_PIXELS {
      const CountedRow row = counted_row(counted, (int)tiled + p);
      const Lanes x = counted_lanes(&row, (int)channel);
      BCD_FOR_QUADS BCD_ROW = apply(arithmetic, BCD_ROW, x.val[q]);
    }
    return;
  }
  const int32_t* at = counted->counts + tiled * kTileChannels + channel;
  BCD_FOR_QUADS {
    const float32x4_t multiplier = vld1q_f32(counted->multiplier + channel + q * 4);
    const float32x4_t bias = vld1q_f32(counted->bias + channel + q * 4);
    BCD_FOR_PIXELS {
      const float32x4_t count = vcvtq_f32_s32(vld1q_s32(at + p * kTileChannels + q * 4));
      const float32x4_t x = vaddq_f32(vmulq_f32(count, multiplier), bias);
      BCD_ROW = apply(arithmetic, BCD_ROW, x);
    }
  }
}
BCD_DEFINE(set_counts, take_counts(op, tiled, channel, r, pixels, kSet))
BCD_DEFINE(add_counts, take_counts(op, tiled, channel, r, pixels, kAdd))

BCD_INLINE void take_pool(const RowOp* op, int64_t pixel, int64_t channel, float32x4_t* r,
                          const int pixels, const Arithmetic arithmetic) {
  BCD_FOR_PIXELS {
    const float* from = (const float*)(const void*)op->data + op->places[pixel + p] + channel;
    const Lanes x = pooled_lanes(op, from);
    BCD_FOR_QUADS BCD_ROW = apply(arithmetic, BCD_ROW, x.val[q]);
  }
}
BCD_DEFINE(set_pool, take_pool(op, pixel, channel, r, pixels, kSet))
BCD_DEFINE(add_pool, take_pool(op, pixel, channel, r, pixels, kAdd))

BCD_INLINE void bound(const Bounds* bounds, float32x4_t* r, const int pixels) {
  const float32x4_t low = vdupq_n_f32(bounds->low), high = vdupq_n_f32(bounds->high);
  for (int i = 0; i < pixels * kQuads; ++i) {
    const float32x4_t x = vbslq_f32(vcltq_f32(r[i], low), low, r[i]);
    r[i] = vbslq_f32(vcgtq_f32(x, high), high, x);
  }
}
BCD_DEFINE(bound_row, bound(&op->bounds, r, pixels))

BCD_INLINE void store(char* at, size_t bytes, const float32x4_t* r, const int pixels) {
  BCD_FOR_PIXELS {
    BCD_FOR_QUADS vst1q_f32((float*)(void*)at + q * 4, BCD_ROW);
    at += bytes;
  }
}
BCD_DEFINE(store_in_tile, store(float_at(op, tiled, channel), own_bytes(op), r, pixels))
BCD_DEFINE(store_in_panel, store(float_at(op, pixel, channel), own_bytes(op), r, pixels))

BCD_INLINE void add_to_sum(const RowOp* op, int64_t pixel, int64_t channel,
                           const float32x4_t* r, const int pixels) {
  float* to = sum_at(op, (int)pixel) + channel;
  BCD_FOR_QUADS {
    float32x4_t total = begins_sum((int)pixel) ? vdupq_n_f32(0.0f) : vld1q_f32(to + q * 4);
    BCD_FOR_PIXELS total = vaddq_f32(total, BCD_ROW);
    vst1q_f32(to + q * 4, total);
  }
}
BCD_DEFINE(sum_row, add_to_sum(op, pixel, channel, r, pixels))

// A block is half a word. The lower one clears the upper one, which may not be there.
BCD_INLINE void sign(const RowOp* op, int64_t pixel, int64_t channel, const float32x4_t* r,
                     const int pixels, const bool is_exact) {
  const uint8x16_t first = negative_bytes((Lanes){{r[0], r[1], r[2], r[3]}}, is_exact);
  const uint8x16_t second =
      pixels == 1 ? first : negative_bytes((Lanes){{r[4], r[5], r[6], r[7]}}, is_exact);
  uint8x16_t bytes = vpaddq_u8(first, second);
  bytes = vpaddq_u8(bytes, bytes);
  bytes = vpaddq_u8(bytes, bytes);
  const uint16x8_t halves = vreinterpretq_u16_u8(bytes);
  const size_t stride = own_bytes(op);
  char* at = op->data + (size_t)pixel * stride + (size_t)channel / 8;
  if (channel % kWordBits != 0) {
    // Half of a word that others read as a whole: bytes, not a uint16_t.
    memcpy(at, &(uint16_t){vgetq_lane_u16(halves, 0)}, sizeof(uint16_t));
    if (pixels == 2)
      memcpy(at + stride, &(uint16_t){vgetq_lane_u16(halves, 1)}, sizeof(uint16_t));
  } else {
    const uint32x4_t words = vmovl_u16(vget_low_u16(halves));
    vst1q_lane_u32((uint32_t*)(void*)at, words, 0);
    if (pixels == 2) vst1q_lane_u32((uint32_t*)(void*)(at + stride), words, 1);
  }
}
BCD_DEFINE(sign_row, sign(op, pixel, channel, r, pixels, false))
BCD_DEFINE(sign_row_exact, sign(op, pixel, channel, r, pixels, true))

static void end_row(BCD_ARGUMENTS) {
  (void)op, (void)pixel, (void)tiled, (void)channel;
  (void)r0, (void)r1, (void)r2, (void)r3, (void)r4, (void)r5, (void)r6, (void)r7;
}

static void set_functions(RowOp* op, RunOp two, RunOp one) {
  op->own[kRunTwo] = (const void*)(uintptr_t)two;
  op->own[kRunOne] = (const void*)(uintptr_t)one;
}

#define BCD_CASE(code, name)                   \
  case code:                                   \
    set_functions(op, name##_two, name##_one); \
    break;
#define BCD_CASE_WHERE(code, name)                                 \
  case code:                                                       \
    if (op->stride == 0) {                                         \
      set_functions(op, name##_same_two, name##_same_one);         \
    } else if (op->is_in_tile) {                                   \
      set_functions(op, name##_in_tile_two, name##_in_tile_one);   \
    } else {                                                       \
      set_functions(op, name##_in_panel_two, name##_in_panel_one); \
    }                                                              \
    break;

// Chooses the functions. One more instruction ends the program.
static void prepare_rows(RowOp* ops, int count, Counted* counted) {
  for (RowOp* op = ops; op != ops + count; ++op) {
    op->own[kOwnBytes] = (const void*)(uintptr_t)(op->stride * sizeof(float));
    switch (op->code) {
      BCD_CASE_WHERE(kSetRow, set)
      BCD_CASE_WHERE(kAddRow, add)
      BCD_CASE_WHERE(kSubtractRow, subtract)
      BCD_CASE_WHERE(kMultiplyRow, multiply)
      BCD_CASE_WHERE(kPreluRow, prelu)
      BCD_CASE(kSetCounts, set_counts)
      BCD_CASE(kAddCounts, add_counts)
      BCD_CASE(kSetPool, set_pool)
      BCD_CASE(kAddPool, add_pool)
      BCD_CASE(kSetRepeated, set_repeated)
      BCD_CASE(kAddRepeated, add_repeated)
      BCD_CASE(kBound, bound_row)
      BCD_CASE(kSum, sum_row)
      BCD_CASE(kSign, sign_row)
      BCD_CASE(kSignExact, sign_row_exact)
      case kStore:
        if (op->is_in_tile) {
          set_functions(op, store_in_tile_two, store_in_tile_one);
        } else {
          set_functions(op, store_in_panel_two, store_in_panel_one);
        }
        break;
    }
    if (op->code == kSetCounts || op->code == kAddCounts) {
      op->own[kOwnCounts] = &counted[op->convolution];
    }
  }
  set_functions(&ops[count], end_row, end_row);
}

// The whole blocks of a tile, whose first pixel in the panel is `first`.
static void run_blocks(const RowOp* ops, int count, int blocks, int first, int pixels,
                       const Counted* counted) {
  (void)count, (void)counted;  // prepare_rows has noted them
  const float32x4_t zero = vdupq_n_f32(0.0f);
  for (int channel = 0; channel < blocks * kLanes; channel += kLanes) {
    for (int p = 0; p < pixels; p += kRowPixels) {
      const RunOp run = (RunOp)(uintptr_t)ops->own[p + 1 < pixels ? kRunTwo : kRunOne];
      run(ops, first + p, p, channel, zero, zero, zero, zero, zero, zero, zero, zero);
    }
  }
}

#undef BCD_CASE_WHERE
#undef BCD_CASE
#undef BCD_OPERAND
#undef BCD_FOR_QUADS
#undef BCD_FOR_PIXELS
#undef BCD_INLINE
#undef BCD_ROW
#undef BCD_DEFINE
#undef BCD_DEFINE_OF
#undef BCD_ARGUMENTS
#undef BCD_LAST_CALL

#endif  // BCD_NEON_ROWS_H_
