package models

import (
	"fmt"
	"slices"
	"strings"

	"github.com/dpo-ort/dpo-ort/models/exported"
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
	Activation                          string // of activations
	QKVBias, OutBias, MLPBias           bool
	QKNorm                              bool // each head's query and key are normed before they are turned
	Tied                                bool // the head's weight is the embedding
	Rope                                Rope
	Local                               []bool // [Layers]: which layers see Window tokens only; nil for none
	Window                              int    // keys that a query of a local layer sees, itself included
	Scalar                              bool   // the head gives a reward, not logits: see reward.go
	Pad                                 int32  // of a Scalar: the id passed over at a sequence's end; −1 for none
	Form

	Adapter  *Adapter        // what is trained in place of the weights; nil for none
	Exported *exported.Model // the file that the model was read from, which has all the graphs but the head; nil for one that is built here
}

// Types are the element types of a model's graphs: what it computes in, and what its weights come as. A weight of
// another type than Compute is cast where it is used.
type Types struct {
	Compute, Weights onnx.DType

	Squares bool // the head also gives squares [R], the log-sum-exp of twice each token's logits
	Fused   bool // blocks also have the graphs that Fused names, where their heads allow
}

// exact is the type of what is added up, and of an adapter: float32, or float64 where a model computes in it.
func (t Types) exact() onnx.DType {
	if t.Compute == onnx.Float64 {
		return onnx.Float64
	}
	return onnx.Float32
}

// Trained is the type of what is trained.
func (d Decoder) Trained(t Types) onnx.DType {
	if d.Adapter != nil {
		return t.exact()
	}
	return t.Weights
}

// Param binds a graph's input to a tensor of the checkpoint.
type Param struct {
	Input, Tensor string
	Frozen        bool // not trained: an adapter is in its place
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
	low           bool // an adapter's own
}

// layerParams are a layer's, with the tensors' whole names.
func (d Decoder) layerParams(layer int) []blockParam {
	ps := d.blockParams()
	for i := range ps {
		ps[i].tensor = d.inLayer(layer, ps[i].tensor)
	}
	for _, p := range ps {
		ps = append(ps, d.changeOf(p).params()...)
	}
	return ps
}

// changeOf is what the adapter does to a layer's product; nil for nothing.
func (d Decoder) changeOf(p blockParam) *adapted {
	if len(p.shape) != 2 {
		return nil
	}
	out, in := p.shape[0], p.shape[1]
	if d.Transposed {
		out, in = in, out
	}
	return d.change(p.input, strings.TrimSuffix(p.tensor, ".weight"), in, onnx.Const(out))
}

// blockParams are a layer's: its norms, and the products of attention and MLP.
func (d Decoder) blockParams() (ps []blockParam) {
	h, f := int64(d.Hidden), int64(d.Intermediate)
	q, kv := int64(d.Heads*d.HeadDim), int64(d.KVHeads*d.HeadDim)
	weight := func(input, module string, bias bool, biases int64, shape ...int64) {
		module = d.named(module)
		ps = append(ps, blockParam{input: input, tensor: module + ".weight", shape: shape})
		if bias {
			ps = append(ps, blockParam{input: input + ".bias", tensor: module + ".bias", shape: []int64{biases}})
		}
	}
	norm := func(input, module string, n int64) { weight(input, module, d.Norm == LayerNorm, n, n) }
	product := func(input, module string, out, in int64, bias bool) {
		if d.Transposed {
			weight(input, module, bias, out, in, out)
		} else {
			weight(input, module, bias, out, out, in)
		}
	}
	if d.Fused != Apart {
		product("qkv", "self_attn.qkv_proj", q+2*kv, h, d.QKVBias)
	} else {
		product("q", "self_attn.q_proj", q, h, d.QKVBias)
		product("k", "self_attn.k_proj", kv, h, d.QKVBias)
		product("v", "self_attn.v_proj", kv, h, d.QKVBias)
	}
	product("o", "self_attn.o_proj", h, q, d.OutBias)
	switch {
	case d.FusedGate:
		product("gate_up", "mlp.gate_up_proj", 2*f, h, d.MLPBias)
	case !d.Ungated:
		product("gate", "mlp.gate_proj", f, h, d.MLPBias)
		fallthrough
	default:
		product("up", "mlp.up_proj", f, h, d.MLPBias)
	}
	product("down", "mlp.down_proj", h, f, d.MLPBias)
	d.blockNorms(norm)
	return ps
}

