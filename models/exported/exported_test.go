package exported

import (
	"bytes"
	"errors"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/dpo-ort/dpo-ort/internal/golden"
	"github.com/dpo-ort/dpo-ort/internal/graphtest"
	"github.com/dpo-ort/dpo-ort/runtime/onnx"
)

// parts are a language model of no layers, to be changed before its logits are made.
type parts struct {
	*onnx.Builder
	ids, hidden *onnx.Value // [batch,tokens], [batch,tokens,4]
}

func (p *parts) weight(name string, dims ...int64) *onnx.Value {
	count, _ := onnx.Dims(dims...).Size().Const()
	values := make([]float64, count)
	for i := range values {
		values[i] = 0.1 + math.Sin(float64(3*i+len(name)))
	}
	t, err := onnx.FloatTensor(onnx.Float32, values, dims...)
	if err != nil {
		p.Fail("%w", err)
	}
	v := p.Constant(t)
	v.Name = name
	return v
}

// unknown is a node of an operator that there may be no rule of.
func (p *parts) unknown(op, domain, name string, x *onnx.Value) *onnx.Value {
	n := &onnx.Node{Op: op, Domain: domain, Name: name, Inputs: []*onnx.Value{x}}
	n.Outputs = []*onnx.Value{{Name: name + ".out", Type: x.Type, Shape: x.Shape, Node: n}}
	p.Graph().Nodes = append(p.Graph().Nodes, n)
	return n.Outputs[0]
}

// lm writes a model: change gives the hidden states, and head the logits; nil leaves them.
func lm(t testing.TB, change, head func(p *parts) *onnx.Value) string {
	t.Helper()
	batch, tokens := onnx.Sym("batch"), onnx.Sym("tokens")
	g, err := onnx.Build("lm", func(b *onnx.Builder) {
		p := &parts{Builder: b}
		p.ids = b.Input("input_ids", onnx.Int64, batch, tokens)
		p.hidden = b.Op("Gather", []*onnx.Value{p.weight("embed.weight", 9, 4), p.ids}, nil)
		if change != nil {
			p.hidden = change(p)
		}
		var logits *onnx.Value
		if head != nil {
			logits = head(p)
		} else {
			logits = b.Op("MatMul", []*onnx.Value{p.hidden, p.weight("head.weight", 4, 9)}, nil)
		}
		b.Output("logits", logits)
	})
	if err != nil {
		t.Fatal(err)
	}
	return write(t, g)
}

