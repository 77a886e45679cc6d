package engine

import (
	"testing"

	"github.com/dpo-ort/dpo-ort/runtime/onnx"
	"github.com/dpo-ort/dpo-ort/runtime/ort"
)

func take(t *testing.T, p *pool, n int64) *block {
	t.Helper()
	b, err := p.take(onnx.Float32, n)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestPoolLendsAgainWhatCameBack(t *testing.T) {
	before := ort.Live()
	p := &pool{}
	a := take(t, p, 1<<20)
	p.release(a)
	if b := take(t, p, 1<<20-100); b.buffer != a.buffer {
		t.Error("a buffer of nearly the same size was not lent again")
	} else {
		p.release(b)
	}
	if b := take(t, p, 1<<16); b.buffer == a.buffer {
		t.Error("a small tensor took a buffer sixteen times its size")
	} else {
		p.release(b)
	}
	p.trim()
	if p.total != 0 || ort.Live() != before {
		t.Errorf("after trim %d bytes and %d buffers are held", p.total, ort.Live()-before)
	}
}

// Batches of ever growing shapes replace the memory of smaller ones.
func TestPoolDoesNotPileUp(t *testing.T) {
	p := &pool{}
	defer p.trim()
	for n := int64(1 << 16); n < 1<<20; n += 1 << 16 {
		p.release(take(t, p, n), take(t, p, n))
	}
	if most := int64(2 * 4 << 20); p.total > most {
		t.Errorf("the pool holds %d bytes for two tensors of at most 4 MiB", p.total)
	}
}

func TestPoolReleasesNothingForNil(t *testing.T) {
	p := &pool{}
	p.release(nil, nil)
	if len(p.free) != 0 {
		t.Error("a nil block came back")
	}
}

func TestEmptyTensorsHaveMemory(t *testing.T) {
	p := &pool{}
	defer p.trim()
	b, err := p.take(onnx.Int64, 0, 4)
	if err != nil {
		t.Fatal(err)
	}
	p.release(b)
}
