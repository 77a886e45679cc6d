package formula_test

import (
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/dpo-ort/dpo-ort/internal/graphtest"
	"github.com/dpo-ort/dpo-ort/runtime/formula"
	"github.com/dpo-ort/dpo-ort/runtime/onnx"
)

// given is an input of a node: numbers, whole numbers where ints is set, or none.
type given struct {
	shape  []int64
	ints   []int64
	dtype  onnx.DType // of ints; Int64 where it is 0
	scale  float64
	absent bool
}

func floats(shape ...int64) given { return given{shape: shape, scale: 1} }
func ints(values []int64, shape ...int64) given {
	return given{shape: shape, ints: values, dtype: onnx.Int64}
}
func int32s(values []int64, shape ...int64) given {
	return given{shape: shape, ints: values, dtype: onnx.Int32}
}

var none = given{absent: true}

// kernel is a node that ONNX Runtime has a kernel of.
type kernel struct {
	op      string
	attrs   onnx.Attrs
	inputs  []given
	outputs [][]int64 // shapes of those that are compared
	opset   int64     // 0: this project's
}

const ms = onnx.Microsoft + ":"

var caches = []given{floats(2, 2, 0, 8), floats(2, 2, 0, 8)}

var kernels = map[string]kernel{
	"fast gelu":            {op: ms + "FastGelu", inputs: []given{floats(3, 8), floats(8)}, outputs: [][]int64{{3, 8}}},
	"fast gelu, no bias":   {op: ms + "FastGelu", inputs: []given{floats(3, 8)}, outputs: [][]int64{{3, 8}}},
	"bias gelu":            {op: ms + "BiasGelu", inputs: []given{floats(3, 8), floats(8)}, outputs: [][]int64{{3, 8}}},
	"skip layer norm":      {op: ms + "SkipLayerNormalization", attrs: onnx.Attrs{"epsilon": float32(1e-5)}, inputs: []given{floats(2, 3, 8), floats(2, 3, 8), floats(8), floats(8), floats(8)}, outputs: [][]int64{{2, 3, 8}}},
	"skip layer norm, sum": {op: ms + "SkipLayerNormalization", inputs: []given{floats(2, 3, 8), floats(2, 3, 8), floats(8), floats(8)}, outputs: [][]int64{{2, 3, 8}, nil, nil, {2, 3, 8}}},
	"skip rms norm":        {op: ms + "SkipSimplifiedLayerNormalization", attrs: onnx.Attrs{"epsilon": float32(1e-6)}, inputs: []given{floats(2, 3, 8), floats(2, 3, 8), floats(8)}, outputs: [][]int64{{2, 3, 8}, nil, nil, {2, 3, 8}}},
	"rms norm":             {op: "RMSNormalization", attrs: onnx.Attrs{"epsilon": float32(1e-6)}, inputs: []given{floats(2, 3, 8), floats(8)}, outputs: [][]int64{{2, 3, 8}}, opset: 23},
	"embeddings": {op: ms + "EmbedLayerNormalization", attrs: onnx.Attrs{"epsilon": float32(1e-5)}, outputs: [][]int64{{2, 3, 8}, nil, {2, 3, 8}},
		inputs: []given{int32s([]int64{1, 2, 3, 4, 0, 1}, 2, 3), none, floats(5, 8), floats(6, 8), none, floats(8), floats(8), none, int32s([]int64{0, 1, 2, 3, 4, 5}, 2, 3)}},
	"embeddings of segments": {op: ms + "EmbedLayerNormalization", outputs: [][]int64{{2, 3, 8}, nil, {2, 3, 8}},
		inputs: []given{int32s([]int64{1, 2, 3, 4, 0, 1}, 2, 3), int32s([]int64{0, 0, 1, 1, 1, 0}, 2, 3), floats(5, 8), floats(6, 8), floats(2, 8), floats(8), floats(8)}},
	"attention": {op: ms + "Attention", attrs: onnx.Attrs{"num_heads": int64(2), "unidirectional": int64(1)},
		inputs: []given{floats(2, 4, 8), floats(8, 24), floats(24), int32s([]int64{1, 1, 1, 1, 1, 1, 0, 0}, 2, 4)}, outputs: [][]int64{{2, 4, 8}}},
	"attention of other sizes": {op: ms + "Attention", attrs: onnx.Attrs{"num_heads": int64(2), "qkv_hidden_sizes": []int64{8, 8, 4}, "scale": float32(0.3)},
		inputs: []given{floats(2, 4, 8), floats(8, 20), floats(20)}, outputs: [][]int64{{2, 4, 4}}},
	"attention of many heads": {op: ms + "MultiHeadAttention", attrs: onnx.Attrs{"num_heads": int64(2), "unidirectional": int64(1)},
		inputs: []given{floats(2, 4, 8), floats(2, 4, 8), floats(2, 4, 8), floats(24), none, floats(1, 1, 4, 4)}, outputs: [][]int64{{2, 4, 8}}},
	"grouped queries": {op: ms + "GroupQueryAttention", attrs: onnx.Attrs{"num_heads": int64(4), "kv_num_heads": int64(2), "local_window_size": int64(3), "softcap": float32(2)},
		inputs:  append(append([]given{floats(2, 5, 32), floats(2, 5, 16), floats(2, 5, 16)}, caches...), int32s([]int64{4, 4}, 2), int32s([]int64{5}, 1)),
		outputs: [][]int64{{2, 5, 32}}},
	"grouped queries, packed and turned": {op: ms + "GroupQueryAttention", attrs: onnx.Attrs{"num_heads": int64(4), "kv_num_heads": int64(2), "do_rotary": int64(1)},
		inputs:  append(append([]given{floats(2, 5, 128), none, none}, floats(2, 2, 0, 16), floats(2, 2, 0, 16)), int32s([]int64{4, 4}, 2), int32s([]int64{5}, 1), floats(9, 8), floats(9, 8)),
		outputs: [][]int64{{2, 5, 64}}},
	"standard attention": {op: "Attention", attrs: onnx.Attrs{"is_causal": int64(1), "softcap": float32(3)}, opset: 23,
		inputs: []given{floats(2, 4, 5, 8), floats(2, 2, 5, 8), floats(2, 2, 5, 8), floats(5, 5)}, outputs: [][]int64{{2, 4, 5, 8}}},
	"standard attention, heads together": {op: "Attention", attrs: onnx.Attrs{"q_num_heads": int64(4), "kv_num_heads": int64(2), "scale": float32(0.2)}, opset: 23,
		inputs: []given{floats(2, 5, 32), floats(2, 5, 16), floats(2, 5, 16)}, outputs: [][]int64{{2, 5, 32}}},
	"standard rotary": {op: "RotaryEmbedding", opset: 23, attrs: onnx.Attrs{"rotary_embedding_dim": int64(4)},
		inputs: []given{floats(2, 3, 4, 8), floats(9, 2), floats(9, 2), ints([]int64{0, 1, 2, 3, 4, 5, 6, 7}, 2, 4)}, outputs: [][]int64{{2, 3, 4, 8}}},
	"standard rotary by token": {op: "RotaryEmbedding", opset: 23, attrs: onnx.Attrs{"num_heads": int64(2)},
		inputs: []given{floats(2, 4, 16), floats(2, 4, 4), floats(2, 4, 4)}, outputs: [][]int64{{2, 4, 16}}},
}

