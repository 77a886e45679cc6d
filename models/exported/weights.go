package exported

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"slices"

	"github.com/dpo-ort/dpo-ort/runtime/onnx"
)

// use is a constant of the rewritten graph that is a weight, with the first node that reads it.
type use struct {
	value *onnx.Value
	by    *onnx.Node
	input int
}

// carries are the operators that move the elements of a weight and compute nothing.
var carries = map[string]bool{"Transpose": true, "Unsqueeze": true, "Squeeze": true, "Reshape": true, "Flatten": true, "Slice": true, "Split": true, "Expand": true, "Cast": true}

// findWeights tells weights from other constants: a weight is what token ids or positions pick rows of, and what meets what was computed
// from such rows. Tables of cosines and sines, and masks, which meet them too, are known by their numbers; the embedding and the head,
// its bias too, are weights whatever theirs. kept are the others' names; positions are the rows of a table that positions pick from, 0 for none.
func findWeights(g *onnx.Graph, c *cut) (weights []use, kept []string, positions int) {
	stream := map[*onnx.Value]bool{} // computed from rows of a weight
	ids := map[*onnx.Value]bool{g.Input(c.ids): true}
	moved := map[*onnx.Value]*onnx.Value{} // what only moved, to the constant
	seen := map[*onnx.Value]bool{}
	meet := func(v *onnx.Value, by *onnx.Node, input int, sure bool) {
		if root := moved[v]; root != nil {
			v = root
		}
		if v.Const == nil || !v.Type.IsFloat() || v.Const.Count() < 2 || seen[v] {
			return
		}
		if seen[v] = true; !sure && (table(v.Const) || masks(v.Const)) {
			kept = append(kept, v.Name)
			return
		}
		weights = append(weights, use{v, by, input})
	}
	for _, n := range g.Nodes {
		x := n.Input(0)
		switch {
		case n.Op == "Gather" && isMatrix(x, moved) && n.Inputs[1].Const == nil:
			meet(x, n, 0, ids[n.Inputs[1]])
			stream[n.Outputs[0]] = true
			if rows, fixed := x.Shape[0].Const(); fixed && !ids[n.Inputs[1]] {
				positions = int(rows)
			}
		case slices.ContainsFunc(n.Inputs, func(v *onnx.Value) bool { return stream[v] }):
			for i, v := range n.Inputs {
				if v != nil && !stream[v] {
					meet(v, n, i, n == c.last || v == c.bias)
				}
			}
			for _, v := range n.Outputs {
				stream[v] = v.Type.IsFloat()
			}
		case carries[n.Op] && ids[x]:
			ids[n.Outputs[0]] = true
		case carries[n.Op] && x != nil && (x.Const != nil || moved[x] != nil):
			for _, v := range n.Outputs {
				if moved[v] = x; moved[x] != nil {
					moved[v] = moved[x]
				}
			}
		}
	}
	return weights, kept, positions
}

func isMatrix(v *onnx.Value, moved map[*onnx.Value]*onnx.Value) bool {
	if root := moved[v]; root != nil {
		v = root
	}
	return v != nil && v.Const != nil && v.Type.IsFloat() && len(v.Shape) == 2
}

// table reports cosines and sines by position p, cos(pθ) or sin(pθ) in each column: 1 or 0 at position 0, and at position 2 what doubling
// the angle of position 1 gives. Where no column changes it is none: a matrix that begins with zeros is to be trained.
func table(t *onnx.Tensor) bool {
	if len(t.Dims) < 2 || t.Type != onnx.Float32 {
		return false
	}
	width := int(t.Dims[len(t.Dims)-1])
	if t.Count() < 3*int64(width) {
		return false
	}
	turns := false
	for i := range width {
		at0, at1, at2 := float64(float32At(t, i)), float64(float32At(t, width+i)), float64(float32At(t, 2*width+i))
		doubled := 2*at1*at1 - 1
		if at0 == 0 {
			doubled = 2 * at1 * math.Sqrt(1-at1*at1)
		}
		if at0 != 0 && at0 != 1 || !(math.Abs(at2-doubled) < 1e-4) {
			return false
		}
		turns = turns || at1 != at0
	}
	return turns
}

// masks reports numbers that hide scores: some are very negative, or, of more dimensions than a weight has, all are 0 or 1.
func masks(t *onnx.Tensor) bool {
	const large = 1e4
	if t.Type != onnx.Float32 {
		return false
	}
	bits := len(t.Dims) > 2
	for i := range int(t.Count()) {
		x := float32At(t, i)
		if !(x > -large) {
			return true
		}
		bits = bits && (x == 0 || x == 1)
	}
	return bits
}

func float32At(t *onnx.Tensor, i int) float32 {
	return math.Float32frombits(binary.LittleEndian.Uint32(t.Data[4*i:]))
}

