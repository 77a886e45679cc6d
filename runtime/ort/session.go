package ort

import (
	"errors"
	"fmt"
	"runtime"
	"sync"
	"unsafe"
)

// #include "bridge.h"
import "C"

var (
	errClosed = errors.New("it was closed")
	errFreed  = errors.New("its buffer was freed")
)

// Options say how a session runs.
type Options struct {
	Name    string // what errors call the session
	Threads int    // of one operator; 0: one a core that this process may use
	Device  Device
	TF32    bool   // on a GPU: float32 products may round their factors to TF32, 10 bits of mantissa
	Profile string // where not empty, a profile is written to a file of this prefix, complete after Close
	Folder  string // of a model that holds its weights: where files beside it lie; weights are packed for their operators as it is opened
}

// Info describes an input or output of a model.
type Info struct {
	Name  string
	DType DType
	Shape []int64 // -1 where symbolic; nil where even the rank is unknown, empty for a scalar
}

// Session is an open model. Its methods may be called at the same time, except that Close waits for all Runs.
type Session struct {
	name     string
	inputs   []Info
	outputs  []Info
	host     C.bridge_device
	device   Device
	profiled bool

	mu     sync.RWMutex // held for reading by each Run
	native C.bridge_session
	closed bool
}

// NewSession opens a model that is held in memory; its bytes are not needed afterwards. The model's inputs and outputs
// must be tensors of fixed-size elements.
func NewSession(model []byte, o Options) (*Session, error) {
	s, err := open(model, o)
	if err != nil {
		return nil, fmt.Errorf("open session %s: %w", o.Name, err)
	}
	return s, nil
}

func open(model []byte, o Options) (*Session, error) {
	device, err := o.Device.open()
	if err != nil {
		return nil, err
	}
	if len(model) == 0 {
		return nil, errors.New("the model is empty")
	}
	if o.Threads <= 0 {
		o.Threads = runtime.GOMAXPROCS(0)
	}
	s := &Session{name: o.Name, host: C.bridge_host(), device: o.Device, profiled: o.Profile != ""}
	native := C.bridge_options{name: C.CString(o.Name), threads: C.int(o.Threads), provider: device.provider}
	if o.TF32 {
		native.tf32 = 1
	}
	defer C.free(ptr(native.name))
	if s.profiled {
		native.profile = C.CString(o.Profile)
		defer C.free(ptr(native.profile))
	}
	if o.Folder != "" {
		native.folder = C.CString(o.Folder)
		defer C.free(ptr(native.folder))
	}
	if err := check(C.bridge_open(&s.native, ptr(&model[0]), C.size_t(len(model)), &native)); err != nil {
		return nil, err
	}
	live.Add(1)
	if err := s.describe(); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// describe reads what the model's inputs and outputs are.
func (s *Session) describe() error {
	n := int(s.native.inputs + s.native.outputs)
	seen := map[string]bool{}
	for i, name := range unsafe.Slice(s.native.names, n) {
		info, err := s.info(i)
		if err != nil {
			return fmt.Errorf("%s: %w", C.GoString(name), err)
		}
		info.Name = C.GoString(name)
		if seen[info.Name] {
			return fmt.Errorf("%s is an input and an output: pass it through an Identity node", info.Name)
		}
		seen[info.Name] = true
		if i < int(s.native.inputs) {
			s.inputs = append(s.inputs, info)
		} else {
			s.outputs = append(s.outputs, info)
		}
	}
	return nil
}

const maxRank = 16

func (s *Session) info(i int) (Info, error) {
	var dims [maxRank]int64
	var t C.int32_t
	var rank C.int
	if err := check(C.bridge_info(&s.native, C.size_t(i), &t, (*C.int64_t)(&dims[0]), maxRank, &rank)); err != nil {
		return Info{}, fmt.Errorf("read its type: %w", err)
	}
	info := Info{DType: DType(t)}
	if info.DType.Size() == 0 || rank > maxRank {
		return Info{}, fmt.Errorf("it is no tensor of numbers with %d dims at most", maxRank)
	}
	if rank >= 0 {
		info.Shape = append([]int64{}, dims[:rank]...)
	}
	return info, nil
}

// Inputs describes what a Run takes, in the model's order.
func (s *Session) Inputs() []Info { return s.inputs }

// Outputs describes what a Run gives, in the model's order.
func (s *Session) Outputs() []Info { return s.outputs }

// Close releases the session once no Run uses it. Closing twice does nothing.
func (s *Session) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil
	}
	s.closed = true
	// A Run that is under way holds memory of the session, and would release it where no call of CUDA is allowed.
	err := s.device.await()
	if s.profiled {
		var file *C.char
		if profile := check(C.bridge_end_profile(&s.native, &file)); profile != nil {
			err = errors.Join(err, fmt.Errorf("close session %s: write its profile: %w", s.name, profile))
		} else {
			C.bridge_free(file)
		}
	}
	C.bridge_close(&s.native)
	live.Add(-1)
	return err
}

// check makes an error of a status and releases it.
func check(status *C.OrtStatus) error {
	if status == nil {
		return nil
	}
	defer C.bridge_release(status)
	return errors.New(C.GoString(C.bridge_message(status)))
}

func ptr[T any](p *T) unsafe.Pointer { return unsafe.Pointer(p) }
