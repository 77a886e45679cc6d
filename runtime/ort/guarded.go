package ort

import (
	"fmt"
	"sync/atomic"
)

// hidden is memory of a Guarded device, which has two addresses. That of its tensors lies in a fence, which nobody can read or write: Go
// code that takes it for memory of the host ends by a fault. Runs and copies, which alone may use what lies on a device, get the other.
type hidden struct {
	fence, memory []byte
}

// guardedMemory is how much memory a Guarded device has, so that plans made on one are the same on every machine.
const guardedMemory = 8 << 30

// hiddenBytes is how much of it is taken.
var hiddenBytes atomic.Int64

// hide takes zeroed memory.
func hide(bytes int) (h *hidden, err error) {
	if taken := hiddenBytes.Add(int64(bytes)); taken > guardedMemory || taken < 0 {
		hiddenBytes.Add(int64(-bytes))
		return nil, fmt.Errorf("its memory is taken but for %d bytes", guardedMemory-hiddenBytes.Load())
	}
	h = &hidden{}
	if h.memory, err = mapPages(bytes); err == nil {
		if h.fence, err = fencePages(bytes); err == nil {
			return h, nil
		}
		unmapPages(h.memory)
	}
	hiddenBytes.Add(int64(-bytes))
	return nil, err
}

func (h *hidden) release() {
	hiddenBytes.Add(int64(-len(h.memory)))
	unmapPages(h.fence)
	unmapPages(h.memory)
}