// blockNorms names a layer's norms: of what attention and MLP read, of what they give, and of queries and keys.
func (d Decoder) blockNorms(norm func(input, module string, size int64)) {
	h := int64(d.Hidden)
	if d.Norms != PostNorm {
		norm("input_norm", "input_layernorm", h)
	}
	if d.Norms != PreNorm {
		norm("attention_norm", "post_attention_layernorm", h)
		norm("mlp_norm", "post_feedforward_layernorm", h)
	}
	switch {
	case d.Norms == PeriNorms:
		norm("post_norm", "pre_feedforward_layernorm", h)
	case d.Norms == PreNorm && !d.OneNorm:
		norm("post_norm", "post_attention_layernorm", h)
	}
	if d.QKNorm {
		q, k := 1, 1
		if d.QKWhole {
			q, k = d.Heads, d.KVHeads
		}
		norm("q_norm", "self_attn.q_norm", int64(q*d.HeadDim))
		norm("k_norm", "self_attn.k_norm", int64(k*d.HeadDim))
	}
}

// Stages lists embed, the blocks, final and head, in the order they run.
func (d Decoder) Stages() []Stage {
	if d.Exported != nil {
		return d.exportedStages()
	}
	var stages []Stage
	add := func(name, graph string, params []blockParam) {
		s := Stage{Name: name, Graph: graph}
		for _, p := range params {
			s.Params = append(s.Params, Param{p.input, p.tensor, d.Adapter != nil && !p.low})
		}
		stages = append(stages, s)
	}
	add("embed", EmbedGraph, d.embedParams())
	for l := range d.Layers {
		add(fmt.Sprintf("layers.%d", l), d.kind(l).Graph, d.layerParams(l))
	}
	add("final", FinalGraph, d.finalParams())
	add("head", HeadGraph, d.headParams())
	return stages
}

func (d Decoder) embedParams() []blockParam {
	ps := []blockParam{{input: EmbedGraph, tensor: d.embedModule() + ".weight", shape: []int64{int64(d.Vocab), int64(d.Hidden)}}}
	if d.Positions > 0 {
		ps = append(ps, blockParam{input: "positions.table", tensor: d.named("model.positions") + ".weight", shape: []int64{int64(d.Positions), int64(d.Hidden)}})
	}
	return append(ps, d.embedChange().params()...)
}

// embedChange is what the adapter does to the embedding, whose A has a column a token.
func (d Decoder) embedChange() *adapted {
	return d.change(EmbedGraph, d.embedModule(), int64(d.Vocab), onnx.Const(int64(d.Hidden)))
}

func (d Decoder) finalParams() []blockParam {
	ps := []blockParam{{input: "norm", tensor: d.normModule() + ".weight", shape: []int64{int64(d.Hidden)}}}
	if d.Norm == LayerNorm {
		ps = append(ps, blockParam{input: "norm.bias", tensor: d.normModule() + ".bias", shape: []int64{int64(d.Hidden)}})
	}
	return ps
}

// headParams are the head's weight, its bias, and what the adapter has for it.
func (d Decoder) headParams() []blockParam {
	p := blockParam{input: "unembed", tensor: d.headModule() + ".weight", shape: []int64{int64(d.Vocab), int64(d.Hidden)}}
	switch {
	case d.Scalar:
		return []blockParam{{input: "score", tensor: scoreTensor, shape: []int64{1, int64(d.Hidden)}}}
	case d.Tied:
		p.tensor = d.embedModule() + ".weight"
	}
	ps := []blockParam{p}
	if d.HeadBias {
		ps = append(ps, blockParam{input: "unembed.bias", tensor: d.headModule() + ".bias", shape: []int64{int64(d.Vocab)}})
	}
	return append(ps, d.headChange(onnx.Const(int64(d.Vocab))).params()...)
}

