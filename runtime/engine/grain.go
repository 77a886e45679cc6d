package engine

import (
	"cmp"
	"runtime"

	"github.com/dpo-ort/dpo-ort/runtime/ort"
)

// grain is how large the pieces are that work is cut into: on the CPU such as stay in its caches, on a GPU such as keep all of it busy.
type grain struct {
	slice  int64 // parameters that one Run of the optimizer updates
	logits int64 // of a piece of the vocabulary
	kept   int64 // bytes of all logits up to which they are kept for the backward pass
}

var (
	fine   = grain{slice: 1 << 17, logits: 1 << 22, kept: 1 << 28}
	coarse = grain{slice: 1 << 26, logits: 1 << 28, kept: 1 << 32}
)

func (e *Engine) grain() grain {
	if e.opts.Device.OnHost() {
		return fine
	}
	return coarse
}

// slice is how many parameters the optimizer and the norm take at once.
func (e *Engine) slice() int64 {
	if e.opts.Offload != "" {
		return offSlice
	}
	return e.grain().slice
}

// workers is how many Runs over slices there are at once on a device: a GPU has one stream.
func (e *Engine) workers(on ort.Device) int {
	if !on.OnHost() {
		return 1
	}
	return cmp.Or(max(e.opts.Threads, 0), runtime.NumCPU())
}
