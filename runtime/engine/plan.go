package engine

import (
	"fmt"

	"github.com/dpo-ort/dpo-ort/runtime/artifact"
	"github.com/dpo-ort/dpo-ort/runtime/onnx"
)

// Memory is what training holds, in bytes, by shapes alone.
type Memory struct {
	Weights   int64 // and, each of the same size, gradients and every state of the optimizer
	States    int
	Residuals int64 // kept between the passes of one micro-batch
	Head      int64 // logits and their gradient
}

// Total is all of it.
func (m Memory) Total() int64 { return m.Weights*int64(2+m.States) + m.Residuals + m.Head }

// Memory plans for micro-batches of these sizes.
func (e *Engine) Memory(sizes map[string]int64, w *Weights, o *Optimizer) (Memory, error) {
	m := Memory{Weights: int64(w.buffer.Len()), States: len(o.States)}
	for _, s := range e.art.Stages[:len(e.art.Stages)-1] {
		graph := e.rung(s.Graph).Forward(s.Graph)
		for _, out := range e.art.Graphs[graph].Outputs {
			n, err := bytesOf(out, sizes)
			if err != nil {
				return m, fmt.Errorf("plan memory: graph %s: output %s: %w", graph, out.Name, err)
			}
			m.Residuals += n
		}
	}
	scored, element := sizes["R"], int64(onnx.Float32.Size())
	piece := e.cutVocabulary(scored)[0]
	m.Head = 2 * scored * (piece.last - piece.first) * element
	if e.headRung(scored) == artifact.Stash {
		m.Head += scored * e.art.Dims["vocab"] * element
	}
	return m, nil
}

func bytesOf(v *onnx.Value, sizes map[string]int64) (int64, error) {
	n, err := v.Shape.Size().Eval(sizes)
	return n * int64(v.Type.Size()), err
}