// build makes the weights inputs, and the graph that of the body.
func (m *Model) build(g *onnx.Graph, c *cut, uses []use) error {
	places, own := map[*onnx.Value]string{}, map[string]bool{}
	for _, u := range uses {
		own[u.value.Name] = true
	}
	for _, u := range uses {
		if u.value.Type != onnx.Float32 {
			return fmt.Errorf("weight %s is %s: a model is trained in float32; export it so", u.value.Name, u.value.Type)
		}
		name, transposed := m.called(u, c, own)
		places[u.value] = name
		if err := m.addWeight(name, u.value, transposed); err != nil {
			return err
		}
	}
	if places[c.unembed] == "" {
		return noHead("of hidden states that no token id leads to", c.last.Outputs[0])
	}
	m.Head = Head{Unembed: places[c.unembed], tail: c.tail}
	if c.bias != nil {
		m.Head.Bias = places[c.bias]
	}
	m.Vocab, m.Hidden = int(m.Weights[m.Head.Unembed].Shape[0]), int(m.Weights[m.Head.Unembed].Shape[1])
	if err := m.checkSizes(g, c.hidden); err != nil {
		return err
	}
	return m.body(g, c, places)
}

// checkSizes refuses a graph that holds for the sizes of the example alone that it was exported with, as an exporter that traces a model
// writes them down: where a size is not known, or tensors are reshaped to another number of elements than they have for any N and S; and
// hidden states that are not a row for each token of each sequence, in their order.
func (m *Model) checkSizes(g *onnx.Graph, hidden *onnx.Value) error {
	const again = "export again with both axes dynamic, by torch.onnx.export(..., dynamo=True)"
	for _, n := range onnx.Ancestors(g.Nodes, []*onnx.Value{hidden}) {
		from, to := n.Input(0), n.Outputs[0]
		switch {
		case to.Type.IsFloat() && (to.Shape == nil || slices.ContainsFunc(to.Shape, onnx.Dim.Unknown)):
			return fmt.Errorf("the sizes of %s are not known (node %s), for N sequences of S tokens they are %s: %s", to.Name, n.Name, to.Shape, again)
		case n.Op == "Reshape" && from.Shape != nil && to.Shape != nil && !from.Shape.Size().Equal(to.Shape.Size()):
			return fmt.Errorf("it was exported for the sizes of an example alone: node %s makes %s of %s, for N sequences of S tokens; %s", n.Name, to.Shape, from.Shape, again)
		}
	}
	N, S, D := onnx.Sym("N"), onnx.Sym("S"), onnx.Const(int64(m.Hidden))
	if hidden.Shape.Equal(onnx.Shape{N, S, D}) || hidden.Shape.Equal(onnx.Shape{N.Mul(S), D}) {
		return nil
	}
	return fmt.Errorf("its hidden states %s have the shape %s for N sequences of S tokens, [N,S,%d] is needed: %s", hidden.Name, hidden.Shape, m.Hidden, again)
}

// called is the tensor that a constant is, and whether it holds it transposed: by its own name, or, where the exporter made that up, by its module's,
// in which PyTorch has the factor of a product as [out,in]. own are the names of all constants.
func (m *Model) called(u use, c *cut, own map[string]bool) (name string, transposed bool) {
	name, transposed = u.value.Name, u.value == c.unembed && c.transposed
	if found := scoped(u.by, u.input); anonymous(name) && found != "" && !own[found] && m.Weights[found].from == nil {
		name = found
		factor := u.input == 1 && len(u.value.Shape) == 2
		transposed = transposed || factor && (u.by.Op == "MatMul" || u.by.Op == "Gemm" && u.by.Int("transB", 0) == 0)
	}
	if u.value == c.unembed {
		if tied := m.tied(u.value.Const, transposed); tied != "" {
			name = tied
		}
	}
	return name, transposed
}

// tied is the tensor that the head shares with the embedding: the one whose numbers are the same.
func (m *Model) tied(unembed *onnx.Tensor, transposed bool) string {
	data := unembed.Data
	if transposed {
		data = turned(data, unembed.Dims[0], unembed.Dims[1])
	}
	for _, name := range m.Tensors() {
		if w := m.Weights[name]; w.size() == len(data) && len(w.Shape) == 2 && bytes.Equal(w.Data(), data) {
			return name
		}
	}
	return ""
}

// addWeight notes a constant as a weight, or as another copy of one.
func (m *Model) addWeight(name string, v *onnx.Value, transposed bool) error {
	if w, there := m.Weights[name]; there {
		w.constants[v.Name] = transposed
		return nil
	}
	t := v.Const
	w := Weight{Shape: slices.Clone(t.Dims), constants: map[string]bool{v.Name: transposed}, from: t, turned: transposed}
	if transposed {
		w.Shape = []int64{t.Dims[1], t.Dims[0]}
	}
	for i := range int(t.Count()) {
		if x := float32At(t, i); x-x != 0 {
			return fmt.Errorf("weight %s holds %v at element %d", name, x, i)
		}
	}
	m.Weights[name] = w
	return nil
}

// turned is a matrix of float32 [rows,columns] transposed.
func turned(data []byte, rows, columns int64) []byte {
	out := make([]byte, len(data))
	for i := range rows {
		for j := range columns {
			copy(out[4*(j*rows+i):], data[4*(i*columns+j):][:4])
		}
	}
	return out
}
