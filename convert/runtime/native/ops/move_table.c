#include "ops/move_table.h"

#include <string.h>

#include "ops/operators.h"

int moved_unit(int type) { return type == kTfLiteFloat32 ? kWordBits : 1; }

static bool is_moved_type(int type) { return type == kTfLiteFloat32 || type == kTfLiteInt32; }

static bool read_affine(Movement* m, const Shape* in) {
  m->kind = kAffine;
  m->out.rank = in->rank;
  for (int i = 0; i < in->rank; ++i) {
    m->begin[i] = 0;
    m->step[i] = 1;
    m->out.dims[i] = in->dims[i];
  }
  return true;
}

static bool has_integers(const Shape* shape, size_t count) {
  return shape->integers != NULL && shape->count == count;
}

static bool read_slice(Movement* m, const Shape* in) {
  const size_t rank = (size_t)in[0].rank;
  if (!has_integers(&in[1], rank) || !has_integers(&in[2], rank)) return false;
  read_affine(m, in);
  for (int i = 0; i < in[0].rank; ++i) {
    const int begin = in[1].integers[i];
    if (begin < 0 || begin >= in[0].dims[i]) return false;
    const int rest = in[0].dims[i] - begin;
    const int size = in[2].integers[i] == -1 ? rest : in[2].integers[i];
    if (size < 1 || size > rest) return false;
    m->begin[i] = begin;
    m->out.dims[i] = size;
  }
  return true;
}

// The options of STRIDED_SLICE in the order in which the runtime stores them; those from
// kFirstUnserved on have to be 0.
enum { kBeginMask, kEndMask, kFirstUnserved, kStridedSliceOptions = 5 };

static int clamp_index(int index, int size) {
  if (index < 0) index = index < -size ? 0 : index + size;
  return index > size ? size : index;
}

static bool read_strided_slice(Movement* m, const Shape* in, const int* options) {
  const size_t rank = (size_t)in[0].rank;
  if (!has_integers(&in[1], rank) || !has_integers(&in[2], rank) ||
      !has_integers(&in[3], rank)) {
    return false;
  }
  for (int i = kFirstUnserved; i < kStridedSliceOptions; ++i) {
    if (options[i] != 0) return false;
  }
  read_affine(m, in);
  for (int i = 0; i < in[0].rank; ++i) {
    const int size = in[0].dims[i], step = in[3].integers[i];
    if (step < 1) return false;
    const int begin = options[kBeginMask] >> i & 1 ? 0 : clamp_index(in[1].integers[i], size);
    const int end = options[kEndMask] >> i & 1 ? size : clamp_index(in[2].integers[i], size);
    if (begin >= end) return false;
    m->begin[i] = begin;
    m->step[i] = step;
    m->out.dims[i] = (end - begin - 1) / step + 1;
  }
  return true;
}

static bool read_pad(Movement* m, const Shape* in) {
  const int rank = in[0].rank;
  if (!has_integers(&in[1], 2 * (size_t)rank)) return false;
  read_affine(m, in);
  for (int i = 0; i < rank; ++i) {
    const int before = in[1].integers[2 * i], after = in[1].integers[2 * i + 1];
    if (before < 0 || after < 0 || before > kMaxWindow || after > kMaxWindow) return false;
    m->begin[i] = -before;
    if (__builtin_add_overflow(in[0].dims[i], before + after, &m->out.dims[i])) return false;
  }
  return true;
}

static bool read_axis(int axis, int rank, int* result) {
  *result = axis < 0 ? axis + rank : axis;
  return *result >= 0 && *result < rank;
}

static bool read_split(Movement* m, const Shape* in, const int* options, int output_index) {
  int axis;
  if (!has_integers(&in[0], 1) || !read_axis(in[0].integers[0], in[1].rank, &axis)) {
    return false;
  }
  const int parts = options[0];
  if (parts < 1 || output_index >= parts || in[1].dims[axis] % parts != 0) return false;
  read_affine(m, &in[1]);
  m->out.dims[axis] /= parts;
  m->begin[axis] = m->out.dims[axis] * output_index;
  return true;
}

