// TARGET_BEGIN("avx2") ... TARGET_END: the functions between may use these instructions.
//
// Set in the source and not on the command line, so that every build system compiles every
// file with the same flags, and so that no function of another file can come out with
// instructions that the machine lacks.
#ifndef BCD_PRAGMA_TARGET_H_
#define BCD_PRAGMA_TARGET_H_

#define BCD_PRAGMA(text) _Pragma(#text)
#if defined(__clang__)
#define TARGET_BEGIN(features) \
  BCD_PRAGMA(clang attribute push(__attribute__((target(features))), apply_to = function))
#define TARGET_END _Pragma("clang attribute pop")
#else
#define TARGET_BEGIN(features) _Pragma("GCC push_options") BCD_PRAGMA(GCC target(features))
#define TARGET_END _Pragma("GCC pop_options")
#endif

#endif  // BCD_PRAGMA_TARGET_H_