// headChange is what the adapter does to so many rows of the head.
func (d Decoder) headChange(rows onnx.Dim) *adapted {
	return d.change("unembed", d.headModule(), int64(d.Hidden), rows)
}

// Shapes gives the shape of each tensor of the checkpoint, and of the adapter, that the stages use.
func (d Decoder) Shapes() map[string][]int64 {
	if d.Exported != nil {
		return d.exportedShapes()
	}
	shapes := map[string][]int64{}
	params := slices.Concat(d.embedParams(), d.finalParams(), d.headParams())
	for l := range d.Layers {
		params = append(params, d.layerParams(l)...)
	}
	for _, p := range params {
		shapes[p.tensor] = p.shape
	}
	return shapes
}

// Graphs builds the stages' graphs by name.
func (d Decoder) Graphs(t Types) (map[string]*onnx.Graph, error) {
	if d.Exported != nil {
		return d.exportedGraphs(t)
	}
	builders := map[string]func(*net){EmbedGraph: d.embed, FinalGraph: d.final, HeadGraph: d.head}
	if d.Scalar {
		builders[HeadGraph] = d.score
	}
	for _, kind := range d.Kinds() {
		builders[kind.Graph] = func(n *net) { d.block(n, kind, 1) }
		builders[Long(kind.Graph)] = func(n *net) { d.block(n, kind, Blocks) }
		if t.Fused && d.fusable() {
			builders[Fused(kind.Graph)] = func(n *net) { d.fusedBlock(n, kind) }
		}
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

func (d Decoder) embed(n *net) { n.Output("y", d.embedded(n)) }

// embedded are the embeddings of tokens: [T] → [T,D].
func (d Decoder) embedded(n *net) *onnx.Value {
	ids := n.Input("ids", onnx.Int64, onnx.Sym("T"))
	embed := n.Input(EmbedGraph, n.types.Weights, onnx.Dims(int64(d.Vocab), int64(d.Hidden))...)
	y := n.cast(n.rows(embed, ids), n.types.Compute)
	if m := d.embedChange(); m != nil {
		y = n.add(y, n.looked(ids, m))
	}
	if d.EmbedScale != 0 {
		y = n.cast(n.times(n.cast(y, n.exact()), d.EmbedScale), n.types.Compute)
	}
	if d.Positions > 0 {
		table := n.Input("positions.table", n.types.Weights, onnx.Dims(int64(d.Positions), int64(d.Hidden))...)
		at := n.Input("positions", onnx.Int64, onnx.Sym("T"))
		y = n.add(y, n.cast(n.Op("Gather", n.of(table, at), nil), n.types.Compute))
	}
	return y
}

// block is a layer over a micro-batch. Attention takes queries in blocks.
func (d Decoder) block(n *net, kind LayerKind, blocks int) {
	x := n.Input("x", n.types.Compute, onnx.Sym("T"), onnx.Const(int64(d.Hidden)))
	layout := n.layout(d, kind, blocks)
	n.Output("y", d.layer(n, x, kind, layout, func(q, k, v *onnx.Value) *onnx.Value { return n.attention(q, k, v, layout) }))
}

// layer is attention and MLP, each added to the residual stream x. attend takes queries and keys that are turned.
func (d Decoder) layer(n *net, x *onnx.Value, kind LayerKind, l *layout, attend func(q, k, v *onnx.Value) *onnx.Value) *onnx.Value {
	b := d.within(n, kind)
	y := b.norm(x, "input_norm")
	q, k, v := b.queries(y, l)
	o := b.norm(b.linear(attend(q, k, v()), "o"), "attention_norm")
	if d.Parallel {
		if !d.OneNorm {
			y = b.norm(x, "post_norm")
		}
		return n.add(n.add(x, o), b.norm(b.mlp(y), "mlp_norm"))
	}
	x, y = b.sumAndNorm(x, o, "post_norm")
	return n.add(x, b.norm(b.mlp(y), "mlp_norm"))
}

// final picks the rows that predict a scored token and norms them: [T,D] → [R,D]. From here on a model computes in the exact type.
func (d Decoder) final(n *net) {
	x := n.Input("x", n.types.Compute, onnx.Sym("T"), onnx.Const(int64(d.Hidden)))
	rows := n.Input("rows", onnx.Int64, onnx.Sym("R"))
	n.Output("y", n.cast(d.norm(n, n.Op("Gather", n.of(x, rows), nil), "norm", int64(d.Hidden)), n.exact()))
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
	logits := d.logits(n, x, unembed, B)
	logit := n.Op("GatherElements", n.of(logits, n.Op("Unsqueeze", n.of(targets, n.Ints(1)), nil)), onnx.Attrs{"axis": 1})
	n.Output("lse", n.flat(n.logSumExp(logits)))
	n.Output("logit", n.mul(n.flat(logit), inside))
	if n.types.Squares {
		n.Output("squares", n.flat(n.logSumExp(n.add(logits, logits))))
	}
}

// logits are those of so many rows of the vocabulary: [R,D] → [R,rows].
func (d Decoder) logits(n *net, x, unembed *onnx.Value, rows onnx.Dim) *onnx.Value {
	var bias *onnx.Value
	if d.HeadBias {
		bias = n.cast(n.Input("unembed.bias", n.types.Weights, rows), x.Type)
	}
	logits := n.capped(n.changed(x, unembed, bias, d.headChange(rows)), d.LogitCap)
	if d.Exported != nil {
		logits = d.Exported.Head.Tail(n.Builder, logits)
	}
	return logits
}

// net is a builder that knows the element types, with the few pieces that decoders are made of.
type net struct {
	*onnx.Builder
	types  Types
	few    bool                          // rows: products with weights are taken the other way round
	fused  bool                          // operators without a gradient are used
	given  func(name string) *onnx.Value // what stands in the place of graph inputs; nil for none, as what it gives
	packed map[*onnx.Value]*packed       // given weights whose elements are of few bits
}

// Input declares a graph input, or takes what is given in its place.
func (n *net) Input(name string, t onnx.DType, dims ...onnx.Dim) *onnx.Value {
	if n.given != nil {
		if v := n.given(name); v != nil {
			return v
		}
	}
	return n.Builder.Input(name, t, dims...)
}

func (n *net) of(values ...*onnx.Value) []*onnx.Value { return values }

func (n *net) add(a, b *onnx.Value) *onnx.Value { return n.Op("Add", n.of(a, b), nil) }
func (n *net) mul(a, b *onnx.Value) *onnx.Value { return n.Op("Mul", n.of(a, b), nil) }

// flat makes [R,1] into [R].
func (n *net) flat(v *onnx.Value) *onnx.Value { return n.Op("Squeeze", n.of(v, n.Ints(1)), nil) }

// exact is the type that the head computes in: of half-precision logits the log-probabilities would be worth little.
func (n *net) exact() onnx.DType { return n.types.exact() }

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

// linear is x·wᵀ + plus, which is a bias [out], a matrix [T,out], or nil: [T,in] → [T,out]. Every product with a weight passes here.
func (n *net) linear(x, w, plus *onnx.Value) *onnx.Value {
	if p := n.packed[w]; p != nil {
		return n.packedProduct(x, p, plus)
	}
	if n.few {
		if plus != nil && len(plus.Shape) == 2 {
			return n.add(n.linear(x, w, nil), plus)
		}
		return n.transpose(n.turned(x, w, plus), 1, 0)
	}
	inputs := n.of(x, w)
	if plus != nil {
		inputs = append(inputs, plus)
	}
	return n.Op("Gemm", inputs, onnx.Attrs{"transB": 1})
}

// product is a·b over the last two dimensions, optionally with b transposed, times alpha.
func (n *net) product(a, b *onnx.Value, transB bool, alpha float64) *onnx.Value {
	if n.types.Compute == onnx.Float64 && alpha != 1 {
		a, alpha = n.mul(a, n.Scalar(onnx.Float64, alpha)), 1 // as an attribute it would be a float32
	}
	return n.Node(&onnx.Node{Op: "FusedMatMul", Domain: onnx.Microsoft, Inputs: n.of(a, b),
		Attrs: onnx.Attrs{"transB": transB, "alpha": alpha}}, 1)[0]
}
