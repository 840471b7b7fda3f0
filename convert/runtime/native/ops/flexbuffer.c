#include "ops/flexbuffer.h"

#include <stdbool.h>
#include <string.h>

// A buffer is written from the leaves to the root, so every offset points backwards:
//
//   ... keys ... | keys offset | keys width | size | elements[size] | types[size] | ... root
//                                                  ^ the address of the map
//
// The last byte is the width of the root's offset, the byte before it the root's type, and the
// offset itself stands before both. A type byte is (type << 2) | log2(width of its children).
enum { kInt = 1, kUInt = 2, kIndirectInt = 6, kIndirectUInt = 7, kMap = 9, kBool = 26 };

typedef struct {
  const uint8_t* data;
  size_t size;
} Buffer;

static bool read_unsigned(Buffer buffer, size_t at, size_t width, uint64_t* value) {
  if (at > buffer.size || width > buffer.size - at) return false;
  *value = 0;
  for (size_t i = 0; i < width; ++i) *value |= (uint64_t)buffer.data[at + i] << (8 * i);
  return true;
}

static int64_t sign_extend(uint64_t value, size_t width) {
  if (width == 8) return (int64_t)value;
  const uint64_t sign = (uint64_t)1 << (8 * width - 1);
  return (int64_t)((value ^ sign) - sign);
}

// Follows the offset stored at `at`: the target lies that many bytes before it.
static bool follow(Buffer buffer, size_t at, size_t width, size_t* target) {
  uint64_t offset;
  if (!read_unsigned(buffer, at, width, &offset) || offset > at) return false;
  *target = at - (size_t)offset;
  return true;
}

static bool is_width(uint64_t width) {
  return width == 1 || width == 2 || width == 4 || width == 8;
}

static FlexStatus read_integer(Buffer buffer, size_t at, size_t width, uint8_t packed_type,
                               int64_t* value) {
  const int type = packed_type >> 2;
  if (type == kIndirectInt || type == kIndirectUInt) {
    if (!follow(buffer, at, width, &at)) return kFlexMalformed;
    width = (size_t)1 << (packed_type & 3);
  } else if (type != kInt && type != kUInt && type != kBool) {
    return kFlexNotAnInteger;
  }
  uint64_t bits;
  if (!read_unsigned(buffer, at, width, &bits)) return kFlexMalformed;
  const bool is_signed = type == kInt || type == kIndirectInt;
  if (!is_signed && bits > INT64_MAX) return kFlexNotAnInteger;
  *value = is_signed ? sign_extend(bits, width) : (int64_t)bits;
  return kFlexFound;
}

FlexStatus flex_map_integer(const uint8_t* data, size_t size, const char* key, int64_t* value) {
  const Buffer buffer = {data, size};
  if (data == NULL || size < 3) return kFlexMalformed;
  const size_t root_width = data[size - 1];
  const uint8_t root_type = data[size - 2];
  if (!is_width(root_width) || root_width > size - 2 || root_type >> 2 != kMap) {
    return kFlexMalformed;
  }
  size_t map;
  if (!follow(buffer, size - 2 - root_width, root_width, &map)) return kFlexMalformed;

  const size_t width = (size_t)1 << (root_type & 3);
  uint64_t count, key_width, key_count;
  size_t keys;
  if (map < 3 * width || !read_unsigned(buffer, map - width, width, &count) ||
      !read_unsigned(buffer, map - 2 * width, width, &key_width) || !is_width(key_width) ||
      !follow(buffer, map - 3 * width, width, &keys) || keys < key_width ||
      !read_unsigned(buffer, keys - key_width, key_width, &key_count) || key_count != count) {
    return kFlexMalformed;
  }
  // The types follow the elements, and a key is at least an offset: both bound the count, so
  // that no sum below can wrap.
  if (count > (size - map) / (width + 1) || count > (size - keys) / key_width) {
    return kFlexMalformed;
  }
  const size_t key_size = strlen(key) + 1;
  for (size_t i = 0; i < count; ++i) {
    size_t name;
    if (!follow(buffer, keys + i * key_width, key_width, &name)) return kFlexMalformed;
    if (key_size > size - name || memcmp(data + name, key, key_size) != 0) continue;
    return read_integer(buffer, map + i * width, width, data[map + count * width + i], value);
  }
  return kFlexMissing;
}
