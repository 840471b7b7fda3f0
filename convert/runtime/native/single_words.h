// What tiles.h wants of an instruction set that counts the bits of words one by one. To be
// included after copy_words, before tiles.h.

static inline void copy_lines(uint32_t* to, const uint32_t* from, int words, int lines,
                              int64_t stride) {
  for (int i = 0; i < lines; ++i, to += words, from += stride) copy_words(to, from, words);
}

#ifndef BCD_PAIRS_PATCHES
static inline void pair_words(uint32_t* words, size_t count) {
  (void)words;  // .pairs_words is false
  (void)count;
}
#endif
