// The order of the weights for kernels that take whole words: for each group, for each
// kPackedChannels of its output channels, which the including file defines, for each word of
// the patch, that word of all these channels side by side. A last, narrower part is padded to
// whole blocks.
#ifndef BCD_PACK_H_
#define BCD_PACK_H_

#include "kernels.h"

static int padded_channels(const Convolution* c) {
  return (c->group_channels_out + kLanes - 1) / kLanes * kLanes;
}

static size_t packed_words(const Convolution* c) {
  return (size_t)c->groups * (size_t)padded_channels(c) * (size_t)convolution_depth(c);
}

static inline const uint32_t* tile_weights(const Convolution* c, int group, int from) {
  return c->packed + ((size_t)group * (size_t)padded_channels(c) + (size_t)from) *
                         (size_t)convolution_depth(c);
}

static void pack(const Convolution* c, uint32_t* packed) {
  const size_t depth = (size_t)convolution_depth(c);
  const int padded = padded_channels(c);
  memset(packed, 0, packed_words(c) * sizeof(*packed));
  for (int group = 0; group < c->groups; ++group) {
    for (int from = 0; from < padded; from += kPackedChannels) {
      const int left = padded - from, width = left < kPackedChannels ? left : kPackedChannels;
      for (int o = 0; o < width && from + o < c->group_channels_out; ++o) {
        const size_t channel = (size_t)(group * c->group_channels_out + from + o);
        for (size_t k = 0; k < depth; ++k) {
          packed[k * (size_t)width + (size_t)o] = c->filter[channel * depth + k];
        }
      }
      packed += depth * (size_t)width;
    }
  }
}

#endif  // BCD_PACK_H_