func write(t testing.TB, g *onnx.Graph) string {
	t.Helper()
	data, err := g.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "model.onnx")
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// What cannot be trained is refused by what it is: operators all at once, each with its node.
func TestRefused(t *testing.T) {
	then := &onnx.Graph{Name: "then"}
	for name, c := range map[string]struct {
		change, head func(p *parts) *onnx.Value
		says         []string
	}{
		"unknown operators": {change: func(p *parts) *onnx.Value {
			return p.unknown("Mystery", "", "layer.1/Mystery", p.unknown("Fused", onnx.Microsoft, "layer.0/Fused", p.hidden))
		}, says: []string{"com.microsoft:Fused (node layer.0/Fused): unknown here", "Mystery (node layer.1/Mystery): unknown here"}},
		"without a rule": {change: func(p *parts) *onnx.Value {
			return p.Op("Hardmax", []*onnx.Value{p.Op("Mish", []*onnx.Value{p.hidden}, nil)}, nil)
		}, says: []string{"Mish (node mish_1): without a gradient rule", "Hardmax (node hardmax_1): without a gradient rule"}},
		"control flow": {change: func(p *parts) *onnx.Value {
			out := p.unknown("If", "", "branch", p.hidden)
			out.Node.Attrs = onnx.Attrs{"then_branch": then, "else_branch": then}
			return out
		}, says: []string{"If (node branch): control flow"}},
		"quantised": {change: func(p *parts) *onnx.Value {
			return p.unknown("MatMulBnb4", onnx.Microsoft, "q_proj", p.hidden)
		}, says: []string{"com.microsoft:MatMulBnb4 (node q_proj)", "of a quantised model: export it in float32"}},
		"a fourth kind of input": {change: func(p *parts) *onnx.Value {
			return p.Op("Mul", []*onnx.Value{p.hidden, p.Input("temperature", onnx.Float32, onnx.Const(1))}, nil)
		}, says: []string{"input temperature (float32[1]) is neither token ids"}},
		"a merged decoder": {change: func(p *parts) *onnx.Value {
			p.Input("use_cache_branch", onnx.Bool, onnx.Const(1))
			return p.hidden
		}, says: []string{"use_cache_branch", "of an older Optimum's merged decoder"}},
		"two masks": {change: func(p *parts) *onnx.Value {
			p.Input("mask_a", onnx.Int64, onnx.Sym("batch"), onnx.Sym("tokens"))
			p.Input("mask_b", onnx.Int64, onnx.Sym("batch"), onnx.Sym("tokens"))
			return p.hidden
		}, says: []string{"inputs mask_a and mask_b are both taken for attention_mask"}},
		"a fixed length": {change: func(p *parts) *onnx.Value {
			p.Input("position_ids", onnx.Int64, onnx.Sym("batch"), onnx.Const(128))
			return p.hidden
		}, says: []string{"input position_ids has the shape [batch,128], of always 128 tokens: export with both axes dynamic"}},
		"a past that is not only joined": {change: func(p *parts) *onnx.Value {
			past := p.Input("past_key_values.0.key", onnx.Float32, onnx.Sym("batch"), onnx.Const(2), onnx.Sym("past"), onnx.Const(4))
			sum := p.Op("ReduceSum", []*onnx.Value{past}, onnx.Attrs{"keepdims": 0})
			return p.Op("Add", []*onnx.Value{p.hidden, sum}, nil)
		}, says: []string{"input past_key_values.0.key is read by ReduceSum (node reducesum_1), which cannot do with an empty one"}},
		"half precision": {head: func(p *parts) *onnx.Value {
			half := onnx.Attrs{"to": int64(onnx.Float16)}
			return p.Op("MatMul", []*onnx.Value{p.Op("Cast", []*onnx.Value{p.hidden}, half), p.Op("Cast", []*onnx.Value{p.weight("head.weight", 4, 9)}, half)}, nil)
		}, says: []string{"output logits is float16: a model is trained in float32"}},
		"logits of no product": {head: func(p *parts) *onnx.Value {
			return p.Op("Softmax", []*onnx.Value{p.Op("MatMul", []*onnx.Value{p.hidden, p.weight("head.weight", 4, 9)}, nil)}, nil)
		}, says: []string{"its logits are not the product of hidden states with a weight: logits is made by Softmax"}},
		"logits of a computed weight": {head: func(p *parts) *onnx.Value {
			w := p.weight("head.weight", 4, 9)
			return p.Op("MatMul", []*onnx.Value{p.hidden, p.Op("Mul", []*onnx.Value{w, w}, nil)}, nil)
		}, says: []string{"a product of two tensors that are computed"}},
		"a bias that is one number": {head: func(p *parts) *onnx.Value {
			rows := p.Op("Reshape", []*onnx.Value{p.hidden, p.Ints(-1, 4)}, nil)
			y := p.Op("Gemm", []*onnx.Value{rows, p.weight("head.weight", 4, 9), p.weight("head.bias", 1)}, nil)
			return p.Op("Reshape", []*onnx.Value{y, p.Op("Concat", []*onnx.Value{p.Op("Shape", []*onnx.Value{p.ids}, nil), p.Ints(9)}, onnx.Attrs{"axis": 0})}, nil)
		}, says: []string{"a Gemm with a bias that is computed, is no vector"}},
		"attention of two sizes": {change: func(p *parts) *onnx.Value {
			fused := p.unknown("Attention", onnx.Microsoft, "attention", p.hidden)
			fused.Node.Attrs = onnx.Attrs{"num_heads": int64(2), "qkv_hidden_sizes": []int64{6, 6}}
			fused.Node.Inputs = append(fused.Node.Inputs, p.weight("qkv.weight", 4, 12))
			return p.Op("Add", []*onnx.Value{fused, p.hidden}, nil)
		}, says: []string{"node attention: qkv_hidden_sizes of Attention has 2 numbers"}},
		"a mask of lengths": {change: func(p *parts) *onnx.Value {
			lengths := p.Op("Cast", []*onnx.Value{p.Op("ReduceSum", []*onnx.Value{p.Input("attention_mask", onnx.Int64, onnx.Sym("batch"), onnx.Sym("tokens")), p.Ints(1)}, onnx.Attrs{"keepdims": 0})},
				onnx.Attrs{"to": int64(onnx.Int32)})
			fused := p.unknown("MultiHeadAttention", onnx.Microsoft, "attention", p.hidden)
			fused.Node.Attrs = onnx.Attrs{"num_heads": int64(2)}
			fused.Node.Inputs = append(fused.Node.Inputs, p.hidden, p.hidden, nil, lengths)
			return p.Op("Add", []*onnx.Value{fused, p.hidden}, nil)
		}, says: []string{"node attention: a mask of shape [N] is not supported by MultiHeadAttention"}},
		"tokens before sequences": {change: func(p *parts) *onnx.Value {
			return p.Op("Transpose", []*onnx.Value{p.hidden}, onnx.Attrs{"perm": []int64{1, 0, 2}})
		}, says: []string{"have the shape [S,N,4] for N sequences of S tokens, [N,S,4] is needed"}},
		"sizes of an example": {change: func(p *parts) *onnx.Value {
			x := p.Op("Reshape", []*onnx.Value{p.hidden, p.Ints(2, 7, 4)}, nil)
			return p.Op("Add", []*onnx.Value{p.hidden, p.Op("ReduceSum", []*onnx.Value{x, p.Ints(0, 1)}, onnx.Attrs{"keepdims": 0})}, nil)
		}, says: []string{"node reshape_1 makes [2,7,4] of [N,S,4]", "export again with both axes dynamic"}},
		"sizes that are not known": {change: func(p *parts) *onnx.Value {
			x := p.Op("Reshape", []*onnx.Value{p.hidden, p.Ints(2, -1, 4)}, nil)
			return p.Op("Add", []*onnx.Value{p.hidden, p.Op("ReduceSum", []*onnx.Value{x, p.Ints(0, 1)}, onnx.Attrs{"keepdims": 0})}, nil)
		}, says: []string{"the sizes of reshape_1 are not known"}},
		"a weight that is infinite": {head: func(p *parts) *onnx.Value {
			w := p.weight("head.weight", 4, 9)
			copy(w.Const.Data[8:], []byte{0, 0, 0x80, 0x7f})
			return p.Op("MatMul", []*onnx.Value{p.hidden, w}, nil)
		}, says: []string{"weight head.weight holds +Inf at element 2"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Open(lm(t, c.change, c.head))
			for _, part := range c.says {
				if err == nil || !strings.Contains(err.Error(), part) {
					t.Errorf("%v: %q is wanted in it", err, part)
				}
			}
		})
	}
}

