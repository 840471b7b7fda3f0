// How many multiply-adds each set of kernels does in a cycle, by shape: `make bench-kernels`.
// Takes names of kernels, by default all that run here. A cycle is what an addition of two
// registers that waits for the one before takes, so it is the processor's own whatever its
// clock. (Constants are added while renaming by some processors, several in a cycle.)
#define _POSIX_C_SOURCE 200809L

#include <stdio.h>

#include "clock.h"
#include "setup.h"

enum { kRounds = 7, kAdditions = 20000000 };

static double nanoseconds_per_cycle(void) {
  double best = 1e9;
  for (int round = 0; round < kRounds; ++round) {
    uint64_t x = 1, y = 1;
    __asm__ volatile("" : "+r"(y));
    const uint64_t begin = now();
    for (int i = 0; i < kAdditions; i += 4) {
      __asm__ volatile("" : "+r"(x));
      x += y;
      __asm__ volatile("" : "+r"(x));
      x += y;
      __asm__ volatile("" : "+r"(x));
      x += y;
      __asm__ volatile("" : "+r"(x));
      x += y;
    }
    const double each = (double)(now() - begin) / kAdditions;
    if (each < best) best = each;
  }
  return best;
}

typedef struct {
  const Kernels* kernels;
  Case* made;
  const ImageCase* image;
  const uint32_t* words;
  const float* floats;
  FullyConnected* layer;
  uint32_t* out_words;
  float* out;
  int channels;
  size_t rows;
} Work;

static void convolve(const Work* w) {
  w->kernels->convolve(&w->made->convolution, w->made->input, w->out, 0, w->made->pixels,
                       w->made->scratch);
}

static void convolve_image(const Work* w) {
  w->kernels->convolve_image(&w->image->convolution, w->image->input, w->out, 0,
                             w->image->pixels, w->image->scratch);
}

static void quantize(const Work* w) {
  w->kernels->quantize_float(w->floats, w->rows, w->channels, w->out_words);
}

static void sum(const Work* w) {
  w->kernels->sum(w->floats, w->rows, w->channels, 0, w->channels, w->out);
}

static void connect(const Work* w) {
  w->kernels->connect(w->layer, w->floats, 1, 0, w->layer->outputs, w->out);
}

// The best of a few rounds, each of a millisecond at least.
static double cycles_of(void (*run)(const Work*), const Work* work, double cycle) {
  int times = 1;
  double best = 1e18;
  for (int round = 0; round < kRounds;) {
    const uint64_t begin = now();
    for (int i = 0; i < times; ++i) run(work);
    const double took = (double)(now() - begin);
    if (took < 1e6) {
      times *= 2;
      continue;
    }
    if (took / times < best) best = took / times;
    ++round;
  }
  return best / cycle;
}

static void report(const char* what, const Kernels* kernels, double count, double cycles) {
  printf("%-38s %-10s %10.1f\n", what, kernels->name, count / cycles);
}

static void bench_convolution(const Kernels* kernels, double cycle, int window, int in, int out,
                              int size) {
  enum { kPatchBytes = 16 * 1024, kMostPixels = 60 };
  Case made =
      make_case((Shape){1, size, in, out, window, 1, 1, 1, true, false, false, kOutputFloat});
  // As large as those of convolutions that run alone.
  int panel =
      kPatchBytes / (convolution_depth(&made.convolution) * 4) / kPanelStep * kPanelStep;
  panel = panel < kPanelStep ? kPanelStep : panel > kMostPixels ? kMostPixels : panel;
  prepare_case(&made, kernels, panel);
  Work work = {.kernels = kernels, .made = &made, .out = allocate(made.output_bytes)};
  char name[64];
  snprintf(name, sizeof(name), "convolve %dx%d %d -> %d at %dx%d", window, window, in, out,
           size, size);
  const double macs = (double)made.pixels * window * window * in * out;
  report(name, kernels, macs, cycles_of(convolve, &work, cycle));
  free(work.out);
  free_case(&made);
}

// The float convolutions that networks begin with.
static void bench_image(const Kernels* kernels, double cycle, int window, int out, int size) {
  ImageCase made = make_image((ImageShape){1, size, 3, out, window, 2, window / 2, false});
  const double values = (double)made.pixels * out;
  Work work = {.kernels = kernels, .image = &made, .out = random_floats((size_t)values)};
  char name[64];
  snprintf(name, sizeof(name), "convolve_image %dx%d 3 -> %d at %dx%d", window, window, out,
           size, size);
  report(name, kernels, values * window * window * 3, cycles_of(convolve_image, &work, cycle));
  free(work.out);
  free_image(&made);
}

static void bench_vectors(const Kernels* kernels, double cycle) {
  enum { kChannels = 256, kRows = 196, kOutputs = 1024 };
  FullyConnected layer = {kChannels, kOutputs, random_floats(kChannels * kOutputs),
                          random_floats(kOutputs + kLanes), NULL};
  layer.packed = layer.weights;  // the order does not matter here
  Work work = {.kernels = kernels,
               .floats = random_floats(kRows * kChannels),
               .layer = &layer,
               .out_words = random_words(kRows * kChannels),
               .out = random_floats(kOutputs),
               .channels = kChannels,
               .rows = kRows};
  report("quantize_float, values", kernels, kRows * kChannels,
         cycles_of(quantize, &work, cycle));
  report("sum, values", kernels, kRows * kChannels, cycles_of(sum, &work, cycle));
  report("connect 256 -> 1024", kernels, kChannels * kOutputs,
         cycles_of(connect, &work, cycle));
  free((void*)(uintptr_t)layer.weights);
  free((void*)(uintptr_t)layer.bias);
  free((void*)(uintptr_t)work.floats);
  free(work.out_words);
  free(work.out);
}

static void bench(const Kernels* kernels, double cycle) {
  static const int kShapes[][4] = {{1, 32, 64, 112},  {3, 64, 64, 56},   {3, 128, 128, 28},
                                   {3, 256, 256, 14}, {3, 512, 512, 14}, {3, 512, 512, 7},
                                   {1, 256, 256, 14}, {1, 512, 512, 14}, {1, 1024, 1024, 7}};
  for (size_t i = 0; i < sizeof(kShapes) / sizeof(kShapes[0]); ++i) {
    const int* s = kShapes[i];
    bench_convolution(kernels, cycle, s[0], s[1], s[2], s[3]);
  }
  bench_image(kernels, cycle, 3, 32, 224);
  bench_image(kernels, cycle, 7, 64, 224);
  bench_vectors(kernels, cycle);
}

int main(int count, char** names) {
  static const char* const kAll[] = {"avx512", "avx512bw", "avx2", "neon"};
  const double cycle = nanoseconds_per_cycle();
  printf("%.2f cycles in a nanosecond\n%-38s %-10s %10s\n", 1 / cycle, "shape", "kernels",
         "MACs/cycle");
  const int all = count > 1 ? count - 1 : (int)(sizeof(kAll) / sizeof(kAll[0]));
  for (int i = 0; i < all; ++i) {
    const Kernels* kernels = find_kernels(count > 1 ? names[i + 1] : kAll[i]);
    if (kernels != NULL) bench(kernels, cycle);
  }
  return 0;
}
