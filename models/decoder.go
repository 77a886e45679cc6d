package models

import (
	"fmt"
	"math"

	"github.com/dpo-ort/dpo-ort/runtime/onnx"
)

// Decoder says how an architecture differs from the others; the graphs are written once, here. Letters in shapes:
// T packed tokens, D hidden, H query heads, KV key heads, Q = H/KV, d entries a head, G groups, K completions a group,
// P and C padded prompt and completion lengths (where queries are cut into blocks, p and c of a block), R scored rows,
// V vocabulary.
type Decoder struct {
	Vocab, Hidden, Intermediate, Layers int
	Heads, KVHeads, HeadDim             int
	NormEps                             float64
	Activation                          string // silu
	QKVBias, OutBias, MLPBias           bool
	QKNorm                              bool // each head's query and key are normed before they are turned
	Tied                                bool // the head's weight is the embedding
	Rope                                Rope
	Local                               []bool // [Layers]: which layers see Window tokens only; nil for none
	Window                              int    // keys that a query of a local layer sees, itself included
	Scalar                              bool   // the head gives a reward, not logits: see reward.go
	Pad                                 int32  // of a Scalar: the id passed over at a sequence's end; −1 for none
}

// Types are the element types of a model's graphs: what it computes in, and what its weights come as. A weight of
// another type than Compute is cast where it is used.
type Types struct {
	Compute, Weights onnx.DType

	Squares bool // the head also gives squares [R], the log-sum-exp of twice each token's logits
}

// Param binds a graph's input to a tensor of the checkpoint.
type Param struct {
	Input  string `json:"input"`
	Tensor string `json:"tensor"`
}

// Stage is one step of the model: a graph, which several stages may share, and the weights it is run with.
type Stage struct {
	Name, Graph string
	Params      []Param
}

// The graphs of a decoder.
const (
	EmbedGraph = "embed"
	BlockGraph = "block"
	LocalGraph = "block.local" // of layers that see a window
	FinalGraph = "final"
	HeadGraph  = "head"
)

// params of one block: graph input, the tensor's name below "model.layers.N.", and the shape.
type blockParam struct {
	input, tensor string
	shape         []int64
}

func (d Decoder) blockParams() []blockParam {
	h, f := int64(d.Hidden), int64(d.Intermediate)
	q, kv := int64(d.Heads*d.HeadDim), int64(d.KVHeads*d.HeadDim)
	ps := []blockParam{
		{"input_norm", "input_layernorm.weight", []int64{h}},
		{"q", "self_attn.q_proj.weight", []int64{q, h}},
		{"k", "self_attn.k_proj.weight", []int64{kv, h}},
		{"v", "self_attn.v_proj.weight", []int64{kv, h}},
		{"o", "self_attn.o_proj.weight", []int64{h, q}},
		{"post_norm", "post_attention_layernorm.weight", []int64{h}},
		{"gate", "mlp.gate_proj.weight", []int64{f, h}},
		{"up", "mlp.up_proj.weight", []int64{f, h}},
		{"down", "mlp.down_proj.weight", []int64{h, f}},
	}
	bias := func(on bool, input, tensor string, n int64) {
		if on {
			ps = append(ps, blockParam{input + ".bias", tensor + ".bias", []int64{n}})
		}
	}
	if d.QKNorm {
		ps = append(ps, blockParam{"q_norm", "self_attn.q_norm.weight", []int64{int64(d.HeadDim)}},
			blockParam{"k_norm", "self_attn.k_norm.weight", []int64{int64(d.HeadDim)}})
	}
	bias(d.QKVBias, "q", "self_attn.q_proj", q)
	bias(d.QKVBias, "k", "self_attn.k_proj", kv)
	bias(d.QKVBias, "v", "self_attn.v_proj", kv)
	bias(d.OutBias, "o", "self_attn.o_proj", h)
	bias(d.MLPBias, "gate", "mlp.gate_proj", f)
	bias(d.MLPBias, "up", "mlp.up_proj", f)
	bias(d.MLPBias, "down", "mlp.down_proj", h)
	return ps
}