// withoutKernel are formulas of operators that ONNX Runtime's CPU build cannot run, and those whose kernel is compared in another case.
var withoutKernel = []string{"Swish"}

// TestFormulasEqualKernels runs each operator by ONNX Runtime's kernel, and written out.
func TestFormulasEqualKernels(t *testing.T) {
	for name, k := range kernels {
		t.Run(name, func(t *testing.T) {
			fused := k.graph()
			shapes := map[string]onnx.Shape{}
			var names []string
			for _, out := range fused.Outputs {
				names = append(names, out.Name)
			}
			plain, err := onnx.Rewrite(fused, onnx.Rewriting{Inputs: shapes, Outputs: names, Replace: formula.WriteOut})
			if err != nil {
				t.Fatal(err)
			}
			if slices.ContainsFunc(plain.Nodes, func(n *onnx.Node) bool { return "com.microsoft:"+n.Op == k.op || n.Op == k.op && n.Domain == "" }) {
				t.Fatalf("the operator is still there:\n%s", plain)
			}
			want, got := k.run(t, fused), k.run(t, plain)
			for _, out := range fused.Outputs {
				for i, x := range want[out.Name] {
					if d := math.Abs(x - got[out.Name][i]); !(d <= 2e-6*(1+math.Abs(x))) {
						t.Fatalf("output %s, element %d: the kernel gives %v, the formula %v", out.Name, i, x, got[out.Name][i])
					}
				}
			}
		})
	}
}

