// The part of ONNX Runtime's C API that this package calls, as functions that Go can call. Each returns NULL or a status
// that the caller releases. Nothing here keeps a pointer that Go passed, unless Go's side says how it stays valid.
#ifndef DPO_ORT_BRIDGE_H
#define DPO_ORT_BRIDGE_H

// On Windows the header asks for wide-character paths if _WIN32 is set; no function used here takes one.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#ifdef _WIN32
#undef _WIN32
#include "onnxruntime_c_api.h"
#define _WIN32
#else
#include "onnxruntime_c_api.h"
#endif

// bridge_session is an open model and what each Run of it needs.
typedef struct {
  OrtSession *session;
  size_t inputs, outputs;
  char **names;  // of the inputs, then of the outputs; allocated by ONNX Runtime
} bridge_session;

// bridge_tensor is memory to be seen as a tensor during one call. Its shape is dims[at:at+rank] of that call's dims.
typedef struct {
  void *data;
  size_t bytes;
  size_t at, rank;
  int32_t dtype;
  int32_t device;  // whether data is memory of the session's device, not of the host
} bridge_tensor;

typedef struct {
  const char *name;
  const char *profile;  // prefix of the profile's file, or NULL
  int threads;
  int device;  // index of a CUDA device, or -1
} bridge_options;

// bridge_load takes the API of the library at path, which is already loaded; 0 if it has none of our version.
int bridge_load(const char *path);
const char *bridge_message(const OrtStatus *status);
void bridge_release(OrtStatus *status);

OrtStatus *bridge_open(bridge_session *s, const void *model, size_t bytes, const bridge_options *o);
void bridge_close(bridge_session *s);
OrtStatus *bridge_end_profile(bridge_session *s, char **file);  // file is bridge_free's to release
void bridge_free(char *text);

// bridge_info gives the element type (0: not a tensor) and rank of value i, the outputs counted after the inputs, and
// up to *rank (in) dims of its shape, -1 where symbolic.
OrtStatus *bridge_info(const bridge_session *s, size_t i, int32_t *dtype, int64_t *dims, size_t *rank);

// bridge_run runs a session over tensors for all inputs, then all outputs.
OrtStatus *bridge_run(const bridge_session *s, const bridge_tensor *tensors, const int64_t *dims, int cuda);

#endif
