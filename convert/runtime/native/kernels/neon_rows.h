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

// Of the rows: their first pixel in the panel and in the tile, their first channel in the
// strip.
#define BCD_ARGUMENTS                                                                 \
  const RowOp *op, int64_t pixel, int64_t tiled, int64_t channel, float32x4_t r0,     \
      float32x4_t r1, float32x4_t r2, float32x4_t r3, float32x4_t r4, float32x4_t r5, \
      float32x4_t r6, float32x4_t r7
typedef void (*RunOp)(BCD_ARGUMENTS);

// RowOp.own: the functions for two pixels and for one, and the counts, or where x < -t takes
// the place of x + t < 0 all -t, or at the end of a program its function for a tile.
enum { kRunTwo, kRunOne, kOwnCounts, kOwnLimits = kOwnCounts, kOwnWhole = kOwnCounts };

// Defines the functions of an instruction by what it does with the rows of so many pixels.
#define BCD_DEFINE_OF(name, count_of_pixels, run, compute)                                    \
  static void name(BCD_ARGUMENTS) {                                                           \
    const Place here = {.pixel = pixel, .tiled = tiled, .channel = channel, .count = kLanes}; \
    Lanes rows[kRowPixels] = {{{r0, r1, r2, r3}}, {{r4, r5, r6, r7}}};                        \
    compute(op, &here, rows, count_of_pixels);                                                \
    const RowOp* next = op + 1;                                                               \
    BCD_LAST_CALL return ((RunOp)(uintptr_t)next->own[run])(                                  \
        next, pixel, tiled, channel, rows[0].val[0], rows[0].val[1], rows[0].val[2],          \
        rows[0].val[3], rows[1].val[0], rows[1].val[1], rows[1].val[2], rows[1].val[3]);      \
  }
