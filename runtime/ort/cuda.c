#define _GNU_SOURCE
#include "cuda.h"

#include <stdio.h>

#ifdef _WIN32
#include <windows.h>

static void *find(void *library, const char *name) { return (void *)GetProcAddress((HMODULE)library, name); }

void *cuda_open(const char *path, char *said, size_t room) {
  HMODULE library = LoadLibraryA(path);
  if (!library) snprintf(said, room, "error %lu", GetLastError());
  else if (!GetModuleFileNameA(library, said, room)) snprintf(said, room, "%s", path);
  return (void *)library;
}
#else
#include <dlfcn.h>
#ifdef __linux__
#include <link.h>
#endif

static void *find(void *library, const char *name) { return dlsym(library, name); }

void *cuda_open(const char *path, char *said, size_t room) {
  void *library = dlopen(path, RTLD_NOW | RTLD_GLOBAL);
  snprintf(said, room, "%s", library ? path : dlerror());
#ifdef __linux__
  struct link_map *map = NULL;
  if (library && !dlinfo(library, RTLD_DI_LINKMAP, &map)) snprintf(said, room, "%s", map->l_name);
#endif
  return library;
}
#endif

int cuda_driver_version(void *driver, int *version) {
  int (*get)(int *) = (int (*)(int *))find(driver, "cuDriverGetVersion");
  return get ? get(version) : -1;
}

int cuda_device_count(void *driver, int *count) {
  int (*init)(unsigned) = (int (*)(unsigned))find(driver, "cuInit");
  int (*get)(int *) = (int (*)(int *))find(driver, "cuDeviceGetCount");
  int code;
  if (!init || !get) return -1;
  return (code = init(0)) ? code : get(count);
}

int cuda_device_name(void *driver, int index, char *name, int room) {
  int (*get)(int *, int) = (int (*)(int *, int))find(driver, "cuDeviceGet");
  int (*call)(char *, int, int) = (int (*)(char *, int, int))find(driver, "cuDeviceGetName");
  int device, code;
  if (!get || !call) return -1;
  return (code = get(&device, index)) ? code : call(name, room, device);
}

// The device is a setting of the thread, which calls of ONNX Runtime's on it may rely on: choose sets it, and gives what it was.
static int choose(void *runtime, int index, int *before) {
  int (*get)(int *) = (int (*)(int *))find(runtime, "cudaGetDevice");
  int (*set)(int) = (int (*)(int))find(runtime, "cudaSetDevice");
  int code;
  if (!get || !set) return -1;
  return (code = get(before)) ? code : set(index);
}

int cuda_memory(void *runtime, int index, size_t *free, size_t *total) {
  int (*get)(size_t *, size_t *) = (int (*)(size_t *, size_t *))find(runtime, "cudaMemGetInfo");
  int before, code, restored;
  if (!get) return -1;
  if ((code = choose(runtime, index, &before))) return code;
  code = get(free, total);
  restored = choose(runtime, before, &index);
  return code ? code : restored;
}

int cuda_synchronize(void *runtime, int index) {
  int (*wait)(void) = (int (*)(void))find(runtime, "cudaDeviceSynchronize");
  int before, code, restored;
  if (!wait) return -1;
  if ((code = choose(runtime, index, &before))) return code;
  code = wait();
  restored = choose(runtime, before, &index);
  return code ? code : restored;
}