static bool read_join(Movement* m, const Shape* in, int inputs, const int* options) {
  // The axis, then the activation.
  if (options[1] != 0 || !read_axis(options[0], in[0].rank, &m->axis)) {
    return false;
  }
  read_affine(m, &in[0]);
  m->kind = kJoin;
  for (int k = 1; k < inputs; ++k) {
    if (in[k].rank != in[0].rank || in[k].type != in[0].type) return false;
    for (int i = 0; i < in[0].rank; ++i) {
      if (i == m->axis) {
        if (__builtin_add_overflow(m->out.dims[i], in[k].dims[i], &m->out.dims[i])) {
          return false;
        }
      } else if (in[k].dims[i] != in[0].dims[i]) {
        return false;
      }
    }
  }
  return true;
}

static bool read_reshape(Movement* m, const Shape* in) {
  if (in[1].integers == NULL || in[1].count < 1 || in[1].count > kMaxRank) return false;
  m->kind = kReshape;
  m->out.rank = (int)in[1].count;
  int64_t known = 1;
  int open = -1;
  for (int i = 0; i < m->out.rank; ++i) {
    const int size = in[1].integers[i];
    m->out.dims[i] = size;
    if (size == -1 && open == -1) {
      open = i;
    } else if (size < 1 || known * size > INT32_MAX) {
      return false;
    } else {
      known *= size;
    }
  }
  const int64_t count = (int64_t)in[0].count;
  if (open >= 0) {
    if (count % known != 0) return false;
    m->out.dims[open] = (int)(count / known);
    known = count;
  }
  return known == count;
}

static bool read_pick(Movement* m, const Shape* in, const int* options) {
  // The axis, then the number of batch dimensions.
  if (options[1] != 0 || in[1].integers == NULL || in[0].type != kTfLiteInt32 ||
      !read_axis(options[0], in[0].rank, &m->axis) || in[0].rank + in[1].rank - 1 > kMaxRank) {
    return false;
  }
  m->kind = kPick;
  m->picked = in[1].integers;
  m->picks = in[1].count;
  for (size_t i = 0; i < m->picks; ++i) {
    if (m->picked[i] < 0 || m->picked[i] >= in[0].dims[m->axis]) return false;
  }
  int rank = 0;
  for (int i = 0; i < m->axis; ++i) m->out.dims[rank++] = in[0].dims[i];
  for (int i = 0; i < in[1].rank; ++i) m->out.dims[rank++] = in[1].dims[i];
  for (int i = m->axis + 1; i < in[0].rank; ++i) m->out.dims[rank++] = in[0].dims[i];
  m->out.rank = rank;
  return rank > 0;
}

int move_options(int builtin_code) {
  switch (builtin_code) {
    case kBuiltinStridedSlice:
      return kStridedSliceOptions;
    case kBuiltinConcatenation:
    case kBuiltinGather:
      return 2;
    case kBuiltinSplit:
      return 1;
    default:
      return 0;
  }
}

int moved_input(int builtin_code) { return builtin_code == kBuiltinSplit ? 1 : 0; }

static bool keeps_units(const Movement* m, const Shape* in, int inputs) {
  const int unit = moved_unit(in->type);
  if (unit == 1) return true;
  const int last = in->rank - 1;
  if (m->kind == kReshape || m->kind == kPick) return false;
  for (int k = 0; k < (m->kind == kJoin ? inputs : 1); ++k) {
    if (in[k].dims[last] % unit != 0) return false;
  }
  return m->out.dims[last] % unit == 0 && m->begin[last] % unit == 0 && m->step[last] == 1;
}

