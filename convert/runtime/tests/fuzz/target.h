// Runs a file as LiteRT would, see target.c.
#ifndef BCD_TARGET_H_
#define BCD_TARGET_H_

#include <stddef.h>
#include <stdint.h>

#include "tflite_abi.h"

// What a program does at some points.
typedef struct {
  int (*fails)(void);  // whether the runtime refuses what it is asked for: a size, or a tensor
  void (*has_prepared)(const TfLiteDelegate* delegate);  // or has tried to
} Hooks;

int never_fails(void);
void describe(const TfLiteDelegate* delegate);
void pass(const TfLiteDelegate* delegate);

// With the delegate's options num_threads, kernels and fuse; NULL if there is no memory.
TfLiteDelegate* create_delegate(char* options[3]);
void destroy_delegate(TfLiteDelegate* delegate);

// Twice, the second time with samples twice as many.
void run_file(const uint8_t* data, size_t size, TfLiteDelegate* delegate, Hooks hooks);

#endif  // BCD_TARGET_H_
