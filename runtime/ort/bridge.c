#include "bridge.h"
#include "scratch.h"

#ifdef _WIN32
#include <windows.h>
static void *find(const char *path) {
  HMODULE library = GetModuleHandleA(path);
  return library ? (void *)GetProcAddress(library, "OrtGetApiBase") : NULL;
}
#else
#include <dlfcn.h>
static void *find(const char *path) {
  void *library = dlopen(path, RTLD_LAZY | RTLD_NOLOAD);
  return library ? dlsym(library, "OrtGetApiBase") : NULL;
}
#endif

static const OrtApi *api;
static OrtEnv *env;
static OrtMemoryInfo *host;

// TRY leaves the function by its label `done` when a call fails.
#define TRY(call) do { if ((status = (call))) goto done; } while (0)

int bridge_load(const char *path) {
  const OrtApiBase *(*base)(void) = (const OrtApiBase *(*)(void))find(path);
  if (!base) return 0;
  api = base()->GetApi(ORT_API_VERSION);
  if (!api) return 0;
  // There is one environment in a process: this counts a reference to it.
  if (api->CreateEnv(ORT_LOGGING_LEVEL_FATAL, "dpo-ort", &env)) return 0;
  if (api->CreateCpuMemoryInfo(OrtDeviceAllocator, OrtMemTypeDefault, &host)) return 0;
  OrtAllocator *scratch = scratch_allocator(host);
  return !scratch || !api->RegisterAllocator(env, scratch);
}

const char *bridge_message(const OrtStatus *status) { return api->GetErrorMessage(status); }
void bridge_release(OrtStatus *status) { api->ReleaseStatus(status); }

static OrtAllocator *plain(void) {
  OrtAllocator *a = NULL;
  OrtStatus *status = api->GetAllocatorWithDefaultOptions(&a);
  if (status) api->ReleaseStatus(status);
  return a;
}

void bridge_free(char *text) { plain()->Free(plain(), text); }

bridge_device bridge_host(void) { return (bridge_device){.memory = host}; }

OrtStatus *bridge_cuda(bridge_device *d, const char *path, int index) {
  static int registered;
  const OrtEpDevice *const *all = NULL;
  size_t n = 0;
  OrtStatus *status = NULL;
  memset(d, 0, sizeof *d);
  if (!registered) TRY(api->RegisterExecutionProviderLibrary(env, "dpo-ort.cuda", path));
  registered = 1;
  TRY(api->GetEpDevices(env, &all, &n));
  for (size_t i = 0; i < n && !d->provider; i++)
    if (strcmp(api->EpDevice_EpName(all[i]), "CUDAExecutionProvider") == 0 && index-- == 0) d->provider = all[i];
  if (!d->provider) goto done;
  d->memory = api->EpDevice_MemoryInfo(d->provider, OrtDeviceMemoryType_DEFAULT);
  TRY(api->GetSharedAllocator(env, d->memory, &d->allocator));
  if (!d->allocator) status = api->CreateStatus(ORT_FAIL, "the provider has no allocator for the device");
done:
  return status;
}

OrtStatus *bridge_alloc(const bridge_device *d, size_t bytes, void **data) {
  return api->AllocatorAlloc(d->allocator, bytes, data);
}

void bridge_dealloc(const bridge_device *d, void *data) {
  OrtStatus *status = api->AllocatorFree(d->allocator, data);
  if (status) api->ReleaseStatus(status);
}

static OrtStatus *view(const bridge_tensor *t, const int64_t *dims, OrtValue **v) {
  return api->CreateTensorWithDataAsOrtValue(t->memory, t->data, t->bytes, dims + t->at, t->rank, t->dtype, v);
}

OrtStatus *bridge_copy(void *to, const OrtMemoryInfo *at, void *from, const OrtMemoryInfo *in, size_t bytes) {
  int64_t n = bytes;
  bridge_tensor target = {to, bytes, 0, 1, ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT8, at};
  bridge_tensor source = {from, bytes, 0, 1, ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT8, in};
  OrtValue *t = NULL, *s = NULL;
  OrtStatus *status = NULL;
  if (at == host && in == host) {  // which ONNX Runtime does not copy
    memmove(to, from, bytes);
    return NULL;
  }
  TRY(view(&target, &n, &t));
  TRY(view(&source, &n, &s));
  TRY(api->CopyTensors(env, (const OrtValue *const *)&s, &t, NULL, 1));
done:
  if (t) api->ReleaseValue(t);
  if (s) api->ReleaseValue(s);
  return status;
}

// append adds the provider, whose sessions all work on the device's legacy default stream (handle 1): so a Run reads what a copy
// before it wrote. Runs wait for the device: one that does not (disable_synchronize_execution_providers) keeps pinned memory until its
// session closes, which then ends the process.
static OrtStatus *append(OrtSessionOptions *so, const bridge_options *o) {
  const char *keys[] = {"has_user_compute_stream", "user_compute_stream", "use_tf32", "arena_extend_strategy"};
  const char *values[] = {"1", "1", o->tf32 ? "1" : "0", "kSameAsRequested"};
  return api->SessionOptionsAppendExecutionProvider_V2(so, env, &o->provider, 1, keys, values, 4);
}