const (
	embedTensor = "model.embed_tokens.weight"
	normTensor  = "model.norm.weight"
	headTensor  = "lm_head.weight"
)

// Stages lists embed, the blocks, final and head, in the order they run.
func (d Decoder) Stages() []Stage {
	stages := []Stage{{Name: "embed", Graph: EmbedGraph, Params: []Param{{"embed", embedTensor}}}}
	for l := range d.Layers {
		s := Stage{Name: fmt.Sprintf("layers.%d", l), Graph: d.kind(l).Graph}
		for _, p := range d.blockParams() {
			s.Params = append(s.Params, Param{p.input, fmt.Sprintf("model.layers.%d.%s", l, p.tensor)})
		}
		stages = append(stages, s)
	}
	return append(stages, Stage{Name: "final", Graph: FinalGraph, Params: []Param{{"norm", normTensor}}},
		Stage{Name: "head", Graph: HeadGraph, Params: []Param{d.headParam()}})
}

// headParam binds the head's weight.
func (d Decoder) headParam() Param {
	switch {
	case d.Scalar:
		return Param{"score", scoreTensor}
	case d.Tied:
		return Param{"unembed", embedTensor}
	}
	return Param{"unembed", headTensor}
}

// Shapes gives the shape of each tensor of the checkpoint that the stages use.
func (d Decoder) Shapes() map[string][]int64 {
	v, h := int64(d.Vocab), int64(d.Hidden)
	shapes := map[string][]int64{embedTensor: {v, h}, normTensor: {h}}
	switch {
	case d.Scalar:
		shapes[scoreTensor] = []int64{1, h}
	case !d.Tied:
		shapes[headTensor] = []int64{v, h}
	}
	for l := range d.Layers {
		for _, p := range d.blockParams() {
			shapes[fmt.Sprintf("model.layers.%d.%s", l, p.tensor)] = p.shape
		}
	}
	return shapes
}

// Graphs builds the stages' graphs by name.
func (d Decoder) Graphs(t Types) (map[string]*onnx.Graph, error) {
	builders := map[string]func(*net){EmbedGraph: d.embed, FinalGraph: d.final, HeadGraph: d.head}
	if d.Scalar {
		builders[HeadGraph] = d.score
	}
	for _, kind := range d.Kinds() {
		builders[kind.Graph] = func(n *net) { d.block(n, kind, 1) }
		builders[Long(kind.Graph)] = func(n *net) { d.block(n, kind, Blocks) }
	}
	return buildAll(builders, t)
}

func buildAll(builders map[string]func(*net), t Types) (map[string]*onnx.Graph, error) {
	graphs := map[string]*onnx.Graph{}
	for name, build := range builders {
		g, err := onnx.Build(name, func(b *onnx.Builder) { build(&net{Builder: b, types: t}) })
		if err != nil {
			return nil, err
		}
		graphs[name] = g
	}
	return graphs, nil
}

func (d Decoder) embed(n *net) {
	ids := n.Input("ids", onnx.Int64, onnx.Sym("T"))
	embed := n.Input("embed", n.types.Weights, onnx.Dims(int64(d.Vocab), int64(d.Hidden))...)
	n.Output("y", n.cast(n.Op("Gather", n.of(embed, ids), nil), n.types.Compute))
}

// block is a layer over a micro-batch. Attention takes queries in blocks.
func (d Decoder) block(n *net, kind LayerKind, blocks int) {
	x := n.Input("x", n.types.Compute, onnx.Sym("T"), onnx.Const(int64(d.Hidden)))
	layout := n.layout(d, kind, blocks)
	n.Output("y", d.layer(n, x, layout, func(q, k, v *onnx.Value) *onnx.Value { return n.attention(q, k, v, layout) }))
}

