// The specification: every operator written plainly from its equation. All other kernels give
// the same bits, on every machine and with any number of threads.
//
// Binary convolution. For output pixel (y, x) and output channel o of group g,
//
//   count(o) = sum over the window (i, j) and the words c of group g of
//              popcount(in[y s_h + i d_h - p_t][x s_w + j d_w - p_l][c] ^ filter[o][i][j][c])
//
// is the number of products that are -1, so that the convolution of +-1 values is K - 2 count.
// Outside the image the input is the word 0, that is +1 in every channel.
//
//   bits:   bit = count > threshold[o]
//   float:  y = float(clamp(2 count)) * multiplier[o] + bias[o]
//   int8:   the same y, rounded to the nearest integer, halves away from zero, and saturated
//
// where the converter's scale m and offset b, and for int8 the scale s and zero point z of the
// output, are folded once: multiplier = -m / s and bias = (b + K m) / s + z. The clamp is that
// of the fused activation, seen from the doubled count: a in [lo, hi] is 2 count in
// [K - hi, K - lo].
//
// Padding with a true zero. A product outside the image should be 0 where count took it as
// +1 * w. With
//
//   border(o) = sum over the (i, j) outside the image, and their channels, of w
//
// the right convolution is K - (2 count + border). Without activation, a float output is
// corrected after the fact, y - m * border: this is what LCE computes, rounding included. In
// all other cases 2 count + border takes the place of 2 count.
//
// Means and fully connected layers. Floats are summed up in order, here and nowhere else in
// two orders: a mean over the pixels p of channel c as LCE's interpreter does it,
//
//   y[c] = (((0 + x[0][c]) + x[1][c]) + ..) / pixels
//
// and output o of a fully connected layer as XNNPACK does in LiteRT 2.3, each product and sum
// rounded once,
//
//   y[o] = fma(x[K-1], w[o][K-1], .. fma(x[1], w[o][1], fma(x[0], w[o][0], bias[o])))
//
// and so the convolution of an image, over the lines, columns and channels of its window, with
// 0 outside the image.
#include <math.h>
#include <string.h>

#include "kernels/kernels.h"

static void quantize_float(const float* in, size_t rows, int channels, uint32_t* out) {
  const size_t words = (size_t)words_of(channels);
  memset(out, 0, rows * words * sizeof(*out));
  for (size_t r = 0; r < rows; ++r) {
    for (int c = 0; c < channels; ++c) {
      const uint32_t bit = is_negative(in[r * (size_t)channels + (size_t)c]);
      out[r * words + (size_t)(c / kWordBits)] |= bit << (c % kWordBits);
    }
  }
}

static void quantize_int8(const int8_t* in, size_t rows, int channels, int zero_point,
                          uint32_t* out) {
  const size_t words = (size_t)words_of(channels);
  memset(out, 0, rows * words * sizeof(*out));
  for (size_t r = 0; r < rows; ++r) {
    for (int c = 0; c < channels; ++c) {
      const uint32_t bit = in[r * (size_t)channels + (size_t)c] < zero_point;
      out[r * words + (size_t)(c / kWordBits)] |= bit << (c % kWordBits);
    }
  }
}

static int popcount(uint32_t word) { return __builtin_popcount(word); }

static int8_t round_to_int8(float y) {
  if (!(y > -128.0f)) return -128;
  if (y > 127.0f) return 127;
  const int whole = (int)y;
  const float rest = y - (float)whole;
  if (rest >= 0.5f) return (int8_t)(whole + 1);
  if (rest <= -0.5f) return (int8_t)(whole - 1);
  return (int8_t)whole;
}

