#include "kernels/cpu.h"

#include <stdint.h>
#include <string.h>

#include "kernels/kernels.h"

#if defined(__x86_64__)

#include <cpuid.h>

// Read directly: the compilers' __builtin_cpu_supports needs their own run-time library, which
// a cross-compiled library does not have.
enum { kOsSavesVectors = 0x06, kOsSavesAvx512 = 0xe6 };

static uint64_t os_saved_registers(void) {
  unsigned a, b, c, d;
  if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & 1u << 27)) return 0;  // OSXSAVE
  uint32_t low, high;
  __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return (uint64_t)high << 32 | low;
}

bool cpu_has_avx2(void) {
  unsigned a, b, c, d;
  if ((os_saved_registers() & kOsSavesVectors) != kOsSavesVectors) return false;
  if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & 1u << 12)) return false;  // FMA
  return __get_cpuid_count(7, 0, &a, &b, &c, &d) && (b & 1u << 5);
}

bool cpu_has_avx512_bytes(void) {
  unsigned a, b, c, d;
  if ((os_saved_registers() & kOsSavesAvx512) != kOsSavesAvx512) return false;
  if (!__get_cpuid_count(7, 0, &a, &b, &c, &d)) return false;
  const unsigned f = 1u << 16, bw = 1u << 30, vl = 1u << 31;
  return (b & f) && (b & bw) && (b & vl);
}

bool cpu_has_avx512_popcount(void) {
  unsigned a, b, c, d;
  return cpu_has_avx512_bytes() && __get_cpuid_count(7, 0, &a, &b, &c, &d) && (c & 1u << 14);
}

#endif  // defined(__x86_64__)

const Kernels* find_kernels(const char* name) {
  // Fastest first.
  static const Kernels* const all[] = {
#if defined(__x86_64__)
    &avx512_kernels,
    &avx512bw_kernels,
    &avx2_kernels,
#elif defined(__aarch64__)
    &neon_kernels,
#endif
    &reference_kernels,
  };
  for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); ++i) {
    const bool is_wanted = strcmp(name, "auto") == 0 || strcmp(name, all[i]->name) == 0;
    if (is_wanted && all[i]->runs_here()) return all[i];
  }
  return NULL;
}
