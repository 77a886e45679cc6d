// What is asked of NVIDIA's libraries themselves. They are found at run time, so that nothing is linked to them.
#ifndef DPO_ORT_CUDA_H
#define DPO_ORT_CUDA_H

#include <stddef.h>

// cuda_open loads a library for good, and shows its symbols to those that are loaded after it. It gives NULL where that fails, and
// then said is the reason, else the path that it was loaded from.
void *cuda_open(const char *path, char *said, size_t room);

// Each of these gives 0, an error code of CUDA's, or -1 where the library has no such function. The driver is libcuda, the
// runtime libcudart.
int cuda_driver_version(void *driver, int *version);  // 13000 for CUDA 13.0
int cuda_device_count(void *driver, int *count);
int cuda_device_name(void *driver, int index, char *name, int room);
int cuda_memory(void *runtime, int index, size_t *free, size_t *total);
int cuda_synchronize(void *runtime, int index);  // waits until the device has done all it was given

#endif
