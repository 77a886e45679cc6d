package models

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/dpo-ort/dpo-ort/runtime/onnx"
)

// Every value of a decoder's graphs has a known type and rank, and sizes that the batch determines.
func TestGraphsHaveKnownShapes(t *testing.T) {
	sizes := map[string]int64{"T": 11, "G": 2, "K": 2, "P": 16, "C": 32, "R": 7, "B": 64, "p": 4, "c": 8, "N": 4, "S": 48}
	for name, change := range map[string]map[string]any{
		"biases":       {"attention_bias": true, "mlp_bias": true},
		"windows":      as("MistralForCausalLM", map[string]any{"sliding_window": 4}),
		"both kinds":   as("Qwen2ForCausalLM", map[string]any{"use_sliding_window": true, "max_window_layers": 1}),
		"norms, heads": as("Qwen3ForCausalLM", map[string]any{"head_dim": 16}),
	} {
		d, err := describe(t, change)
		if err != nil {
			t.Fatal(err)
		}
		for _, compute := range []onnx.DType{onnx.Float32, onnx.Float64} {
			t.Run(name+"/"+compute.String(), func(t *testing.T) { checkShapes(t, d, compute, sizes) })
		}
	}
}

func checkShapes(t *testing.T, d Decoder, compute onnx.DType, sizes map[string]int64) {
	graphs, err := d.Graphs(Types{Compute: compute, Weights: compute, Fused: true})
	if err != nil {
		t.Fatal(err)
	}
	for name, g := range graphs {
		for _, n := range g.Nodes {
			for _, v := range n.Outputs {
				if v == nil { // it is not computed
					continue
				}
				if shape, err := v.Shape.Eval(sizes); err != nil || v.Shape == nil || v.Type == onnx.Undefined {
					t.Errorf("graph %s: %s of node %s has type %s and shape %s = %v (%v)", name, v.Name, n.Name, v.Type, v.Shape, shape, err)
				}
			}
		}
	}
	for _, k := range d.Kinds() {
		for _, graph := range []string{k.Graph, Long(k.Graph), Fused(k.Graph)} {
			if graphs[graph] == nil && graph == Fused(k.Graph) && !d.fusable() {
				continue
			}
			if y := graphs[graph].Output("y"); y.Shape.String() != fmt.Sprintf("[T,%d]", d.Hidden) || y.Type != compute {
				t.Errorf("%s gives %s%s", graph, y.Type, y.Shape)
			}
		}
	}
}

// Fused attention takes heads of whole eights, up to 256, and nothing that another program wrote.
func TestFusedGraphsAreThoseThatAGPUHas(t *testing.T) {
	for dim, want := range map[int]bool{8: true, 12: false, 64: true, 80: true, 256: true, 264: false} {
		d, err := describe(t, map[string]any{"head_dim": dim})
		if err != nil {
			t.Fatal(err)
		}
		graphs, err := d.Graphs(Types{Compute: onnx.Float32, Weights: onnx.Float32, Fused: true})
		if err != nil {
			t.Fatal(err)
		}
		if got := graphs[Fused(BlockGraph)] != nil; got != want {
			t.Errorf("heads of %d: %v", dim, got)
		}
	}
}

// Of what a fused graph computes attention is one operator, and so are the sum before an RMS norm and the norm; it is read as it was
// written.
func TestFusedOperators(t *testing.T) {
	for class, sums := range map[string]int{"LlamaForCausalLM": 1, "Qwen3ForCausalLM": 1, "StableLmForCausalLM": 0} {
		d, err := describe(t, as(class, nil))
		if err != nil {
			t.Fatal(err)
		}
		graphs, err := d.Graphs(Types{Compute: onnx.BFloat16, Weights: onnx.Float32, Fused: true})
		if err != nil {
			t.Fatal(err)
		}
		count := map[string]int{}
		for _, n := range graphs[Fused(BlockGraph)].Nodes {
			count[n.Op]++
		}
		if count["GroupQueryAttention"] != 1 || count["Softmax"] != 0 || count["SkipSimplifiedLayerNormalization"] != sums || count["Add"] < 1 {
			t.Errorf("%s: operators %v", class, count)
		}
		data, err := graphs[Fused(BlockGraph)].Marshal()
		if err != nil {
			t.Fatal(err)
		}
		read, err := onnx.Unmarshal(data)
		if err != nil {
			t.Fatal(err)
		}
		if again, err := read.Marshal(); err != nil || !bytes.Equal(again, data) {
			t.Errorf("%s: %v, or written otherwise after it was read:\n%s", class, err, read)
		}
	}
}
