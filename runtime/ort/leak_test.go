package ort_test

import (
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"testing"

	"github.com/dpo-ort/dpo-ort/internal/golden"
	"github.com/dpo-ort/dpo-ort/internal/trend"
	"github.com/dpo-ort/dpo-ort/runtime/ort"
)

// resident is the memory that the process holds, in bytes; 0 where the system does not say.
func resident() int {
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0
	}
	pages, _ := strconv.Atoi(strings.Fields(string(text))[1])
	return pages * os.Getpagesize()
}

// A thousand sessions and buffers, opened, run and closed, leave no handle and no memory behind; in the long form 10,000.
func TestNothingLeaks(t *testing.T) {
	cycles := 1000
	if golden.Long() {
		cycles = 10000
	}
	nothingLeaks(t, ort.Device{}, cycles)
}

// Nor do they on a GPU, of the machine's memory or of its own.
func TestNothingLeaksOnCUDA(t *testing.T) {
	d, err := ort.ParseDevice(golden.Device(t))
	if err != nil {
		t.Fatal(err)
	}
	nothingLeaks(t, d, 300)
}

// Nor do they of memory that the host cannot touch.
func TestNothingLeaksOnGuarded(t *testing.T) { nothingLeaks(t, ort.Device{Kind: ort.Guarded}, 300) }

func nothingLeaks(t *testing.T, device ort.Device, cycles int) {
	t.Helper()
	model, err := os.ReadFile(filepath.Join("testdata", "add_float.onnx"))
	if err != nil {
		t.Fatal(err)
	}
	runtime.LockOSThread() // the C library has a heap for each thread
	defer runtime.UnlockOSThread()
	cycle := func() {
		s, err := ort.NewSession(model, ort.Options{Name: "leak", Threads: 1, Device: device})
		if err != nil {
			t.Fatal(err)
		}
		inputs, outputs := tensors{}, tensors{}
		var buffers []*ort.Buffer
		bind := func(infos []ort.Info, to tensors) {
			for _, info := range infos {
				b, err := device.Alloc(1 << 16)
				if err != nil {
					t.Fatal(err)
				}
				shape := make([]int64, len(info.Shape))
				for i, d := range info.Shape {
					if shape[i] = d; d < 0 {
						shape[i] = 4
					}
				}
				if to[info.Name], err = ort.NewTensor(b, 0, info.DType, shape...); err != nil {
					t.Fatal(err)
				}
				buffers = append(buffers, b)
			}
		}
		bind(s.Inputs(), inputs)
		bind(s.Outputs(), outputs)
		if err := s.Run(inputs, outputs); err != nil {
			t.Fatal(err)
		}
		for _, b := range buffers {
			b.Free()
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	first := 100
	if cycles >= 10000 {
		first = 10000 // the C library's heap takes so many to find its size
	}
	for range first { // what is made once is made
		cycle()
	}
	live, before := ort.Live(), resident()
	free, _, _ := device.Memory() // of a GPU
	var thousands, kib []float64
	for i := range cycles {
		if i%(cycles/200) == 0 {
			debug.FreeOSMemory() // what Go's heap has to spare is no leak
			thousands, kib = append(thousands, float64(i)/1000), append(kib, float64(resident()>>10))
		}
		cycle()
	}
	if left, _, _ := device.Memory(); free-left > 16<<20 {
		t.Errorf("the GPU's memory has shrunk by %d bytes", free-left)
	}
	if ort.Live() != live {
		t.Errorf("%d handles are open, %d were", ort.Live(), live)
	}
	grown := resident() - before
	slope, upper := trend.Slope(thousands[len(thousands)/4:], kib[len(kib)/4:])
	t.Logf("%d sessions: memory has grown by %d KiB; over the last three quarters by %.1f KiB per 1,000, upper 95 %% limit %.1f", cycles, grown>>10, slope, upper)
	if grown > 16<<20 {
		t.Errorf("memory has grown by %d bytes", grown)
	}
	const bar = 64 // KiB per 1,000 sessions: a session's handle alone takes more than 64 bytes
	if cycles >= 10000 && !(upper < bar) {
		t.Errorf("memory may grow by %.1f KiB per 1,000 sessions, want under %d", upper, bar)
	}
}
