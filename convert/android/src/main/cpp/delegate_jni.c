// Creates and destroys the delegate for org.larqbcd.BinaryDelegate.
#include <jni.h>
#include <stdint.h>
#include <stdio.h>

#include "tflite_abi.h"

TfLiteDelegate* tflite_plugin_create_delegate(char** keys, char** values, size_t count,
                                              void (*report_error)(const char*));
void tflite_plugin_destroy_delegate(TfLiteDelegate* delegate);

JNIEXPORT jlong JNICALL Java_org_larqbcd_BinaryDelegate_create(JNIEnv* environment, jclass type,
                                                               jint threads) {
  (void)environment;
  (void)type;
  char number[16];
  snprintf(number, sizeof(number), "%d", (int)threads);
  char* keys[] = {"num_threads"};
  char* values[] = {number};
  return (jlong)(intptr_t)tflite_plugin_create_delegate(keys, values, 1, NULL);
}

JNIEXPORT void JNICALL Java_org_larqbcd_BinaryDelegate_destroy(JNIEnv* environment, jclass type,
                                                               jlong handle) {
  (void)environment;
  (void)type;
  tflite_plugin_destroy_delegate((TfLiteDelegate*)(intptr_t)handle);
}