// layer is pre-norm attention and MLP, each added to the residual stream x. attend takes queries and keys that are turned.
func (d Decoder) layer(n *net, x *onnx.Value, l *layout, attend func(q, k, v *onnx.Value) *onnx.Value) *onnx.Value {
	shapes := map[string][]int64{}
	for _, p := range d.blockParams() {
		shapes[p.input] = p.shape
	}
	weight := func(name string) *onnx.Value { return n.param(name, shapes[name]...) }
	linear := func(x *onnx.Value, name string) *onnx.Value {
		var bias *onnx.Value
		if shape, ok := shapes[name+".bias"]; ok {
			bias = n.param(name+".bias", shape...)
		}
		return n.linear(x, weight(name), bias)
	}
	y := n.rmsNorm(x, weight("input_norm"), d.NormEps)
	turned := func(name string, heads int) *onnx.Value {
		x := linear(y, name)
		if d.QKNorm {
			x = n.headNorm(x, weight(name+"_norm"), heads, d)
		}
		return n.rotary(x, l, heads)
	}
	q, k := turned("q", d.Heads), turned("k", d.KVHeads)
	x = n.add(x, linear(attend(q, k, linear(y, "v")), "o"))
	y = n.rmsNorm(x, weight("post_norm"), d.NormEps)
	y = n.mul(n.silu(linear(y, "gate")), linear(y, "up"))
	return n.add(x, linear(y, "down"))
}

// final picks the rows that predict a scored token and norms them: [T,D] → [R,D]. From here on a model computes in the exact type.
func (d Decoder) final(n *net) {
	x := n.Input("x", n.types.Compute, onnx.Sym("T"), onnx.Const(int64(d.Hidden)))
	rows := n.Input("rows", onnx.Int64, onnx.Sym("R"))
	n.Output("y", n.cast(n.rmsNorm(n.Op("Gather", n.of(x, rows), nil), n.param("norm", int64(d.Hidden)), d.NormEps), n.exact()))
}

// head gives, for B rows of the vocabulary, the log-sum-exp of each token's logits and the logit of its target:
// log p = Σ logit − logsumexp lse over all such pieces. targets counts from the piece's first row, and inside is 1 where the
// target lies in it, else 0, with any target in its place.
func (d Decoder) head(n *net) {
	R, B, exact := onnx.Sym("R"), onnx.Sym("B"), n.exact()
	x := n.Input("x", exact, R, onnx.Const(int64(d.Hidden)))
	targets := n.Input("targets", onnx.Int64, R)
	unembed := n.cast(n.Input("unembed", n.types.Weights, B, onnx.Const(int64(d.Hidden))), exact)
	inside := n.Input("inside", exact, R)
	logits := n.linear(x, unembed, nil)
	logit := n.Op("GatherElements", n.of(logits, n.Op("Unsqueeze", n.of(targets, n.Ints(1)), nil)), onnx.Attrs{"axis": 1})
	n.Output("lse", n.flat(n.logSumExp(logits)))
	n.Output("logit", n.mul(n.flat(logit), inside))
	if n.types.Squares {
		n.Output("squares", n.flat(n.logSumExp(n.add(logits, logits))))
	}
}

// net is a builder that knows the element types, with the few pieces that decoders are made of.
type net struct {
	*onnx.Builder
	types Types
	few   bool // rows: products with weights are taken the other way round
}

func (n *net) of(values ...*onnx.Value) []*onnx.Value { return values }

func (n *net) add(a, b *onnx.Value) *onnx.Value { return n.Op("Add", n.of(a, b), nil) }
func (n *net) mul(a, b *onnx.Value) *onnx.Value { return n.Op("Mul", n.of(a, b), nil) }

// flat makes [R,1] into [R].
func (n *net) flat(v *onnx.Value) *onnx.Value { return n.Op("Squeeze", n.of(v, n.Ints(1)), nil) }

// exact is the type that the head computes in: of half-precision logits the log-probabilities would be worth little.
func (n *net) exact() onnx.DType {
	if n.types.Compute == onnx.Float64 {
		return onnx.Float64
	}
	return onnx.Float32
}

func (n *net) cast(v *onnx.Value, t onnx.DType) *onnx.Value {
	if v.Type == t {
		return v
	}
	return n.Op("Cast", n.of(v), onnx.Attrs{"to": int64(t)})
}

