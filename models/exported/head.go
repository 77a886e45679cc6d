package exported

import (
	"fmt"
	"slices"

	"github.com/dpo-ort/dpo-ort/runtime/onnx"
)

// cut is where the head begins: the hidden states that it reads, its weight, which may be transposed [D,V], and what follows.
type cut struct {
	hidden, unembed, bias *onnx.Value
	transposed            bool
	tail                  []*onnx.Node
	last                  *onnx.Node // the product
	ids                   string     // the input of token ids
}

// elementwise operators may follow the last product: they compute number by number, so pieces of the vocabulary know no others.
var elementwise = map[string]bool{"Mul": true, "Div": true, "Add": true, "Sub": true, "Tanh": true, "Neg": true, "Identity": true}

// cutHead goes back from the logits to the product that makes them.
func cutHead(g *onnx.Graph, ids string) (*cut, error) {
	c := &cut{ids: ids}
	at := g.Outputs[0]
	for n := at.Node; ; n = at.Node {
		switch {
		case n == nil:
			return nil, noHead("an input or a constant", at)
		case n.Op == "MatMul" || n.Op == "Gemm":
			return c, c.product(n)
		case n.Op == "Reshape":
			at = n.Inputs[0]
		case n.Op == "Add" && c.biased(n):
			at = c.other(n, c.bias)
		case elementwise[n.Op]:
			of := number(n)
			if of < 0 || c.bias != nil {
				return nil, noHead("made by "+operator(n)+" of two tensors, or before the bias", at)
			}
			c.tail, at = append(c.tail, n), n.Inputs[of]
		default:
			return nil, noHead("made by "+operator(n)+" (node "+n.Name+")", at)
		}
	}
}

func noHead(how string, at *onnx.Value) error {
	return fmt.Errorf("its logits are not the product of hidden states with a weight: %s is %s", at.Name, how)
}

// number is which input of an elementwise node is a tensor, where the others are single numbers; −1 where there is none such.
func number(n *onnx.Node) int {
	of := -1
	for i, v := range n.Inputs {
		switch {
		case v.Const != nil && v.Const.Count() == 1:
		case of >= 0:
			return -1
		default:
			of = i
		}
	}
	return of
}

// biased notes the bias that a node adds, a vector.
func (c *cut) biased(n *onnx.Node) bool {
	for _, v := range n.Inputs {
		if v.Const != nil && len(v.Shape) == 1 && v.Const.Count() > 1 && c.bias == nil {
			c.bias = v
			return true
		}
	}
	return false
}

func (c *cut) other(n *onnx.Node, than *onnx.Value) *onnx.Value {
	return n.Inputs[slices.IndexFunc(n.Inputs, func(v *onnx.Value) bool { return v != than })]
}

func (c *cut) product(n *onnx.Node) error {
	c.last, c.hidden, c.unembed, c.transposed = n, n.Inputs[0], n.Inputs[1], true
	if n.Op == "Gemm" {
		if n.Int("transA", 0) != 0 || n.Float("alpha", 1) != 1 || n.Float("beta", 1) != 1 {
			return noHead("a Gemm of a transposed or scaled factor", n.Outputs[0])
		}
		c.transposed = n.Int("transB", 0) == 0
		if b := n.Input(2); b != nil {
			if b.Const == nil || len(b.Shape) != 1 || b.Const.Count() < 2 || c.bias != nil {
				return noHead("a Gemm with a bias that is computed, is no vector or has another behind it", n.Outputs[0])
			}
			c.bias = b
		}
	}
	if from := c.unembed.Node; from != nil && from.Op == "Transpose" && len(c.unembed.Shape) == 2 {
		c.unembed, c.transposed = from.Inputs[0], !c.transposed
	}
	if c.unembed.Const == nil || len(c.unembed.Shape) != 2 {
		return noHead("a product of two tensors that are computed", n.Outputs[0])
	}
	return nil
}

// Tail applies to logits, or to any columns of them, what follows the last product.
func (h Head) Tail(b *onnx.Builder, x *onnx.Value) *onnx.Value {
	for _, n := range slices.Backward(h.tail) {
		inputs := slices.Clone(n.Inputs)
		for i, v := range inputs {
			if v.Const != nil {
				inputs[i] = b.Constant(v.Const)
			}
		}
		inputs[number(n)] = x
		x = b.Op(n.Op, inputs, nil)
	}
	return x
}