// TestEveryFormulaHasACase fails on an operator whose formula nothing compares.
func TestEveryFormulaHasACase(t *testing.T) {
	for _, op := range formula.Operators() {
		compared := slices.Contains(withoutKernel, op)
		for _, k := range kernels {
			compared = compared || k.op == op
		}
		if !compared {
			t.Errorf("no case runs %s", op)
		}
	}
}

// graph is the node alone.
func (k kernel) graph() *onnx.Graph {
	domain, op, found := strings.Cut(k.op, ":")
	if !found {
		domain, op = "", k.op
	}
	g := &onnx.Graph{Name: "fused", Opsets: map[string]int64{"": max(k.opset, onnx.Opset), onnx.Microsoft: 1}}
	n := &onnx.Node{Op: op, Domain: domain, Name: "fused", Attrs: k.attrs}
	for i, in := range k.inputs {
		if in.absent {
			n.Inputs = append(n.Inputs, nil)
			continue
		}
		v := &onnx.Value{Name: string(rune('a' + i)), Type: onnx.Float32, Shape: onnx.Dims(in.shape...)}
		if in.ints != nil {
			v.Type = in.dtype
		}
		g.Inputs, n.Inputs = append(g.Inputs, v), append(n.Inputs, v)
	}
	for i, shape := range k.outputs {
		v := &onnx.Value{Name: "y" + string(rune('0'+i)), Type: onnx.Float32, Shape: onnx.Dims(shape...), Node: n}
		if n.Outputs = append(n.Outputs, v); shape != nil {
			g.Outputs = append(g.Outputs, v)
		} else {
			v.Name = ""
		}
	}
	g.Nodes = []*onnx.Node{n}
	return g
}

// run gives a graph the case's numbers, the same ones each time.
func (k kernel) run(t *testing.T, g *onnx.Graph) map[string][]float64 {
	t.Helper()
	given := map[string]*onnx.Tensor{}
	for i, in := range k.inputs {
		if in.absent {
			continue
		}
		given[string(rune('a'+i))] = in.tensor(t, i)
	}
	results := map[string][]float64{}
	for name, x := range graphtest.Run(t, g, nil, given) {
		results[name] = graphtest.Floats(t, x)
	}
	return results
}

// tensor are the numbers of input i.
func (in given) tensor(t *testing.T, i int) *onnx.Tensor {
	t.Helper()
	switch {
	case in.ints != nil && in.dtype == onnx.Int32:
		return &onnx.Tensor{Type: onnx.Int32, Dims: in.shape, Data: narrowed(in.ints)}
	case in.ints != nil:
		return onnx.IntTensor(in.ints, in.shape...)
	}
	size, _ := onnx.Dims(in.shape...).Size().Const()
	values := make([]float64, size)
	for j := range values {
		values[j] = in.scale * math.Sin(float64(7*i+3*j*(i+1))+0.3*float64(j))
	}
	x, err := onnx.FloatTensor(onnx.Float32, values, in.shape...)
	if err != nil {
		t.Fatal(err)
	}
	return x
}

// narrowed are whole numbers as int32.
func narrowed(values []int64) (out []byte) {
	for _, v := range values {
		out = append(out, byte(v), byte(v>>8), byte(v>>16), byte(v>>24))
	}
	return out
}
