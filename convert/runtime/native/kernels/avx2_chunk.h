// The inner loop of nibbles.h for AVX2. Two pairs of pixels and two groups of channels take
// just as many registers as there are: compilers run out of them. ymm8 to ymm11 are the sums of
// a triple, ymm12 and ymm13 weights of the groups, ymm14 is a table and ymm15 what is found
// there.
#ifndef BCD_AVX2_CHUNK_H_
#define BCD_AVX2_CHUNK_H_

_Static_assert(kTileChannels == 64 && kTilePairs == 2 && kTileGroups == 2,
               "the strides and the registers are for such tiles");

// clang-format off
#define BCD_FIRST(weights, sum) "vpshufb %%" weights ", %%ymm14, %%" sum "\n\t"
#define BCD_NEXT(weights, sum)                  \
  "vpshufb %%" weights ", %%ymm14, %%ymm15\n\t" \
  "vpaddb %%ymm15, %%" sum ", %%" sum "\n\t"
#define BCD_NIBBLE(i, look_up)                                  \
  "vmovdqa 64*" i "(%[weights]), %%ymm12\n\t"                   \
  "vmovdqa 64*" i "+32(%[weights]), %%ymm13\n\t"                \
  "movzwl 2*" i "(%[row0],%[at],2), %k[offset]\n\t"             \
  "vbroadcasti128 (%[tables],%q[offset]), %%ymm14\n\t"          \
  look_up("ymm12", "ymm8") look_up("ymm13", "ymm9")             \
  "movzwl 2*" i "(%[row1],%[at],2), %k[offset]\n\t"             \
  "vbroadcasti128 (%[tables],%q[offset]), %%ymm14\n\t"          \
  look_up("ymm12", "ymm10") look_up("ymm13", "ymm11")
#define BCD_ADD(triple, plain, shifted)                 \
  "vpaddb %%" triple ", %[" plain "], %[" plain "]\n\t" \
  "vpsrlw $4, %%" triple ", %%" triple "\n\t"           \
  "vpaddb %%" triple ", %[" shifted "], %[" shifted "]\n\t"
// clang-format on

static inline __attribute__((always_inline)) void sum_whole_chunk(
    const uint16_t* const* rows, int triples, const uint8_t* weights,
    ByteSums sums[][kTileGroups]) {
  // Counted up to zero: fewer instructions, for processors that take in four a cycle.
  const ptrdiff_t nibbles = triples * kTriple;
  ptrdiff_t at = -nibbles;
  size_t offset;
  __asm__(
      "1:\n\t"
      BCD_NIBBLE("0", BCD_FIRST) BCD_NIBBLE("1", BCD_NEXT) BCD_NIBBLE("2", BCD_NEXT)
      BCD_ADD("ymm8", "plain00", "shifted00") BCD_ADD("ymm9", "plain01", "shifted01")
      BCD_ADD("ymm10", "plain10", "shifted10") BCD_ADD("ymm11", "plain11", "shifted11")
      "add $64*3, %[weights]\n\t"
      "add $3, %[at]\n\t"
      "jne 1b"
      : [plain00] "+x"(sums[0][0].plain), [shifted00] "+x"(sums[0][0].shifted),
        [plain01] "+x"(sums[0][1].plain), [shifted01] "+x"(sums[0][1].shifted),
        [plain10] "+x"(sums[1][0].plain), [shifted10] "+x"(sums[1][0].shifted),
        [plain11] "+x"(sums[1][1].plain), [shifted11] "+x"(sums[1][1].shifted),
        [at] "+r"(at), [weights] "+r"(weights), [offset] "=&r"(offset)
      : [tables] "r"(kDiffering), [row0] "r"(rows[0] + nibbles), [row1] "r"(rows[1] + nibbles)
      : "cc", "memory", "xmm8", "xmm9", "xmm10", "xmm11", "xmm12", "xmm13", "xmm14", "xmm15");
}

#undef BCD_ADD
#undef BCD_NIBBLE
#undef BCD_NEXT
#undef BCD_FIRST

#endif  // BCD_AVX2_CHUNK_H_
