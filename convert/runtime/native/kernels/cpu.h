// Which instructions this machine has, and the operating system lets us use.
#ifndef BCD_CPU_H_
#define BCD_CPU_H_

#include <stdbool.h>

bool cpu_has_avx2(void);             // and FMA
bool cpu_has_avx512_bytes(void);     // F, BW and VL
bool cpu_has_avx512_popcount(void);  // and VPOPCNTDQ

#endif  // BCD_CPU_H_
