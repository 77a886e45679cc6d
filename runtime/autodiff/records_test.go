package autodiff_test

import (
	"math/rand/v2"

	"github.com/dpo-ort/dpo-ort/runtime/onnx"
)

// record is a case of a gradient rule: a node, and where its inputs come from.
type record struct {
	op     string // as autodiff.Operators lists it
	name   string // what is particular about the case
	inputs []source
	attrs  onnx.Attrs
	outs   int   // outputs; 0 means 1
	opset  int64 // 0 means onnx.Opset
	single bool  // no float64 kernel: float32, to a wider bar
	meta   map[string]string
}

// source is one input: numbers to differentiate by, or a constant.
type source struct {
	shape  []int64
	draw   func(r *rand.Rand, i int) float64
	fixed  *onnx.Tensor // an initializer
	input  []int64      // a graph input of int64, by the name in label
	label  string
	absent bool
}

func normal(r *rand.Rand, _ int) float64    { return r.NormFloat64() }
func positive(r *rand.Rand, _ int) float64  { return 0.3 + r.Float64() }
func apart(r *rand.Rand, i int) float64     { return float64(i%7) - 3.1 + 0.2*r.Float64() } // nowhere near 0 or its neighbours
func tied(_ *rand.Rand, i int) float64      { return float64(i % 3) }
func withZeros(r *rand.Rand, i int) float64 { return float64(i%2) * r.NormFloat64() }

func x(draw func(*rand.Rand, int) float64, shape ...int64) source {
	return source{shape: append([]int64{}, shape...), draw: draw}
}
func ints(values ...int64) source { return source{fixed: onnx.IntTensor(values)} }
func table(shape []int64, values ...int64) source {
	return source{fixed: onnx.IntTensor(values, shape...)}
}
func scalar(value int64) source {
	t := onnx.IntTensor([]int64{value})
	t.Dims = []int64{}
	return source{fixed: t}
}
func bools(shape []int64, values ...byte) source {
	return source{fixed: &onnx.Tensor{Type: onnx.Bool, Dims: shape, Data: values}}
}
func named(label string, shape []int64, values ...int64) source {
	return source{label: label, shape: shape, input: values}
}

var none = source{absent: true}

const ms = onnx.Microsoft + ":"

