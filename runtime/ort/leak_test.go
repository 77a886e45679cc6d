package ort_test

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/dpo-ort/dpo-ort/internal/golden"
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

// A thousand sessions and buffers, opened, run and closed, leave no handle and no memory behind.
func TestNothingLeaks(t *testing.T) { nothingLeaks(t, ort.Device{}, 1000) }

// Nor do they on a GPU, of the machine's memory or of its own.
func TestNothingLeaksOnCUDA(t *testing.T) {
	d, err := ort.ParseDevice(golden.Device(t))
	if err != nil {
		t.Fatal(err)
	}
	nothingLeaks(t, d, 300)
}

func nothingLeaks(t *testing.T, device ort.Device, cycles int) {
	t.Helper()
	model, err := os.ReadFile(filepath.Join("testdata", "add_float.onnx"))
	if err != nil {
		t.Fatal(err)
	}
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
	for range 100 { // what is made once is made
		cycle()
	}
	live, before := ort.Live(), resident()
	free, _, _ := device.Memory() // of a GPU
	for range cycles {
		cycle()
	}
	if left, _, _ := device.Memory(); free-left > 16<<20 {
		t.Errorf("the GPU's memory has shrunk by %d bytes", free-left)
	}
	if ort.Live() != live {
		t.Errorf("%d handles are open, %d were", ort.Live(), live)
	}
	if grown := resident() - before; grown > 16<<20 {
		t.Errorf("memory has grown by %d bytes", grown)
	} else {
		t.Logf("memory has grown by %d KiB", grown>>10)
	}
}