static OrtStatus *configure(OrtSessionOptions *so, const bridge_options *o) {
  OrtStatus *status = NULL;
  TRY(api->SetSessionLogId(so, o->name));
  TRY(api->SetSessionLogSeverityLevel(so, ORT_LOGGING_LEVEL_FATAL));
  TRY(api->SetSessionExecutionMode(so, ORT_SEQUENTIAL));
  TRY(api->SetSessionGraphOptimizationLevel(so, ORT_ENABLE_ALL));
  TRY(api->SetIntraOpNumThreads(so, o->threads));
  TRY(api->SetInterOpNumThreads(so, 1));
  // A pattern is one block that holds all temporaries of a Run, one pattern a set of shapes: it saves nothing here.
  TRY(api->DisableMemPattern(so));
  // A device's allocator of the environment has no arena: each temporary would be a cudaMalloc, which waits for the device.
  TRY(api->AddSessionConfigEntry(so, "session.use_env_allocators", o->provider ? "0" : "1"));
  TRY(api->AddSessionConfigEntry(so, "session.force_spinning_stop", "1"));
  if (o->folder) TRY(api->AddSessionConfigEntry(so, "session.model_external_initializers_file_folder_path", o->folder));
  TRY(api->AddSessionConfigEntry(so, "session.disable_prepacking", o->folder ? "0" : "1"));
  // A product with a transposed left factor takes longer than the copy and a plain product.
  // BiasSoftmax has no kernel in bfloat16.
  TRY(api->AddSessionConfigEntry(so, "optimization.disable_specified_optimizers", o->provider ? "BiasSoftmaxFusion" : "GemmTransposeFusion"));
  if (o->profile) TRY(api->EnableProfiling(so, o->profile));
  if (o->provider) TRY(append(so, o));
done:
  return status;
}

// list reads the names of all inputs and outputs.
static OrtStatus *list(bridge_session *s) {
  OrtStatus *status = NULL;
  TRY(api->SessionGetInputCount(s->session, &s->inputs));
  TRY(api->SessionGetOutputCount(s->session, &s->outputs));
  s->names = calloc(s->inputs + s->outputs + 1, sizeof(char *));
  for (size_t i = 0; i < s->inputs; i++) TRY(api->SessionGetInputName(s->session, i, plain(), &s->names[i]));
  for (size_t i = 0; i < s->outputs; i++)
    TRY(api->SessionGetOutputName(s->session, i, plain(), &s->names[s->inputs + i]));
done:
  return status;
}

OrtStatus *bridge_open(bridge_session *s, const void *model, size_t bytes, const bridge_options *o) {
  OrtSessionOptions *so = NULL;
  OrtStatus *status = NULL;
  memset(s, 0, sizeof *s);
  TRY(api->CreateSessionOptions(&so));
  TRY(configure(so, o));
  TRY(api->CreateSessionFromArray(env, model, bytes, so, &s->session));
  TRY(list(s));
done:
  if (so) api->ReleaseSessionOptions(so);
  if (status) bridge_close(s);
  return status;
}

void bridge_close(bridge_session *s) {
  for (size_t i = 0; s->names && i < s->inputs + s->outputs; i++)
    if (s->names[i]) bridge_free(s->names[i]);
  free(s->names);
  if (s->session) api->ReleaseSession(s->session);
  memset(s, 0, sizeof *s);
}

OrtStatus *bridge_end_profile(bridge_session *s, char **file) {
  return api->SessionEndProfiling(s->session, plain(), file);
}

OrtStatus *bridge_info(const bridge_session *s, size_t i, int32_t *dtype, int64_t *dims, int room, int *rank) {
  OrtTypeInfo *info = NULL;
  const OrtTensorTypeAndShapeInfo *tensor = NULL;
  ONNXTensorElementDataType element = ONNX_TENSOR_ELEMENT_DATA_TYPE_UNDEFINED;
  size_t n = 0;
  OrtStatus *status = NULL;
  *dtype = 0;
  *rank = -1;
  TRY(i < s->inputs ? api->SessionGetInputTypeInfo(s->session, i, &info)
                    : api->SessionGetOutputTypeInfo(s->session, i - s->inputs, &info));
  TRY(api->CastTypeInfoToTensorInfo(info, &tensor));
  if (!tensor) goto done;
  TRY(api->GetTensorElementType(tensor, &element));
  *dtype = element;
  if (!api->TensorTypeAndShape_HasShape(tensor)) goto done;
  TRY(api->GetDimensionsCount(tensor, &n));
  *rank = n;
  if (*rank <= room) TRY(api->GetDimensions(tensor, dims, n));
done:
  if (info) api->ReleaseTypeInfo(info);
  return status;
}

OrtStatus *bridge_run(const bridge_session *s, const bridge_tensor *tensors, const int64_t *dims) {
  size_t n = s->inputs + s->outputs;
  OrtValue **values = calloc(n + 1, sizeof(OrtValue *));
  const char *const *names = (const char *const *)s->names;
  OrtStatus *status = NULL;
  for (size_t i = 0; i < n; i++) TRY(view(&tensors[i], dims, &values[i]));
  TRY(api->Run(s->session, NULL, names, (const OrtValue *const *)values, s->inputs, names + s->inputs, s->outputs,
               values + s->inputs));
done:
  for (size_t i = 0; i < n; i++)
    if (values[i]) api->ReleaseValue(values[i]);
  free(values);
  return status;
}
