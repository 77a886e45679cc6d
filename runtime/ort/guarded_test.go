package ort

import (
	"bytes"
	"math"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"testing"
	"unsafe"
)

var guarded = Device{Kind: Guarded}

// faults reports whether f touches memory that it must not.
func faults(f func()) (faulted bool) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() { faulted = recover() != nil }()
	f()
	return false
}

func guardedBuffer(t *testing.T, bytes int) *Buffer {
	t.Helper()
	b, err := guarded.Alloc(bytes)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Free)
	return b
}

// guardedFloats is a tensor that holds the values.
func guardedFloats(t *testing.T, values []float32, shape ...int64) *Tensor {
	t.Helper()
	x, err := NewTensor(guardedBuffer(t, 4*len(values)), 0, Float32, shape...)
	if err == nil {
		err = x.CopyFromHost(bytesOfFloats(values))
	}
	if err != nil {
		t.Fatal(err)
	}
	return x
}

func bytesOfFloats(values []float32) []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(values))), 4*len(values))
}

// wantFloats copies a tensor to the host.
func wantFloats(t *testing.T, x *Tensor, want ...float32) {
	t.Helper()
	got := make([]float32, len(want))
	if err := x.CopyToHost(bytesOfFloats(got)); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(got, want) {
		t.Errorf("the tensor holds %v, want %v", got, want)
	}
}

// What takes a guarded tensor's address for memory of the host faults, whether it reads or writes, at either end; and no memory is given.
func TestGuardedMemoryFaults(t *testing.T) {
	b := guardedBuffer(t, 3<<20)
	x, err := NewTensor(b, 0, Uint8, 3<<20)
	if err != nil {
		t.Fatal(err)
	}
	last, err := x.Rows(3<<20-1, 3<<20)
	if err != nil {
		t.Fatal(err)
	}
	read := byte(0)
	for name, f := range map[string]func(){
		"a read":                     func() { read = *(*byte)(x.data) },
		"a write":                    func() { *(*byte)(x.data) = 1 },
		"a read of the last byte":    func() { read = *(*byte)(last.data) },
		"a write of the last byte":   func() { *(*byte)(last.data) = 1 },
		"a read by the buffer":       func() { read = *(*byte)(b.data) },
		"a copy from it to the host": func() { copy(make([]byte, 8), unsafe.Slice((*byte)(x.data), 8)) },
	} {
		if !faults(f) {
			t.Errorf("%s does not fault (%d)", name, read)
		}
	}
	if faults(func() { read = zeros[0] }) {
		t.Error("a read of the host's memory faults")
	}
	if x.Bytes() != nil || x.Float32s() != nil || b.Bytes() != nil {
		t.Error("guarded memory is given to the host")
	}
}

// Memory begins as zeros, also where it was another's before, and copies reach all of it, by views too.
func TestGuardedCopies(t *testing.T) {
	const n = 2<<20 + 3 // zeros are copied in more than one piece
	data := make([]byte, n)
	for i := range data {
		data[i] = byte(i * 7)
	}
	for range 2 {
		b := guardedBuffer(t, n)
		x, err := NewTensor(b, 0, Uint8, n)
		if err != nil {
			t.Fatal(err)
		}
		got := bytes.Clone(data)
		if err := x.CopyToHost(got); err != nil || slices.Max(got) != 0 {
			t.Fatalf("new memory holds up to %d (%v)", slices.Max(got), err)
		}
		if err := x.CopyFromHost(data); err != nil {
			t.Fatal(err)
		}
		part, err := x.Flat(5, n)
		if err != nil {
			t.Fatal(err)
		}
		if got = got[5:]; part.CopyToHost(got) != nil || !bytes.Equal(got, data[5:]) {
			t.Error("a view holds other bytes than were copied in")
		}
		if part, err = x.Rows(1, n-1); err != nil || part.Zero() != nil {
			t.Fatal("a view was not cleared", err)
		}
		whole := make([]byte, n)
		want := make([]byte, n)
		want[0], want[n-1] = data[0], data[n-1]
		if err := x.CopyToHost(whole); err != nil || !bytes.Equal(whole, want) {
			t.Errorf("clearing all but the first and the last byte left others (%v)", err)
		}
		if err := x.CopyFromHost(data); err != nil {
			t.Fatal(err)
		}
		if err := b.Zero(); err != nil || x.CopyToHost(whole) != nil || slices.Max(whole) != 0 {
			t.Errorf("a cleared buffer holds up to %d (%v)", slices.Max(whole), err)
		}
		b.Free()
	}
}