// records has at least one case for every rule; TestEveryRuleHasARecord holds that.
var records = []record{
	{op: "Add", inputs: []source{x(normal, 2, 3), x(normal, 2, 3)}},
	{op: "Add", name: "broadcast both ways", inputs: []source{x(normal, 2, 1, 3), x(normal, 4, 1)}},
	{op: "Add", name: "scalar", inputs: []source{x(normal), x(normal, 2, 2)}},
	{op: "Sum", inputs: []source{x(normal, 2, 3), x(normal, 3), x(normal, 1, 1)}},
	{op: "Sub", name: "broadcast", inputs: []source{x(normal, 2, 3), x(normal, 1, 3)}},
	{op: "Mul", name: "broadcast, zeros", inputs: []source{x(withZeros, 2, 3), x(withZeros, 3)}},
	{op: "Div", name: "broadcast", inputs: []source{x(withZeros, 2, 3), x(positive, 2, 1)}},
	{op: "Pow", inputs: []source{x(positive, 2, 3), x(normal, 3)}},
	{op: "Pow", name: "square of negative numbers", inputs: []source{x(apart, 5), {fixed: float(2)}}},
	{op: "Min", name: "three inputs", inputs: []source{x(normal, 2, 3), x(normal, 3), x(normal, 2, 1)}},
	{op: "Max", name: "ties", inputs: []source{x(tied, 6), x(tied, 6)}},
	{op: "Max", name: "broadcast", inputs: []source{x(normal, 4, 1), x(normal, 1, 3)}},
	{op: "Clip", inputs: []source{x(apart, 12), {fixed: float(-1)}, {fixed: float(2)}}},
	{op: "Clip", name: "bounds that are computed", inputs: []source{x(apart, 12), x(func(*rand.Rand, int) float64 { return -1 }), x(func(*rand.Rand, int) float64 { return 2 })}},
	{op: "Clip", name: "no lower bound", inputs: []source{x(apart, 12), none, {fixed: float(2)}}},
	{op: "Where", name: "broadcast", inputs: []source{bools([]int64{2, 1}, 1, 0), x(normal, 3), x(normal, 2, 3)}},
	{op: "Cast", inputs: []source{x(normal, 3)}, attrs: onnx.Attrs{"to": int64(onnx.Float64)}},
	{op: "CastLike", inputs: []source{x(normal, 3), {fixed: float(1)}}},
	{op: "Identity", inputs: []source{x(normal, 3)}},
	{op: "Neg", inputs: []source{x(normal, 3)}},
	{op: "Exp", inputs: []source{x(normal, 3)}},
	{op: "Log", inputs: []source{x(positive, 3)}},
	{op: "Sqrt", inputs: []source{x(positive, 3)}},
	{op: "Abs", inputs: []source{x(withZeros, 6)}},
	{op: "Reciprocal", inputs: []source{x(positive, 3)}},
	{op: "Sin", inputs: []source{x(normal, 3)}},
	{op: "Cos", inputs: []source{x(normal, 3)}},
	{op: "Sigmoid", inputs: []source{x(apart, 9)}},
	{op: "Tanh", inputs: []source{x(apart, 9)}},
	{op: "Softplus", inputs: []source{x(apart, 9)}, single: true},
	{op: "Erf", inputs: []source{x(normal, 9)}, single: true},
	{op: "Relu", inputs: []source{x(apart, 9)}},
	{op: "Gelu", inputs: []source{x(normal, 9)}, single: true},
	{op: "Gelu", name: "tanh", inputs: []source{x(normal, 9)}, attrs: onnx.Attrs{"approximate": "tanh"}, single: true},
	{op: ms + "Gelu", inputs: []source{x(normal, 9)}, single: true},
	{op: ms + "QuickGelu", inputs: []source{x(normal, 9)}, attrs: onnx.Attrs{"alpha": 1.0}, single: true},
	{op: ms + "QuickGelu", name: "alpha", inputs: []source{x(normal, 9)}, attrs: onnx.Attrs{"alpha": 1.702}, single: true},
	{op: "Softmax", inputs: []source{x(normal, 2, 3, 4)}},
	{op: "Softmax", name: "axis", inputs: []source{x(apart, 2, 3, 4)}, attrs: onnx.Attrs{"axis": 1}},
	{op: "LogSoftmax", inputs: []source{x(normal, 2, 3)}},
	{op: "LogSoftmax", name: "axis", inputs: []source{x(normal, 2, 3)}, attrs: onnx.Attrs{"axis": 0}},
	{op: "Gemm", inputs: []source{x(normal, 2, 3), x(normal, 3, 4)}},
	{op: "Gemm", name: "bias", inputs: []source{x(normal, 2, 3), x(normal, 4, 3), x(normal, 4)}, attrs: onnx.Attrs{"transB": 1}},
	{op: "Gemm", name: "transA, alpha, beta", inputs: []source{x(normal, 3, 2), x(normal, 3, 4), x(normal, 2, 1)}, attrs: onnx.Attrs{"transA": 1, "alpha": 0.5, "beta": 2.0}},
	{op: "Gemm", name: "to few columns", inputs: []source{x(normal, 5, 6), x(normal, 2, 6)}, attrs: onnx.Attrs{"transB": 1}, meta: map[string]string{"rank": "low"}},
	{op: "Gemm", name: "from few columns", inputs: []source{x(normal, 5, 2), x(normal, 6, 2), x(normal, 5, 6)}, attrs: onnx.Attrs{"transB": 1}, meta: map[string]string{"rank": "low"}},
	{op: "Gemm", name: "both transposed", inputs: []source{x(normal, 3, 2), x(normal, 4, 3)}, attrs: onnx.Attrs{"transA": 1, "transB": 1}},
	{op: "MatMul", name: "stacks broadcast", inputs: []source{x(normal, 5, 1, 2, 3), x(normal, 4, 3, 2)}},
	{op: "MatMul", name: "matrix in a stack", inputs: []source{x(normal, 5, 2, 3), x(normal, 3, 2)}},
	{op: "MatMul", name: "vector first", inputs: []source{x(normal, 3), x(normal, 2, 3, 4)}},
	{op: "MatMul", name: "vector last", inputs: []source{x(normal, 2, 4, 3), x(normal, 3)}},
	{op: "MatMul", name: "vectors", inputs: []source{x(normal, 3), x(normal, 3)}},
	{op: ms + "FusedMatMul", inputs: []source{x(normal, 2, 3, 4), x(normal, 2, 5, 4)}, attrs: onnx.Attrs{"transB": 1, "alpha": 0.25}},
	{op: ms + "FusedMatMul", name: "both transposed", inputs: []source{x(normal, 2, 4, 3), x(normal, 2, 5, 4)}, attrs: onnx.Attrs{"transA": 1, "transB": 1}},
	{op: "ReduceSum", inputs: []source{x(normal, 2, 3, 4), ints(0, 2)}, attrs: onnx.Attrs{"keepdims": 0}},
	{op: "ReduceSum", name: "all", inputs: []source{x(normal, 2, 3)}},
	{op: "ReduceMean", inputs: []source{x(normal, 2, 3, 4), ints(-1)}},
	{op: "ReduceMax", inputs: []source{x(normal, 2, 3), ints(1)}, attrs: onnx.Attrs{"keepdims": 0}},
	{op: "ReduceMin", inputs: []source{x(normal, 2, 3), ints(0)}},
	{op: "ReduceSumSquare", inputs: []source{x(withZeros, 2, 3), ints(1)}},
	{op: "ReduceL1", inputs: []source{x(apart, 2, 3), ints(1)}},
	{op: "ReduceL2", inputs: []source{x(normal, 2, 3), ints(1)}, attrs: onnx.Attrs{"keepdims": 0}},
	{op: "ReduceLogSum", inputs: []source{x(positive, 2, 3), ints(1)}},
	{op: "ReduceLogSumExp", inputs: []source{x(apart, 2, 3), ints(-1)}},
	{op: "ReduceLogSumExp", name: "dropped axis", inputs: []source{x(apart, 2, 3), ints(0)}, attrs: onnx.Attrs{"keepdims": 0}},
	{op: "CumSum", inputs: []source{x(normal, 2, 3), scalar(1)}},
	{op: "CumSum", name: "exclusive, reverse", inputs: []source{x(normal, 2, 3), scalar(0)}, attrs: onnx.Attrs{"exclusive": 1, "reverse": 1}},
	{op: "SimplifiedLayerNormalization", inputs: []source{x(normal, 2, 4), x(normal, 4)}, attrs: onnx.Attrs{"axis": -1}},
	{op: "SimplifiedLayerNormalization", name: "with its statistics", inputs: []source{x(normal, 2, 4), x(normal, 4)}, attrs: onnx.Attrs{"axis": -1}, outs: 2, single: true},
	{op: "RMSNormalization", inputs: []source{x(normal, 2, 3, 4), x(normal, 3, 4)}, attrs: onnx.Attrs{"axis": 1}, opset: 23},
	{op: "LayerNormalization", inputs: []source{x(normal, 2, 4), x(normal, 4), x(normal, 4)}},
	{op: "LayerNormalization", name: "two axes, no bias", inputs: []source{x(normal, 2, 3, 4), x(normal, 3, 4)}, attrs: onnx.Attrs{"axis": 1}},
	{op: "Reshape", inputs: []source{x(normal, 2, 6), ints(0, 3, -1)}},
	{op: "Squeeze", inputs: []source{x(normal, 2, 1, 3), ints(1)}},
	{op: "Unsqueeze", inputs: []source{x(normal, 2, 3), ints(0, -1)}},
	{op: "Flatten", inputs: []source{x(normal, 2, 3, 4)}, attrs: onnx.Attrs{"axis": 2}},
	{op: "Expand", inputs: []source{x(normal, 3, 1), ints(2, 3, 4)}},
	{op: "Transpose", inputs: []source{x(normal, 2, 3, 4)}, attrs: onnx.Attrs{"perm": []int64{2, 0, 1}}},
	{op: "Transpose", name: "reversed", inputs: []source{x(normal, 2, 3, 4)}},
	{op: "Concat", inputs: []source{x(normal, 2, 3), x(normal, 2, 1), x(normal, 2, 2)}, attrs: onnx.Attrs{"axis": -1}},
	{op: "Split", inputs: []source{x(normal, 2, 6), ints(1, 3, 2)}, attrs: onnx.Attrs{"axis": 1}, outs: 3},
	{op: "Slice", inputs: []source{x(normal, 4, 6), ints(1, 4), ints(4, 0), ints(0, 1), ints(1, -2)}},
	{op: "Tile", inputs: []source{x(normal, 2, 3), ints(2, 3)}},
	{op: "Pad", inputs: []source{x(normal, 2, 3), ints(1, 0, 0, 2)}},
	{op: "Trilu", inputs: []source{x(normal, 2, 3, 3), scalar(1)}, attrs: onnx.Attrs{"upper": 0}},
	{op: ms + "RotaryEmbedding", inputs: []source{x(normal, 1, 3, 8), ints(0), {fixed: angles(3, 2, 0)}, {fixed: angles(3, 2, 1)}}, attrs: onnx.Attrs{"num_heads": 2}, single: true},
	{op: ms + "RotaryEmbedding", name: "neighbours, half of each head", inputs: []source{x(normal, 1, 3, 16), ints(0), {fixed: angles(3, 2, 0)}, {fixed: angles(3, 2, 1)}},
		attrs: onnx.Attrs{"num_heads": 2, "rotary_embedding_dim": 4, "interleaved": 1}, single: true},
	{op: "Gather", name: "duplicates", inputs: []source{x(normal, 4, 3), table([]int64{2, 3}, 1, 1, 0, 3, 1, -1)}},
	{op: "Gather", name: "axis", inputs: []source{x(normal, 2, 4, 3), ints(3, 0, 3)}, attrs: onnx.Attrs{"axis": 1}},
	{op: "Gather", name: "one index", inputs: []source{x(normal, 4, 3), scalar(2)}, attrs: onnx.Attrs{"axis": 1}},
	{op: "TopK", inputs: []source{x(apart, 5), ints(3)}, outs: 2},
	{op: "TopK", name: "sorted, rising", inputs: []source{x(apart, 3, 6), ints(3)}, attrs: onnx.Attrs{"axis": 0, "largest": 0}, outs: 2},
	{op: "Gather", name: "by its inverse", inputs: []source{x(normal, 4, 3), table([]int64{1, 2}, 3, 1), named("back", []int64{4}, 2, 1, 2, 0)}, meta: map[string]string{"inverse": "back"}},
	{op: "GatherElements", name: "duplicates", inputs: []source{x(normal, 3, 2), table([]int64{3, 3}, 1, 1, 0, 0, 1, 1, 1, 0, 1)}, attrs: onnx.Attrs{"axis": 1}},
	{op: "GatherND", inputs: []source{x(normal, 3, 2, 2), table([]int64{3, 2}, 1, 1, 0, 1, 1, 1)}},
	{op: "GatherND", name: "batch", inputs: []source{x(normal, 2, 3, 2), table([]int64{2, 1}, 2, 0)}, attrs: onnx.Attrs{"batch_dims": 1}},
	{op: "ScatterElements", name: "add", inputs: []source{x(normal, 3, 2), table([]int64{2, 2}, 1, 1, 1, 0), x(normal, 2, 2)}, attrs: onnx.Attrs{"reduction": "add"}},
	{op: "ScatterElements", inputs: []source{x(normal, 3, 2), table([]int64{1, 2}, 2, 0), x(normal, 1, 2)}},
}

// float is a scalar constant, in float64.
func float(value float64) *onnx.Tensor {
	t, err := onnx.FloatTensor(onnx.Float64, []float64{value})
	if err != nil {
		panic(err)
	}
	t.Dims = []int64{}
	return t
}

// angles is a table of cosines (shift 0) or sines (shift 1) of made-up angles, float32 [rows,half].
func angles(rows, half int64, shift float64) *onnx.Tensor {
	var values []float64
	for i := range rows * half {
		values = append(values, cosine(0.7*float64(i), shift))
	}
	t, err := onnx.FloatTensor(onnx.Float32, values, rows, half)
	if err != nil {
		panic(err)
	}
	return t
}