static void convolve(const Convolution* c, const uint32_t* in, void* out, size_t first,
                     size_t last, void* scratch) {
  (void)scratch;
  const Window* w = &c->window;
  const int out_words = (int)words_of(c->channels_out);
  for (size_t pixel = first; pixel < last; ++pixel) {
    const int out_x = (int)(pixel % (size_t)w->out_width);
    const int out_y = (int)(pixel / (size_t)w->out_width % (size_t)w->out_height);
    const size_t n = pixel / (size_t)w->out_width / (size_t)w->out_height;
    if (c->output == kOutputBits) {
      memset((uint32_t*)out + pixel * (size_t)out_words, 0,
             sizeof(uint32_t) * (size_t)out_words);
    }
    for (int o = 0; o < c->channels_out; ++o) {
      const int group = o / c->group_channels_out;
      int32_t count = 0, border = 0;
      bool is_border = false;
      for (int i = 0; i < w->window_height; ++i) {
        for (int j = 0; j < w->window_width; ++j) {
          const int64_t in_y =
              (int64_t)out_y * w->stride_height + i * w->dilation_height - w->pad_top;
          const int64_t in_x =
              (int64_t)out_x * w->stride_width + j * w->dilation_width - w->pad_left;
          const bool inside =
              in_y >= 0 && in_y < w->in_height && in_x >= 0 && in_x < w->in_width;
          const uint32_t* weights =
              c->filter +
              (((size_t)o * (size_t)w->window_height + (size_t)i) * (size_t)w->window_width +
               (size_t)j) *
                  (size_t)c->group_words;
          if (!inside) {
            is_border = true;
            border += c->group_channels_in;
          }
          for (int k = 0; k < c->group_words; ++k) {
            if (inside) {
              const size_t at =
                  ((n * (size_t)w->in_height + (size_t)in_y) * (size_t)w->in_width +
                   (size_t)in_x) *
                  (size_t)w->in_words;
              count += popcount(in[at + (size_t)(group * c->group_words + k)] ^ weights[k]);
            } else {
              count += popcount(weights[k]);
              border -= 2 * popcount(weights[k]);
            }
          }
        }
      }
      if (!c->pads_with_zero) border = 0;
      const size_t to = pixel * (size_t)c->channels_out + (size_t)o;
      const bool corrects_after = c->output == kOutputFloat && !c->has_activation;
      int32_t doubled = 2 * count + (corrects_after ? 0 : border);
      if (c->output == kOutputBits) {
        const uint32_t bit = doubled > 2 * c->threshold[o];
        ((uint32_t*)out)[pixel * (size_t)out_words + (size_t)(o / kWordBits)] |=
            bit << (o % kWordBits);
        continue;
      }
      if (doubled > c->clamp_max) doubled = c->clamp_max;
      if (doubled < c->clamp_min) doubled = c->clamp_min;
      float y = (float)doubled * c->multiplier[o] + c->bias[o];
      if (corrects_after && c->pads_with_zero && is_border) y += -c->scale[o] * (float)border;
      if (c->output == kOutputInt8) {
        ((int8_t*)out)[to] = round_to_int8(y);
      } else {
        ((float*)out)[to] = y;
      }
    }
  }
}

static void sum(const float* in, size_t pixels, int channels, int first, int last, float* out) {
  for (int c = first; c < last; ++c) {
    out[c] = 0.0f;
    for (size_t p = 0; p < pixels; ++p) out[c] += in[p * (size_t)channels + (size_t)c];
  }
}

static void connect(const FullyConnected* layer, const float* in, size_t rows, int first,
                    int last, float* out) {
  const size_t inputs = (size_t)layer->inputs;
  for (size_t r = 0; r < rows; ++r) {
    for (int o = first; o < last; ++o) {
      float sum = layer->bias[o];
      for (size_t k = 0; k < inputs; ++k) {
        sum = fmaf(in[r * inputs + k], layer->weights[(size_t)o * inputs + k], sum);
      }
      out[r * (size_t)layer->outputs + (size_t)o] = sum;
    }
  }
}

static void convolve_image(const ImageConvolution* c, const float* in, float* out, size_t first,
                           size_t last, float* scratch) {
  (void)scratch;
  const Window* w = &c->window;
  for (size_t pixel = first; pixel < last; ++pixel) {
    const int64_t top =
        (int64_t)(pixel / (size_t)w->out_width % (size_t)w->out_height) * w->stride_height -
        w->pad_top;
    const int64_t left =
        (int64_t)(pixel % (size_t)w->out_width) * w->stride_width - w->pad_left;
    const size_t n = pixel / (size_t)w->out_width / (size_t)w->out_height;
    const float* image =
        in + n * (size_t)w->in_height * (size_t)w->in_width * (size_t)w->in_words;
    for (int o = 0; o < c->channels_out; ++o) {
      const float* weight = c->filter + (size_t)o * (size_t)image_depth(c);
      float sum = c->bias[o];
      for (int64_t y = top; y < top + w->window_height; ++y) {
        for (int64_t x = left; x < left + w->window_width; ++x) {
          const bool is_inside = y >= 0 && y < w->in_height && x >= 0 && x < w->in_width;
          const float* from = is_inside ? image + (y * w->in_width + x) * w->in_words : NULL;
          for (int k = 0; k < w->in_words; ++k) {
            sum = fmaf(is_inside ? from[k] : 0.0f, *weight++, sum);
          }
        }
      }
      out[pixel * (size_t)c->channels_out + (size_t)o] =
          c->has_bounds ? within_bounds(&c->bounds, sum) : sum;
    }
  }
}