func guardedSession(t *testing.T, name string) *Session {
	t.Helper()
	model, err := os.ReadFile(filepath.Join("testdata", name+".onnx"))
	if err != nil {
		t.Fatal(err)
	}
	s, err := NewSession(model, Options{Name: name, Threads: 1, Device: guarded})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// A Run reads and writes guarded memory, views of it and in place, beside memory of the host.
func TestGuardedRuns(t *testing.T) {
	all := guardedFloats(t, []float32{9, 9, 1, 2, 3, 4, 9, 9}, 4, 2)
	x, err := all.Rows(1, 3)
	if err != nil {
		t.Fatal(err)
	}
	y, err := HostTensor(bytesOfFloats([]float32{10, 20, 30, 40}), Float32, 2, 2)
	if err != nil {
		t.Fatal(err)
	}
	if err := guardedSession(t, "add_float").Run(map[string]*Tensor{"x": x, "y": y}, map[string]*Tensor{"z": x}); err != nil {
		t.Fatal(err)
	}
	wantFloats(t, all, 9, 9, 11, 22, 33, 44, 9, 9)
	sum := make([]float32, 4)
	z, err := HostTensor(bytesOfFloats(sum), Float32, 2, 2)
	if err != nil {
		t.Fatal(err)
	}
	if err := guardedSession(t, "add_float").Run(map[string]*Tensor{"x": x, "y": x}, map[string]*Tensor{"z": z}); err != nil {
		t.Fatal(err)
	}
	if want := []float32{22, 44, 66, 88}; !slices.Equal(sum, want) {
		t.Errorf("an output in the host's memory holds %v, want %v", sum, want)
	}
	acc := guardedFloats(t, []float32{10, 20}, 2)
	in := map[string]*Tensor{"x": guardedFloats(t, []float32{1, 2, 3, 4}, 2, 2), "dy": guardedFloats(t, []float32{1, 1, 2, 2}, 2, 2), "acc": acc}
	for range 2 {
		if err := guardedSession(t, "accumulate").Run(in, map[string]*Tensor{"d": acc}); err != nil {
			t.Fatal(err)
		}
	}
	wantFloats(t, acc, 24, 40)
}

// Empty tensors have an address, and copy and run as others do.
func TestGuardedEmptyTensors(t *testing.T) {
	for _, bytes := range []int{0, 8} {
		x, err := NewTensor(guardedBuffer(t, bytes), bytes, Float32, 0, 2)
		if err != nil {
			t.Fatal(err)
		}
		if x.CopyFromHost(nil) != nil || x.CopyToHost(nil) != nil || x.Zero() != nil || len(x.Bytes()) != 0 {
			t.Error("an empty tensor is not copied")
		}
		if err := guardedSession(t, "add_float").Run(map[string]*Tensor{"x": x, "y": x}, map[string]*Tensor{"z": x}); err != nil {
			t.Error(err)
		}
	}
}

// Freed memory is used no more, freeing it again does nothing, and a device has an end.
func TestGuardedMemoryIsFreed(t *testing.T) {
	open := Live()
	free, total, err := guarded.Memory()
	if err != nil || total != guardedMemory {
		t.Fatalf("%d of %d bytes are free (%v)", free, total, err)
	}
	x := guardedFloats(t, []float32{1, 2}, 2)
	if left, _, _ := guarded.Memory(); left != free-8 || Live() != open+1 {
		t.Errorf("8 bytes take %d, and %d handles", free-left, Live()-open)
	}
	for range 2 {
		x.buffer.Free()
	}
	if left, _, _ := guarded.Memory(); left != free || Live() != open {
		t.Errorf("once freed they take %d, and %d handles", free-left, Live()-open)
	}
	says(t, x.CopyToHost(make([]byte, 8)), "freed")
	says(t, x.Zero(), "freed")
	says(t, guardedSession(t, "add_float").Run(map[string]*Tensor{"x": x, "y": x}, map[string]*Tensor{"z": x}), "freed")
	if x.Bytes() != nil {
		t.Error("a freed tensor gives memory")
	}
	open = Live()
	_, err = guarded.Alloc(int(free) + 1)
	says(t, err, "on guarded", "its memory is taken")
	_, err = guarded.Alloc(math.MaxInt)
	says(t, err, "on guarded", "its memory is taken")
	if left, _, _ := guarded.Memory(); left != free || Live() != open {
		t.Errorf("what was refused takes %d, and %d handles", free-left, Live()-open)
	}
}

// It is one device, which is no GPU's, and the host does not share its memory.
func TestGuardedIsADevice(t *testing.T) {
	d, err := ParseDevice("guarded")
	if err != nil || d != guarded || d.String() != "guarded" || d.OnHost() || !(Device{}).OnHost() || (Device{Kind: CUDA}).OnHost() {
		t.Errorf("%v, %v", d, err)
	}
	for _, wrong := range []string{"guarded:0", "guarded:1", "Guarded"} {
		_, err := ParseDevice(wrong)
		says(t, err, wrong, "not cpu, cuda or cuda:N")
	}
	if parts, err := d.Parts(); parts != nil || err != nil {
		t.Errorf("parts %v, %v", parts, err)
	}
}
