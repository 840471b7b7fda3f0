// Picks the instance of the including file's `count` for the size of the tile: with both sizes
// constant, the accumulators of the tile stay in registers.
#ifndef BCD_COUNT_TILE_H_
#define BCD_COUNT_TILE_H_

#define BCD_TILE(pixels, blocks)                         \
  case (pixels)*8 + (blocks):                            \
    count(rows, pixels, depth, weights, blocks, counts); \
    break;
#define BCD_TILES(blocks) \
  BCD_TILE(1, blocks) BCD_TILE(2, blocks) BCD_TILE(3, blocks) BCD_TILE(4, blocks)

static void count_tile(const uint32_t* const* rows, int pixels, int depth,
                       const uint32_t* weights, int blocks, int32_t* counts) {
  switch (pixels * 8 + blocks) {
    BCD_TILES(1)
    BCD_TILES(2)
    BCD_TILES(3)
    BCD_TILES(4)
  }
}

#undef BCD_TILES
#undef BCD_TILE

#endif  // BCD_COUNT_TILE_H_