static bool runs_everywhere(void) { return true; }

const Kernels reference_kernels = {
    .name = "reference",
    .runs_here = runs_everywhere,
    .quantize_float = quantize_float,
    .quantize_int8 = quantize_int8,
    .convolve = convolve,
    .sum = sum,
    .connect = connect,
    .convolve_image = convolve_image,
};

void quantize_bool(const bool* in, size_t rows, int channels, uint32_t* out) {
  const size_t words = (size_t)words_of(channels);
  memset(out, 0, rows * words * sizeof(*out));
  for (size_t r = 0; r < rows; ++r) {
    for (int c = 0; c < channels; ++c) {
      // A bool is a byte of the file's or the caller's: anything but 0 is true, and true is +1.
      const uint32_t bit = ((const uint8_t*)in)[r * (size_t)channels + (size_t)c] == 0;
      out[r * words + (size_t)(c / kWordBits)] |= bit << (c % kWordBits);
    }
  }
}

static bool bit_of(const uint32_t* words, int channel) {
  return words[channel / kWordBits] >> (channel % kWordBits) & 1;
}

void dequantize_float(const uint32_t* in, size_t rows, int channels, float* out) {
  for (size_t r = 0; r < rows; ++r, in += words_of(channels)) {
    for (int c = 0; c < channels; ++c) *out++ = bit_of(in, c) ? -1.0f : 1.0f;
  }
}

void dequantize_int8(const uint32_t* in, size_t rows, int channels, int8_t plus_one,
                     int8_t minus_one, int8_t* out) {
  for (size_t r = 0; r < rows; ++r, in += words_of(channels)) {
    for (int c = 0; c < channels; ++c) *out++ = bit_of(in, c) ? minus_one : plus_one;
  }
}

void dequantize_bool(const uint32_t* in, size_t rows, int channels, bool* out) {
  for (size_t r = 0; r < rows; ++r, in += words_of(channels)) {
    for (int c = 0; c < channels; ++c) *out++ = !bit_of(in, c);
  }
}

// The maximum of +-1 values is -1 only if all of them are: the conjunction of their bits.
// Padding never wins a maximum, so it is left out.
void max_pool(const Window* w, const uint32_t* in, uint32_t* out, size_t first, size_t last) {
  const size_t words = (size_t)w->in_words;
  for (size_t pixel = first; pixel < last; ++pixel) {
    const int out_x = (int)(pixel % (size_t)w->out_width);
    const int out_y = (int)(pixel / (size_t)w->out_width % (size_t)w->out_height);
    const size_t n = pixel / (size_t)w->out_width / (size_t)w->out_height;
    uint32_t* to = out + pixel * words;
    memset(to, 0xff, words * sizeof(*to));
    // The part of the window within the image. A file may ask for a window of any size, so it
    // is cut here and not by a test in the loop.
    const int64_t top = (int64_t)out_y * w->stride_height - w->pad_top;
    const int64_t left = (int64_t)out_x * w->stride_width - w->pad_left;
    const int64_t bottom =
        top + w->window_height < w->in_height ? top + w->window_height : w->in_height;
    const int64_t right =
        left + w->window_width < w->in_width ? left + w->window_width : w->in_width;
    for (int64_t y = top > 0 ? top : 0; y < bottom; ++y) {
      for (int64_t x = left > 0 ? left : 0; x < right; ++x) {
        const uint32_t* from =
            in +
            ((n * (size_t)w->in_height + (size_t)y) * (size_t)w->in_width + (size_t)x) * words;
        for (size_t k = 0; k < words; ++k) to[k] &= from[k];
      }
    }
  }
}