#define BCD_DEFINE(name, compute)                                                         \
  BCD_INLINE void name(const RowOp* op, const Place* at, Lanes* rows, const int pixels) { \
    compute;                                                                              \
  }                                                                                       \
  BCD_DEFINE_OF(run_two_##name, 2, kRunTwo, name)                                         \
  BCD_DEFINE_OF(run_one_##name, 1, kRunOne, name)

// The signs of some pixels, from their negative_bytes. A block is half a word, which others
// read as a whole: bytes, not a uint16_t. The lower one clears the upper one, which may not be
// there. More pixels at once take fewer instructions.
BCD_INLINE void store_halves(const RowOp* op, const Place* at, const uint8x16_t* signs,
                             const int pixels) {
  uint8x16_t bytes = vpaddq_u8(signs[0], signs[pixels == 1 ? 0 : 1]);
  bytes = vpaddq_u8(bytes, pixels < 4 ? bytes : vpaddq_u8(signs[2], signs[3]));
  bytes = vpaddq_u8(bytes, bytes);
  const uint16x8_t halves = vreinterpretq_u16_u8(bytes);
  const size_t stride = op->stride * sizeof(uint32_t);
  char* to = op->data + (size_t)at->pixel * stride + (size_t)at->channel / 8;
// The store that steps to the next pixel, which compilers do not use for the first lane.
#define BCD_STORE(p, size, lanes)                        \
  if (p < pixels)                                        \
  __asm__ volatile("st1 {%1." size "}[" #p "], [%0], %2" \
                   : "+r"(to)                            \
                   : "w"(lanes), "r"(stride)             \
                   : "memory")
  if (at->channel % kWordBits != 0) {
    BCD_STORE(0, "h", halves);
    BCD_STORE(1, "h", halves);
    BCD_STORE(2, "h", halves);
    BCD_STORE(3, "h", halves);
  } else {
    const uint32x4_t words = vmovl_u16(vget_low_u16(halves));
    BCD_STORE(0, "s", words);
    BCD_STORE(1, "s", words);
    BCD_STORE(2, "s", words);
    BCD_STORE(3, "s", words);
  }
#undef BCD_STORE
}

BCD_INLINE void pack_halves(const RowOp* op, const Place* at, const Lanes* rows,
                            const int pixels, const bool is_exact) {
  uint8x16_t signs[kTilePixels];
  BCD_FOR_PIXELS signs[p] = negative_bytes(rows[p], is_exact);
  store_halves(op, at, signs, pixels);
}

// ---- Thresholds ----

// Most programs end with the signs of sums with an operand that is the same for all pixels.
// x + t < 0 is x < -t, one instruction instead of two, unless t is so small that the sum may be
// a denormal number, which is flushed to zero. A sum with a t of at least 2^-100 is zero, or at
// least 2^-124, because both are multiples of that or t is by far the larger one. A t of zero
// is the same on both sides. If either is not a number, or if infinities cancel, both are
// false.
BCD_INLINE bool limits_of(const float* from, int channels, float* limits) {
  uint32x4_t smallest = vdupq_n_u32(UINT32_MAX);
  for (int c = 0; c < channels; c += 4) {
    const float32x4_t x = vld1q_f32(from + c);
    vst1q_f32(limits + c, vnegq_f32(x));
    // Without the sign, and zero behind all others.
    const uint32x4_t size = vshlq_n_u32(vreinterpretq_u32_f32(x), 1);
    smallest = vminq_u32(smallest, vsubq_u32(size, vdupq_n_u32(1)));
  }
  const uint32_t exponent = 127 - 100;
  return vminvq_u32(smallest) >= (exponent << 24) - 1;
}

// Takes the place of two instructions, the sum and its signs.
BCD_INLINE void sign_sums(const RowOp* op, const Place* at, const Lanes* rows,
                          const int pixels) {
  const Lanes limits = load_lanes((const float*)op->own[kOwnLimits] + at->channel);
  uint8x16_t signs[kTilePixels];
  BCD_FOR_PIXELS {
    const float32x4_t* x = rows[p].val;
    signs[p] = bytes_of_lanes(vcltq_f32(x[0], limits.val[0]), vcltq_f32(x[1], limits.val[1]),
                              vcltq_f32(x[2], limits.val[2]), vcltq_f32(x[3], limits.val[3]));
  }
  store_halves(op + 1, at, signs, pixels);
}

// A block with one instruction, which steps on to the next pixel.
BCD_INLINE void store_blocks(float* to, size_t stride, const Lanes* rows, const int pixels) {
  BCD_FOR_PIXELS {
    vst1q_f32_x4(to, rows[p]);
    to += stride;
  }
}

// How each function of the table becomes one or several of these. Where an operand lies is
// known before the program runs.
#define BCD_DEFINE_take_row(code, function, arithmetic)                                       \
  BCD_DEFINE(code##_same, take_same(row_of_all(op, at), rows, pixels, 1, kLanes, arithmetic)) \
  BCD_DEFINE(code##_in_tile,                                                                  \
             take_each(row_in_tile(op, at), op->stride, rows, pixels, 1, kLanes, arithmetic)) \
  BCD_DEFINE(code##_in_panel,                                                                 \
             take_each(row_in_panel(op, at), op->stride, rows, pixels, 1, kLanes, arithmetic))
#define BCD_DEFINE_store_row(code, function, arithmetic)                                  \
  BCD_DEFINE(code##_in_tile, store_blocks(row_in_tile(op, at), op->stride, rows, pixels)) \
  BCD_DEFINE(code##_in_panel, store_blocks(row_in_panel(op, at), op->stride, rows, pixels))
#define BCD_DEFINE_AS_IT_IS(code, function, arithmetic) \
  BCD_DEFINE(code##_, function(op, at, op->own[kOwnCounts], rows, pixels, 1, arithmetic))
#define BCD_DEFINE_take_repeated BCD_DEFINE_AS_IT_IS
#define BCD_DEFINE_take_counts BCD_DEFINE_AS_IT_IS
#define BCD_DEFINE_take_pool BCD_DEFINE_AS_IT_IS
#define BCD_DEFINE_bound_row BCD_DEFINE_AS_IT_IS
#define BCD_DEFINE_sum_row BCD_DEFINE_AS_IT_IS
#define BCD_DEFINE_sign_row(code, function, arithmetic) \
  BCD_DEFINE(code##_, pack_halves(op, at, rows, pixels, false))
#define BCD_DEFINE_sign_row_exact(code, function, arithmetic) \
  BCD_DEFINE(code##_, pack_halves(op, at, rows, pixels, true))

#define BCD_FUNCTIONS(code, function, arithmetic) \
  BCD_DEFINE_##function(code, function, arithmetic)
BCD_ROW_OPS(BCD_FUNCTIONS)
BCD_DEFINE(kSignSums_, sign_sums(op, at, rows, pixels))

static void end_row(BCD_ARGUMENTS) {
  (void)op, (void)pixel, (void)tiled, (void)channel;
  (void)r0, (void)r1, (void)r2, (void)r3, (void)r4, (void)r5, (void)r6, (void)r7;
}

// ---- Whole programs ----

// Those that most blocks of residual networks are made of, as straight code for a whole tile:
// so many rows do not fit into the registers of arguments. First what they end with.
// clang-format off
#define BCD_SIGN_END(X) X(kPreluRow_same) X(kStore_in_panel) X(kSignSums_)
#define BCD_SUM_END(X) X(kPreluRow_same) X(kStore_in_panel) X(kSum_)
#define BCD_BIASED_END(X) X(kAddRow_same) X(kPreluRow_same) X(kAddRow_same) \
  X(kStore_in_panel) X(kSignSums_)
#define BCD_THRESHOLD(X) X(kSetRow_in_panel) X(kSignSums_)
#define BCD_SIGNED(X) X(kSetRow_in_panel) X(kAddCounts_) X(kStore_in_panel) X(kSign_)
#define BCD_SHORTCUT(X) X(kSetCounts_) X(kAddRow_in_panel) BCD_SIGN_END(X)
#define BCD_REPEATED(X) X(kSetCounts_) X(kAddRepeated_) BCD_SIGN_END(X)
#define BCD_POOLED(X) X(kSetCounts_) X(kAddPool_) BCD_SIGN_END(X)
#define BCD_SHIFTED(X) X(kSetCounts_) X(kAddCounts_) X(kAddCounts_) X(kAddRow_in_panel) \
  BCD_SIGN_END(X)
#define BCD_SUMMED(X) X(kSetCounts_) X(kAddRow_same) X(kAddRow_in_panel) BCD_SUM_END(X)
#define BCD_SUMMED_REPEATED(X) X(kSetCounts_) X(kAddRow_same) X(kAddRepeated_) BCD_SUM_END(X)
#define BCD_SUMMED_POOLED(X) X(kSetCounts_) X(kAddRow_same) X(kAddPool_) BCD_SUM_END(X)
#define BCD_BIASED(X) X(kSetCounts_) X(kAddRow_in_panel) BCD_BIASED_END(X)
#define BCD_BIASED_REPEATED(X) X(kSetCounts_) X(kAddRepeated_) BCD_BIASED_END(X)
#define BCD_WHOLE_PROGRAMS(X)                                                       \
  X(threshold, BCD_THRESHOLD) X(signed, BCD_SIGNED) X(shortcut, BCD_SHORTCUT)       \
  X(repeated, BCD_REPEATED) X(pooled, BCD_POOLED) X(shifted, BCD_SHIFTED)           \
  X(summed, BCD_SUMMED) X(summed_repeated, BCD_SUMMED_REPEATED)                     \
  X(summed_pooled, BCD_SUMMED_POOLED) X(biased, BCD_BIASED)                         \
  X(biased_repeated, BCD_BIASED_REPEATED)
// clang-format on

// Of at least one block.
typedef void (*RunWhole)(const RowOp* ops, int64_t pixel, int64_t channels);

#define BCD_RUN(name) name(op++, &at, rows, kTilePixels);
#define BCD_FUNCTION(name) run_two_##name,
// Where each operand lies is computed anew for every block: that takes fewer instructions than
// what compilers make of the loop when they see through it.
#define BCD_DEFINE_WHOLE(name, program)                                             \
  static void run_whole_##name(const RowOp* ops, int64_t pixel, int64_t channels) { \
    int64_t channel = 0;                                                            \
    do {                                                                            \
      const RowOp* op = ops;                                                        \
      Place at = {.pixel = pixel, .channel = channel, .count = kLanes};             \
      __asm__("" : "+r"(at.pixel), "+r"(at.channel));                               \
      Lanes rows[kTilePixels];                                                      \
      program(BCD_RUN) channel += kLanes;                                           \
    } while (channel < channels);                                                   \
  }                                                                                 \
  static const RunOp k_##name[] = {program(BCD_FUNCTION) end_row};
BCD_WHOLE_PROGRAMS(BCD_DEFINE_WHOLE)

#define BCD_ENTRY(name, program) {k_##name, run_whole_##name},
static const struct {
  const RunOp* functions;
  RunWhole run;
} kWholePrograms[] = {BCD_WHOLE_PROGRAMS(BCD_ENTRY)};

static bool consists_of(const RowOp* ops, const RunOp* functions) {
  while (ops->own[kRunTwo] == (const void*)(uintptr_t)*functions) {
    if (*functions == end_row) return true;
    ++ops;
    ++functions;
  }
  return false;
}

static const void* find_whole(const RowOp* ops) {
  for (size_t i = 0; i < sizeof(kWholePrograms) / sizeof(kWholePrograms[0]); ++i) {
    if (consists_of(ops, kWholePrograms[i].functions)) {
      return (const void*)(uintptr_t)kWholePrograms[i].run;
    }
  }
  return NULL;
}

static void set_functions(RowOp* op, RunOp two, RunOp one) {
  op->own[kRunTwo] = (const void*)(uintptr_t)two;
  op->own[kRunOne] = (const void*)(uintptr_t)one;
}

#define BCD_CHOOSE(name) set_functions(op, run_two_##name, run_one_##name)
#define BCD_CHOOSE_take_row(code) \
  if (op->stride == 0) {          \
    BCD_CHOOSE(code##_same);      \
  } else if (op->is_in_tile) {    \
    BCD_CHOOSE(code##_in_tile);   \
  } else {                        \
    BCD_CHOOSE(code##_in_panel);  \
  }
#define BCD_CHOOSE_store_row(code) \
  if (op->is_in_tile) {            \
    BCD_CHOOSE(code##_in_tile);    \
  } else {                         \
    BCD_CHOOSE(code##_in_panel);   \
  }
#define BCD_CHOOSE_take_repeated(code) BCD_CHOOSE(code##_);
#define BCD_CHOOSE_take_counts(code) BCD_CHOOSE(code##_);
#define BCD_CHOOSE_take_pool(code) BCD_CHOOSE(code##_);
#define BCD_CHOOSE_bound_row(code) BCD_CHOOSE(code##_);
#define BCD_CHOOSE_sum_row(code) BCD_CHOOSE(code##_);
#define BCD_CHOOSE_sign_row(code) BCD_CHOOSE(code##_);
#define BCD_CHOOSE_sign_row_exact(code) BCD_CHOOSE(code##_);
#define BCD_CASE(code, function, arithmetic) \
  case code:                                 \
    BCD_CHOOSE_##function(code) break;

// Whether the last two instructions are one in the whole blocks of a strip.
static bool ends_with_limits(const RowOp* ops, int count, int blocks, float* limits) {
  if (count < 2) return false;
  const RowOp *sum = &ops[count - 2], *sign = &ops[count - 1];
  return sum->code == kAddRow && sum->stride == 0 && sign->code == kSign &&
         limits_of((const float*)(const void*)sum->data, blocks * kLanes, limits);
}

// Chooses the functions. One more instruction ends the program, and holds what executes it as
// a whole.
static void prepare_rows(RowOp* ops, int count, int blocks, Counted* counted, float* limits) {
  for (RowOp* op = ops; op != ops + count; ++op) {
    op->own[kOwnCounts] = of_op(op, counted);
    switch (op->code) { BCD_ROW_OPS(BCD_CASE) }
  }
  RowOp* end = &ops[count];
  set_functions(end, end_row, end_row);
  if (ends_with_limits(ops, count, blocks, limits)) {
    end[-2].own[kOwnLimits] = limits;
    set_functions(end - 2, run_two_kSignSums_, run_one_kSignSums_);
    set_functions(end - 1, end_row, end_row);
  }
  end->own[kOwnWhole] = find_whole(ops);
}

// The whole blocks of a tile, whose first pixel in the panel is `first`.
static void run_blocks(const RowOp* ops, const RowOp* end, int blocks, int first, int pixels,
                       const Counted* counted) {
  (void)counted;  // prepare_rows has noted them
  const RunWhole whole = (RunWhole)(uintptr_t)end->own[kOwnWhole];
  if (whole != NULL && pixels == kTilePixels && blocks > 0) {
    whole(ops, first, blocks * kLanes);
    return;
  }
  for (int channel = 0; channel < blocks * kLanes; channel += kLanes) {
    for (int p = 0; p < pixels; p += kRowPixels) {
      const RunOp run = (RunOp)(uintptr_t)ops->own[p + 1 < pixels ? kRunTwo : kRunOne];
      // Whatever the registers hold: a program begins by setting its row.
      float32x4_t r0, r1, r2, r3, r4, r5, r6, r7;
      __asm__ volatile("" : "=w"(r0), "=w"(r1), "=w"(r2), "=w"(r3));
      __asm__ volatile("" : "=w"(r4), "=w"(r5), "=w"(r6), "=w"(r7));
      run(ops, first + p, p, channel, r0, r1, r2, r3, r4, r5, r6, r7);
    }
  }
}

#undef BCD_CASE
#undef BCD_CHOOSE
#undef BCD_RUN
#undef BCD_FUNCTION
#undef BCD_ENTRY
#undef BCD_FUNCTIONS
#undef BCD_DEFINE
#undef BCD_DEFINE_OF
#undef BCD_ARGUMENTS
#undef BCD_LAST_CALL

#endif  // BCD_NEON_ROWS_H_
