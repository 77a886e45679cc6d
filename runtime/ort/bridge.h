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

// bridge_device is where memory lies. The host's has no provider and no allocator.
typedef struct {
  const OrtEpDevice *provider;
  const OrtMemoryInfo *memory;
  OrtAllocator *allocator;
} bridge_device;

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
  const OrtMemoryInfo *memory;
} bridge_tensor;

typedef struct {
  const char *name;
  const char *profile;  // prefix of the profile's file, or NULL
  const char *folder;   // of a model that holds its weights, or NULL
  int threads;
  const OrtEpDevice *provider;  // or NULL for the CPU's
  int tf32;                     // of a CUDA provider: whether float32 products round their factors to TF32
} bridge_options;

// bridge_load takes the API of the library at path, which is already loaded; 0 if it has none of our version.
int bridge_load(const char *path);
const char *bridge_message(const OrtStatus *status);
void bridge_release(OrtStatus *status);

// bridge_host is the host's memory. bridge_cuda is that of the CUDA device of an index, whose provider is loaded from the
// library at path by the first call; d->provider is NULL if there is no such device.
bridge_device bridge_host(void);
OrtStatus *bridge_cuda(bridge_device *d, const char *path, int index);
OrtStatus *bridge_alloc(const bridge_device *d, size_t bytes, void **data);
void bridge_dealloc(const bridge_device *d, void *data);

// bridge_copy copies bytes between memories of the host or of devices.
OrtStatus *bridge_copy(void *to, const OrtMemoryInfo *at, void *from, const OrtMemoryInfo *in, size_t bytes);

OrtStatus *bridge_open(bridge_session *s, const void *model, size_t bytes, const bridge_options *o);
void bridge_close(bridge_session *s);
OrtStatus *bridge_end_profile(bridge_session *s, char **file);  // file is bridge_free's to release
void bridge_free(char *text);

// bridge_info gives the element type (0: not a tensor) and rank (-1: unknown) of value i, the outputs counted after the
// inputs, and its dims, -1 where symbolic, if they are room at most.
OrtStatus *bridge_info(const bridge_session *s, size_t i, int32_t *dtype, int64_t *dims, int room, int *rank);

// bridge_run runs a session over tensors for all inputs, then all outputs.
OrtStatus *bridge_run(const bridge_session *s, const bridge_tensor *tensors, const int64_t *dims);

#endif
