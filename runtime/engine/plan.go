package engine

import (
	"fmt"

	"github.com/dpo-ort/dpo-ort/runtime/onnx"
)

// Memory is what training holds, in bytes, by shapes alone.
type Memory struct {
	Weights   int64 // and, each of the same size, gradients and every state of the optimizer
	States    int
	Residuals int64 // kept between the passes of one micro-batch
	Head      int64 // a chunk of rows: logits and their gradient
}

// Total is all of it.
func (m Memory) Total() int64 { return m.Weights*int64(2+m.States) + m.Residuals + m.Head }

// Memory plans for micro-batches of these sizes.
func (e *Engine) Memory(sizes map[string]int64, w *Weights, o *Optimizer) (Memory, error) {
	m := Memory{Weights: int64(w.buffer.Len()), States: len(o.States)}
	for i, s := range e.art.Stages {
		graph := s.Graph
		if i > 0 && i < len(e.art.Stages)-1 {
			graph = e.opts.Rung.Forward(graph)
		}
		if i == len(e.art.Stages)-1 {
			break
		}
		for _, out := range e.art.Graphs[graph].Outputs {
			n, err := bytesOf(out, sizes)
			if err != nil {
				return m, fmt.Errorf("plan memory: graph %s: output %s: %w", graph, out.Name, err)
			}
			m.Residuals += n
		}
	}
	rows := min(sizes["R"], int64(e.opts.HeadRows))
	m.Head = 3 * rows * e.art.Dims["vocab"] * int64(onnx.Float32.Size())
	return m, nil
}

func bytesOf(v *onnx.Value, sizes map[string]int64) (int64, error) {
	n, err := v.Shape.Size().Eval(sizes)
	return n * int64(v.Type.Size()), err
}
