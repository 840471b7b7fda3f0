// Whether a thread takes denormal numbers for zero, in operands and results.
//
// XNNPACK does, in every operator it executes. An operator that is taken over from it has to do
// the same to give the same bits, and plans do it throughout: it also keeps a network from
// becoming slow where its activations fade.
#ifndef BCD_FLOAT_MODE_H_
#define BCD_FLOAT_MODE_H_

#include <stdint.h>

typedef struct {
  uint64_t bits;
} FloatMode;

static inline FloatMode float_mode(void) {
  FloatMode mode = {0};
#if defined(__x86_64__)
  mode.bits = __builtin_ia32_stmxcsr();
#elif defined(__aarch64__)
  __asm__ volatile("mrs %0, fpcr" : "=r"(mode.bits));
#endif
  return mode;
}

static inline void set_float_mode(FloatMode mode) {
#if defined(__x86_64__)
  __builtin_ia32_ldmxcsr((unsigned)mode.bits);
#elif defined(__aarch64__)
  __asm__ volatile("msr fpcr, %0" : : "r"(mode.bits));
#else
  (void)mode;
#endif
}

static inline FloatMode without_denormals(FloatMode mode) {
#if defined(__x86_64__)
  mode.bits |= 1u << 15 | 1u << 6;  // flush results to zero, take operands for zero
#elif defined(__aarch64__)
  mode.bits |= 1u << 24;  // both
#endif
  return mode;
}

#endif  // BCD_FLOAT_MODE_H_
