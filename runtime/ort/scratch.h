// The memory of operators' temporaries: an allocator for ONNX Runtime that all sessions share.
#ifndef DPO_ORT_SCRATCH_H
#define DPO_ORT_SCRATCH_H

#include "bridge.h"

// scratch_allocator is the allocator; info describes memory of the host and must outlive it. NULL where it is not
// implemented.
OrtAllocator *scratch_allocator(const OrtMemoryInfo *info);

// scratch_bytes is what the allocator has mapped, lent and idle.
size_t scratch_bytes(void);

// scratch_most is the most that was lent at once since the last trim.
size_t scratch_most(void);

// scratch_limit bounds what is lent and idle together; what a Run needs is lent all the same.
void scratch_limit(size_t bytes);

// scratch_trim unmaps all that is idle.
void scratch_trim(void);

#endif