func TestNoInputsOrOutputs(t *testing.T) {
	for name, c := range map[string]struct {
		make func(b *onnx.Builder)
		says string
	}{
		"no ids": {func(b *onnx.Builder) {
			b.Input("attention_mask", onnx.Int64, onnx.Sym("batch"), onnx.Sym("tokens"))
			x := b.Input("position_ids", onnx.Int64, onnx.Sym("batch"), onnx.Sym("tokens"))
			b.Output("logits", b.Op("Cast", []*onnx.Value{x}, onnx.Attrs{"to": int64(onnx.Float32)}))
		}, "it has no input of token ids"},
		"no logits": {func(b *onnx.Builder) {
			x := b.Input("input_ids", onnx.Int64, onnx.Sym("batch"), onnx.Sym("tokens"))
			b.Output("scores", b.Op("Cast", []*onnx.Value{x}, onnx.Attrs{"to": int64(onnx.Float32)}))
		}, "it has no one output of logits"},
	} {
		t.Run(name, func(t *testing.T) {
			g, err := onnx.Build("lm", c.make)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := Open(write(t, g)); err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("%v: %q is wanted in it", err, c.says)
			}
		})
	}
}

// Data in another file is read from beside the model, and neither from outside its folder nor through a link.
func TestExternalData(t *testing.T) {
	dir := t.TempDir()
	weights := make([]byte, 4*4*9)
	weights[3] = 0x3f
	put := func(name string, data []byte) string {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, data, 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	read := func(name string) []byte {
		data, err := os.ReadFile(golden.Testdata(t, "exported", name))
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	outside := put("weights.bin", weights)
	if _, err := Open(put("model/outside.onnx", read("outside.onnx"))); !errors.Is(err, onnx.ErrExternalPath) {
		t.Errorf("outside the folder: %v", err)
	}
	model := put("model/beside.onnx", read("beside.onnx"))
	if err := os.Symlink(outside, filepath.Join(dir, "model/weights.bin")); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(model); !errors.Is(err, onnx.ErrExternalPath) {
		t.Errorf("a link: %v", err)
	}
	if err := os.Remove(filepath.Join(dir, "model/weights.bin")); err != nil {
		t.Fatal(err)
	}
	put("model/weights.bin", weights)
	m, err := Open(model)
	if err != nil {
		t.Fatal(err)
	}
	if w := m.Weights["head.weight"]; w.Data()[3] != 0x3f {
		t.Errorf("the head's data are %v", w.Data()[:8])
	}
}

// layered is a model with a table of positions that is learned and one that is not, two norms of ones, and a head that is tied and has a bias and a cap.
func layered(t *testing.T) string {
	positions := func(p *parts) *onnx.Value {
		return p.Op("Range", []*onnx.Value{p.Op("Squeeze", []*onnx.Value{p.Ints(0), p.Ints(0)}, nil),
			p.Op("Squeeze", []*onnx.Value{p.Op("Shape", []*onnx.Value{p.ids}, onnx.Attrs{"start": 1, "end": 2}), p.Ints(0)}, nil),
			p.Op("Squeeze", []*onnx.Value{p.Ints(1), p.Ints(0)}, nil)}, nil)
	}
	return lm(t, func(p *parts) *onnx.Value {
		clear(p.Graph().Nodes[0].Inputs[0].Const.Data[:16]) // of padding, as a table of sines begins
		x := p.Op("Add", []*onnx.Value{p.hidden, p.Op("Gather", []*onnx.Value{p.weight("positions.weight", 9, 4), positions(p)}, nil)}, nil)
		cosines := p.weight("cos", 9, 4)
		var angles []float64
		for i := range 36 {
			angles = append(angles, math.Cos(float64(i/4)/math.Pow(10, float64(i%4))))
		}
		cosines.Const, _ = onnx.FloatTensor(onnx.Float32, angles, 9, 4)
		causal := p.weight("causal", 1, 9, 1)
		copy(causal.Const.Data, slices.Repeat([]byte{0, 0, 0x80, 0x3f}, 9))
		x = p.Op("Mul", []*onnx.Value{x, p.Op("ReduceMax", []*onnx.Value{p.Op("Mul", []*onnx.Value{p.Op("ReduceSum", []*onnx.Value{x}, nil), causal}, nil)}, nil)}, nil)
		x = p.Op("Mul", []*onnx.Value{x, p.Op("Gather", []*onnx.Value{cosines, positions(p)}, nil)}, nil)
		ones := p.weight("norm.weight", 4)
		copy(ones.Const.Data, slices.Repeat([]byte{0, 0, 0x80, 0x3f}, 4))
		norm := func(module string, x *onnx.Value) *onnx.Value {
			return p.Node(&onnx.Node{Op: "LayerNormalization", Name: "/" + module + "/LayerNormalization", Inputs: []*onnx.Value{x, ones}}, 1)[0]
		}
		x = norm("second", norm("norm", x))
		return p.Op("Mul", []*onnx.Value{x, p.Scalar(onnx.Float32, 3)}, nil)
	}, func(p *parts) *onnx.Value { // tied, with a bias and a cap
		table := p.Graph().Nodes[0].Inputs[0]
		x := p.Op("MatMul", []*onnx.Value{p.hidden, p.Op("Transpose", []*onnx.Value{table}, onnx.Attrs{"perm": []int64{1, 0}})}, nil)
		x = p.Op("Add", []*onnx.Value{x, p.weight("head.bias", 9)}, nil)
		x = p.Op("Tanh", []*onnx.Value{p.Op("Div", []*onnx.Value{x, p.Scalar(onnx.Float32, 30)}, nil)}, nil)
		return p.Op("Mul", []*onnx.Value{x, p.Scalar(onnx.Float32, 30)}, nil)
	})
}

// Weights are told from other constants, and equal ones from shared ones.
func TestWeights(t *testing.T) {
	m, err := Open(layered(t))
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"embed.weight", "head.bias", "norm.weight", "positions.weight", "second.weight"}; !slices.Equal(m.Tensors(), want) {
		t.Errorf("weights %v, want %v", m.Tensors(), want)
	}
	if !slices.Equal(m.Kept, []string{"causal", "cos"}) {
		t.Errorf("not trained: %v", m.Kept)
	}
	if m.Head.Unembed != "embed.weight" || m.Head.Bias != "head.bias" || len(m.Head.tail) != 3 {
		t.Errorf("head %s, %s, with %d nodes behind it", m.Head.Unembed, m.Head.Bias, len(m.Head.tail))
	}
	if got := m.Body.Output("y").Shape.String(); got != "[R,4]" {
		t.Errorf("the body gives %s", got)
	}
}

// The body, the product that was cut off and what followed it give the logits of the file.
func TestPartsGiveTheLogits(t *testing.T) {
	path := layered(t)
	m, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	file, err := onnx.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	ids := onnx.IntTensor([]int64{3, 0, 8, 5, 1, 7}, 2, 3)
	want := run(t, file, "logits", map[string]*onnx.Tensor{"input_ids": ids})
	given := map[string]*onnx.Tensor{IDs: ids, Rows: onnx.IntTensor([]int64{0, 1, 2, 3, 4, 5})}
	for name, w := range m.Weights {
		given[name] = &onnx.Tensor{Type: onnx.Float32, Dims: w.Shape, Data: w.Data()}
	}
	given["y"] = run(t, m.Body, "y", given)
	head, err := onnx.Build("head", func(b *onnx.Builder) {
		y, w := b.Input("y", onnx.Float32, onnx.Dims(6, 4)...), b.Input(m.Head.Unembed, onnx.Float32, onnx.Dims(9, 4)...)
		x := b.Op("Gemm", []*onnx.Value{y, w, b.Input(m.Head.Bias, onnx.Float32, onnx.Const(9))}, onnx.Attrs{"transB": 1})
		b.Output("logits", m.Head.Tail(b, x))
	})
	if err != nil {
		t.Fatal(err)
	}
	got := run(t, head, "logits", given)
	for i := range 6 * 9 {
		a, b := float32At(want, i), float32At(got, i)
		if !(math.Abs(float64(a-b)) <= 1e-6*(1+math.Abs(float64(a)))) {
			t.Fatalf("logit %d is %v, of the file %v", i, b, a)
		}
	}
}

// run gives an output.
func run(t *testing.T, g *onnx.Graph, output string, given map[string]*onnx.Tensor) *onnx.Tensor {
	t.Helper()
	sizes := map[string]int64{"batch": 2, "tokens": 3, "N": 2, "S": 3, "R": 6}
	return graphtest.Run(t, g, sizes, given)[output]
}

// Weights that the file holds otherwise than as initializers, under names of nodes, or with one tensor for several, are found, and written back.
func TestAllWeightsAreWritten(t *testing.T) {
	held := func(p *parts, v *onnx.Value) *onnx.Value { // by a node
		n := &onnx.Node{Op: "Constant", Name: "held", Attrs: onnx.Attrs{"value": v.Const}}
		n.Outputs = []*onnx.Value{{Name: v.Name, Type: v.Type, Shape: v.Shape, Node: n}}
		p.Graph().Nodes = append(p.Graph().Nodes, n)
		return n.Outputs[0]
	}
	even := func(p *parts, name string, x float64, dims ...int64) *onnx.Value {
		v := p.weight(name, dims...)
		count, _ := v.Shape.Size().Const()
		v.Const, _ = onnx.FloatTensor(onnx.Float32, slices.Repeat([]float64{x}, int(count)), dims...)
		return v
	}
	for name, c := range map[string]struct {
		change func(p *parts) *onnx.Value
		want   []string
	}{
		"a Constant node": {func(p *parts) *onnx.Value {
			return p.Op("MatMul", []*onnx.Value{p.hidden, held(p, p.weight("proj.weight", 4, 4))}, nil)
		}, []string{"proj.weight"}},
		"an earlier node's name": {func(p *parts) *onnx.Value {
			x := p.Node(&onnx.Node{Op: "Tanh", Name: "proj", Inputs: []*onnx.Value{p.hidden}}, 1)[0]
			x.Name = "squeezed"
			return p.Op("MatMul", []*onnx.Value{x, p.weight("proj", 4, 4)}, nil)
		}, []string{"proj"}},
		"norms of nodes without names": {func(p *parts) *onnx.Value {
			x, ones := p.hidden, even(p, "ones", 1, 4)
			for range 3 {
				x = p.Op("Tanh", []*onnx.Value{p.Op("Mul", []*onnx.Value{x, ones}, nil)}, nil)
				x.Node.Name, x.Node.Inputs[0].Node.Name = "", ""
			}
			return x
		}, []string{"ones", "ones of ", "ones of  (2)"}},
		"zeros": {func(p *parts) *onnx.Value {
			return p.Op("Add", []*onnx.Value{p.hidden, p.Op("MatMul", []*onnx.Value{p.hidden, even(p, "proj.weight", 0, 4, 4)}, nil)}, nil)
		}, []string{"proj.weight"}},
	} {
		t.Run(name, func(t *testing.T) {
			m, err := Open(lm(t, c.change, nil))
			if err != nil {
				t.Fatal(err)
			}
			dir, sevens := t.TempDir(), map[string][]byte{}
			for _, name := range m.Tensors() {
				sevens[name] = bytes.Repeat([]byte{0, 0, 0xe0, 0x40}, len(m.Weights[name].Data())/4)
			}
			if err := m.Write(dir, func(tensor string) []byte { return sevens[tensor] }); err != nil {
				t.Fatal(err)
			}
			g, err := onnx.Load(filepath.Join(dir, "model.onnx"))
			if err != nil {
				t.Fatal(err)
			}
			found := map[string][]byte{}
			for _, v := range g.Constants() {
				found[v.Name] = v.Const.Data
			}
			for _, name := range append(c.want, "embed.weight", "head.weight") {
				if m.Weights[name].Shape == nil || !bytes.Equal(found[name], sevens[name]) {
					t.Errorf("weight %s of %v is not written", name, m.Tensors())
				}
			}
		})
	}
}

// A bias that keeps tokens from being said is a part of the head, not a mask.
func TestBiasThatHides(t *testing.T) {
	m, err := Open(lm(t, nil, func(p *parts) *onnx.Value {
		bias := p.weight("head.bias", 9)
		copy(bias.Const.Data[4*8:], []byte{0x28, 0x6b, 0x6e, 0xce}) // −1e9
		return p.Op("Add", []*onnx.Value{p.Op("MatMul", []*onnx.Value{p.hidden, p.weight("head.weight", 4, 9)}, nil), bias}, nil)
	}))
	if err != nil || m.Head.Bias != "head.bias" {
		t.Errorf("head %+v: %v", m.Head, err)
	}
}

// Large weights are written beside the file, which opens again with them; what is read in a second time is not changed by that.
func TestWriteBeside(t *testing.T) {
	m, err := Open(layered(t))
	if err != nil {
		t.Fatal(err)
	}
	changed := map[string][]byte{}
	for name, w := range m.Weights {
		changed[name] = slices.Clone(w.Data())
		changed[name][1] ^= 1
	}
	dir := t.TempDir()
	if err := m.write(dir, func(tensor string) []byte { return changed[tensor] }, 10); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"model.onnx", "model.onnx.data"} {
		if _, err := os.Stat(filepath.Join(dir, want)); err != nil {
			t.Error(err)
		}
	}
	again, err := Open(filepath.Join(dir, "model.onnx"))
	if err != nil {
		t.Fatal(err)
	}
	for name, data := range changed {
		if got := again.Weights[name]; string(got.Data()) != string(data) || !slices.Equal(got.Shape, m.Weights[name].Shape) {
			t.Errorf("weight %s %v is not as it was written", name, got.Shape)
		}
	}
	if err := m.Write(dir, func(tensor string) []byte { return changed[tensor][:4] }); err == nil || !strings.Contains(err.Error(), "has 4 bytes") {
		t.Errorf("weights of a wrong size: %v", err)
	}
}