bool read_movement(int builtin_code, const int* options, int output_index, const Shape* in,
                   int inputs, Movement* m) {
  static const int kInputs[] = {
      [kBuiltinSlice] = 3, [kBuiltinStridedSlice] = 4, [kBuiltinPad] = 2,
      [kBuiltinSplit] = 2, [kBuiltinReshape] = 2,      [kBuiltinGather] = 2};
  const bool joins = builtin_code == kBuiltinConcatenation;
  if (joins ? inputs < 1 : inputs != kInputs[builtin_code]) return false;
  const Shape* moved = &in[moved_input(builtin_code)];
  if (!is_moved_type(moved->type) || moved->rank < 1) return false;
  bool ok = false;
  switch (builtin_code) {
    case kBuiltinSlice:
      ok = read_slice(m, in);
      break;
    case kBuiltinStridedSlice:
      ok = read_strided_slice(m, in, options);
      break;
    case kBuiltinPad:
      ok = read_pad(m, in);
      break;
    case kBuiltinSplit:
      ok = read_split(m, in, options, output_index);
      break;
    case kBuiltinConcatenation:
      ok = read_join(m, in, inputs, options);
      break;
    case kBuiltinReshape:
      ok = read_reshape(m, in);
      break;
    case kBuiltinGather:
      ok = read_pick(m, in, options);
      break;
  }
  m->out.type = moved->type;
  return ok && keeps_units(m, moved, inputs);
}

// ---- Tables ----

// The sizes in units, of one sample if there are several.
static void unit_dims(const Shape* shape, int samples, int* dims) {
  memcpy(dims, shape->dims, sizeof(shape->dims));
  dims[shape->rank - 1] /= moved_unit(shape->type);
  if (samples > 1) dims[0] = 1;
}

static int32_t linear(const int* at, const int* dims, int rank) {
  int32_t index = 0;
  for (int i = 0; i < rank; ++i) index = index * dims[i] + at[i];
  return index;
}

static int32_t affine_source(const Movement* m, const Shape* in, int unit, const int* dims,
                             const int* at) {
  int from[kMaxRank];
  for (int i = 0; i < in->rank; ++i) {
    const int begin = i == in->rank - 1 ? m->begin[i] / unit : m->begin[i];
    from[i] = begin + at[i] * m->step[i];
    if (from[i] < 0 || from[i] >= dims[i]) return kZeroUnit;
  }
  return linear(from, dims, in->rank);
}

static int32_t joined_source(const Movement* m, const Shape* in, int inputs, int samples,
                             const int* at) {
  int from[kMaxRank], dims[kMaxRank];
  memcpy(from, at, sizeof(from));
  int32_t before = 0;
  for (int k = 0; k < inputs; ++k) {
    unit_dims(&in[k], samples, dims);
    if (from[m->axis] < dims[m->axis]) return before + linear(from, dims, in[k].rank);
    from[m->axis] -= dims[m->axis];
    int32_t count = 1;
    for (int i = 0; i < in[k].rank; ++i) count *= dims[i];
    before += count;
  }
  return kZeroUnit;
}

static int32_t picked_source(const Movement* m, const Shape* in, const int* dims,
                             int32_t index) {
  int32_t inner = 1;
  for (int i = m->axis + 1; i < in->rank; ++i) inner *= dims[i];
  const int32_t rest = index / inner, outer = rest / (int32_t)m->picks;
  const int32_t picked = m->picked[rest % (int32_t)m->picks];
  return (outer * dims[m->axis] + picked) * inner + index % inner;
}

void fill_table(const Movement* m, const Shape* in, int inputs, int samples, size_t count,
                int32_t* table) {
  int dims[kMaxRank], out_dims[kMaxRank], at[kMaxRank] = {0};
  unit_dims(in, samples, dims);
  unit_dims(&m->out, samples, out_dims);
  for (size_t u = 0; u < count; ++u) {
    switch (m->kind) {
      case kAffine:
        table[u] = affine_source(m, in, moved_unit(in->type), dims, at);
        break;
      case kJoin:
        table[u] = joined_source(m, in, inputs, samples, at);
        break;
      case kReshape:
        table[u] = (int32_t)u;
        break;
      case kPick:
        table[u] = picked_source(m, in, dims, (int32_t)u);
        break;
    }
    for (int i = m->out.rank - 1; i >= 0 && ++at[i] == out_dims[i]; --i) at[i] = 0;
  }
}

bool leaves_samples(const Movement* m, const Shape* in) {
  if (m->out.dims[0] != in->dims[0]) return false;
  if (m->kind == kAffine) return m->begin[0] == 0 && m->step[0] == 1 && in->rank > 1;
  return m->kind == kReshape ? m->out.rank > 1 : m->axis > 0;
}
