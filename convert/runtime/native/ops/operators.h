// The operators that a graph consists of, one file each.
#ifndef BCD_OPERATORS_H_
#define BCD_OPERATORS_H_

#include "graph.h"

extern const Operator quantize_operator;
extern const Operator dequantize_operator;
extern const Operator bconv2d_operator;
extern const Operator bmaxpool2d_operator;

// Those of TensorFlow Lite that are taken over to be fused with them.
extern const Operator add_operator;
extern const Operator subtract_operator;
extern const Operator multiply_operator;
extern const Operator prelu_operator;
extern const Operator add_n_operator;
extern const Operator conv2d_operator;
extern const Operator image_pad_operator;
extern const Operator average_pool_operator;
extern const Operator concatenation_operator;
extern const Operator slice_operator;
extern const Operator strided_slice_operator;
extern const Operator pad_operator;
extern const Operator split_operator;
extern const Operator join_operator;
extern const Operator reshape_operator;
extern const Operator gather_operator;
extern const Operator mean_operator;
extern const Operator fully_connected_operator;
extern const Operator vector_reshape_operator;
extern const Operator vector_split_operator;
extern const Operator vector_subtract_operator;

typedef enum {
  kElementwiseAdd,  // of two or more
  kElementwiseSubtract,
  kElementwiseMultiply,
  kElementwisePrelu,
} ElementwiseKind;

// The state of an elementwise operator begins with this.
typedef struct {
  ElementwiseKind kind;
  bool has_bounds;
  Bounds bounds;
  // One value per channel, or NULL for an operand that varies.
  const float* constants[kMaxInputs];
} Elementwise;

// The convolution of a prepared LceBconv2d.
const Convolution* step_convolution(const Step* step);
// Changes where it reads from and to what size it writes; before size_convolution.
void redirect_convolution(Step* step, const int32_t* map, const Value* root);
void crop_convolution(Step* step, int top, int left, int height, int width);
// Chooses the size of its panels, and reserves its scratch memory.
void size_convolution(Graph* graph, Step* step);

// Lets a prepared CONV_2D read what a PAD of an image reads.
void take_unpadded(const Graph* graph, Step* convolution, const Step* pad);

// The window of a prepared AVERAGE_POOL_2D.
const Window* step_pool(const Step* step);

// Reads an integer option within [low, high].
bool read_option(const TfLiteNode* node, const char* key, int low, int high, int* value,
                 Error* error);

typedef enum { kPaddingSame = 0, kPaddingValid = 1 } Padding;

// The largest stride, dilation or pooling window; far above any use, far below an overflow.
enum { kMaxWindow = 1 << 15 };

// Computes the size of the output and the padding from the rest of the window.
bool slide_window(Window* window, Padding padding, Error* error);

static inline size_t window_pixels(const Window* w) {
  return (size_t)w->batch * (size_t)w->out_height * (size_t)w->out_width;
}

// All dimensions but the last, multiplied.
size_t rows_of(const Value* value);

// What a fused activation of TensorFlow Lite cuts to; false if it is none that does only that.
bool read_bounds(int activation, bool* has_bounds, Bounds* bounds);

// A copy of an operator's bias, zeros if that is NULL, and of kLanes more so that a kernel may
// read whole blocks; the caller's. NULL if it is not one constant float for each of so many
// channels, or if there is no memory.
float* copy_bias(const Value* bias, int channels, Error* error);

// ---- Claims ----

static inline int last_of(const TfLiteIntArray* dims) { return dims->data[dims->size - 1]; }

// Whether a tensor holds one computed vector of floats for each sample: N, 1, .., 1, C.
bool is_vector_of_samples(const TfLiteTensor* tensor);

// Whether a node has no bias, or as its input `index` one constant float for each of so many
// channels.
bool has_constant_bias(const TfLiteContext* context, const TfLiteNode* node, int index,
                       int channels);

// The values of an int32 constant of so many, of which one may be a scalar; NULL if it is none.
const int32_t* integers_of(const TfLiteTensor* tensor, int count);

// ---- Threads ----

// Less than this many additions or multiply-adds are not worth a second thread.
enum { kWorthThreads = 1 << 15 };

// How many channels a piece of work has if all threads share them, a multiple of `unit`.
int share_of_channels(const Graph* graph, int channels, int unit);

#endif  // BCD_OPERATORS_H_