// param declares a weight as a graph input of its own type, cast to what the graph computes in.
func (n *net) param(name string, dims ...int64) *onnx.Value {
	return n.cast(n.Input(name, n.types.Weights, onnx.Dims(dims...)...), n.types.Compute)
}

// logSumExp is log Σ exp over each row: [R,B] → [R,1]. The largest only shifts, so no gradient flows through it.
func (n *net) logSumExp(x *onnx.Value) *onnx.Value {
	shift := n.Node(&onnx.Node{Op: "ReduceMax", Inputs: n.of(x, n.Ints(-1)), Attrs: onnx.Attrs{"keepdims": 1},
		Meta: map[string]string{"gradient": "none"}}, 1)[0]
	sum := n.Op("ReduceSum", n.of(n.Op("Exp", n.of(n.Op("Sub", n.of(x, shift), nil)), nil), n.Ints(-1)), onnx.Attrs{"keepdims": 1})
	return n.add(n.Op("Log", n.of(sum), nil), shift)
}

// linear is x·wᵀ + bias: [T,in] → [T,out]. Every product with a weight passes here.
func (n *net) linear(x, w, bias *onnx.Value) *onnx.Value {
	if n.few {
		return n.transpose(n.turned(x, w, bias), 1, 0)
	}
	inputs := n.of(x, w)
	if bias != nil {
		inputs = append(inputs, bias)
	}
	return n.Op("Gemm", inputs, onnx.Attrs{"transB": 1})
}

// rmsNorm is x / sqrt(mean(x²) + eps) · w (Zhang and Sennrich 2019, arXiv 1910.07467). The second output of the fused
// operator, 1/sqrt(…), spares the backward pass a mean. Attributes are float32, and with them eps, so float64 writes it
// out.
func (n *net) rmsNorm(x, w *onnx.Value, eps float64) *onnx.Value {
	if n.types.Compute == onnx.Float64 {
		mean := n.Op("ReduceMean", n.of(n.mul(x, x), n.Ints(-1)), onnx.Attrs{"keepdims": 1})
		return n.mul(n.Op("Div", n.of(x, n.Op("Sqrt", n.of(n.add(mean, n.Scalar(onnx.Float64, eps))), nil)), nil), w)
	}
	return n.Node(&onnx.Node{Op: "SimplifiedLayerNormalization", Inputs: n.of(x, w),
		Attrs: onnx.Attrs{"axis": -1, "epsilon": eps}}, 2)[0]
}

// headNorm norms each head of x [T,heads·d] alone.
func (n *net) headNorm(x, w *onnx.Value, heads int, d Decoder) *onnx.Value {
	x = n.rmsNorm(n.reshape(x, 0, int64(heads), int64(d.HeadDim)), w, d.NormEps)
	return n.reshape(x, 0, int64(heads*d.HeadDim))
}

// silu is x·σ(x). The fused operator has no float64 kernel.
func (n *net) silu(x *onnx.Value) *onnx.Value {
	if n.types.Compute == onnx.Float64 {
		return n.mul(x, n.Op("Sigmoid", n.of(x), nil))
	}
	return n.Node(&onnx.Node{Op: "QuickGelu", Domain: onnx.Microsoft, Inputs: n.of(x), Attrs: onnx.Attrs{"alpha": 1.0}}, 1)[0]
}

// product is a·b over the last two dimensions, optionally with b transposed, times alpha.
func (n *net) product(a, b *onnx.Value, transB bool, alpha float64) *onnx.Value {
	if n.types.Compute == onnx.Float64 && alpha != 1 {
		a, alpha = n.mul(a, n.Scalar(onnx.Float64, alpha)), 1 // as an attribute it would be a float32
	}
	return n.Node(&onnx.Node{Op: "FusedMatMul", Domain: onnx.Microsoft, Inputs: n.of(a, b),
		Attrs: onnx.Attrs{"transB": transB, "alpha": alpha}}, 1)[0]
}

func scale(headDim int) float64 { return 1 / math.Sqrt(float64(headDim)) }
