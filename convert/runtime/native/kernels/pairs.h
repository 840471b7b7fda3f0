// Two words are counted at once. With a0, a1 those of a patch, b0, b1 those of a filter,
// da = a0 ^ a1 and db = b0 ^ b1,
//
//   popcount(a0 ^ b0) + popcount(a1 ^ b1) = 2 popcount(h) + popcount(da) - popcount(db)
//   h = a0 ^ b1 ? ~da : db, bit by bit
//
// as the sixteen cases of a bit show: where da = db, both differences are a0 ^ b0, and so is h;
// where da != db, one of them is 1, and h is db. The last two terms are constants of a patch
// and of a filter, which are added at the end. A patch holds a0 and ~da, a filter b1 and db.
//
// An odd depth is filled up with a word of zeros. After the pairs of a patch, and of the
// filters of kPackedChannels channels, follow their constants.
//
// The order of the weights: for each group, for each kPackedChannels of its output channels,
// for each pair, for each kPackedSide of these channels, all b1 side by side, then all db. A
// last part that is narrower is padded to whole blocks. The including file defines both.
#ifndef BCD_PAIRS_H_
#define BCD_PAIRS_H_

#include <string.h>

#include "kernels/kernels.h"

static inline int pairs_of(int depth) { return (int)(((unsigned)depth + 1) / 2); }

static int padded_channels(const Convolution* c) {
  return (c->group_channels_out + kLanes - 1) / kLanes * kLanes;
}

static size_t words_per_channel(const Convolution* c) {
  return 2 * (size_t)pairs_of(convolution_depth(c)) + 1;
}

static size_t packed_words(const Convolution* c) {
  return (size_t)c->groups * (size_t)padded_channels(c) * words_per_channel(c);
}

static inline const uint32_t* tile_weights(const Convolution* c, int group, int from) {
  return c->packed +
         ((size_t)group * (size_t)padded_channels(c) + (size_t)from) * words_per_channel(c);
}

// A filter, from where its first b1 goes: `width` channels are packed together.
static void pack_channel(const uint32_t* filter, int depth, int side, size_t width,
                         uint32_t* to, uint32_t* constant) {
  *constant = 0;
  for (int k = 0; k < depth; k += 2, to += 2 * width) {
    const uint32_t b0 = filter[k], b1 = k + 1 < depth ? filter[k + 1] : 0;
    to[0] = b1;
    to[side] = b0 ^ b1;
    *constant += (uint32_t)__builtin_popcount(b0 ^ b1);
  }
}

static void pack(const Convolution* c, uint32_t* packed) {
  const int depth = convolution_depth(c), padded = padded_channels(c);
  memset(packed, 0, packed_words(c) * sizeof(*packed));
  for (int group = 0; group < c->groups; ++group) {
    for (int from = 0; from < padded; from += kPackedChannels) {
      const int left = padded - from;
      const int width = left < (int)kPackedChannels ? left : (int)kPackedChannels;
      const int side = width < (int)kPackedSide ? width : (int)kPackedSide;
      uint32_t* constants = packed + (words_per_channel(c) - 1) * (size_t)width;
      for (int o = 0; o < width && from + o < c->group_channels_out; ++o) {
        const size_t channel = (size_t)(group * c->group_channels_out + from + o);
        pack_channel(c->filter + channel * (size_t)depth, depth, side, (size_t)width,
                     packed + o / side * 2 * side + o % side, constants + o);
      }
      packed += words_per_channel(c) * (size_t)width;
    }
  }
}

#endif  // BCD_PAIRS_H_
