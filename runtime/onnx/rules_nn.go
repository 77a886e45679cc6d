package onnx

import (
	"errors"
	"fmt"
	"slices"
)

// Normalisations, attention and other operators of neural networks.
func init() {
	register(1, normalize, "LayerNormalization", "SimplifiedLayerNormalization", "RMSNormalization")
	register(2, skipNormalize, Microsoft+":SkipSimplifiedLayerNormalization", Microsoft+":SkipLayerNormalization")
	register(1, dropout, "Dropout")
	register(3, quantizedProduct, Microsoft+":MatMulNBits")
	register(3, quantizedRows, Microsoft+":GatherBlockQuantized")
	register(3, cachedAttention, Microsoft+":GroupQueryAttention")
	register(1, sameAsFirst, "RotaryEmbedding", "BatchNormalization", "InstanceNormalization", "GroupNormalization", "LpNormalization",
		"MeanVarianceNormalization", "LeakyRelu", "Elu", "Selu", "Celu", "HardSigmoid", "HardSwish", "Mish", "Softsign",
		"ThresholdedRelu", "Shrink", Microsoft+":Gelu", Microsoft+":FastGelu", Microsoft+":BiasGelu")
}

// normalize gives its input's shape, and the statistics with the normalised axes 1.
func normalize(n *Node, _ int64) error {
	x := n.Inputs[0]
	at := len(x.Shape)
	if x.Shape != nil {
		k, err := axis(n.Int("axis", -1), len(x.Shape))
		if err != nil {
			return err
		}
		at = k
	}
	for i, o := range n.Outputs {
		o.Type, o.Shape = x.Type, slices.Clone(x.Shape)
		if i > 0 {
			o.Type = DType(n.Int("stash_type", int64(Float32)))
			for k := at; k < len(o.Shape); k++ {
				o.Shape[k] = Const(1)
			}
		}
	}
	return nil
}

// skipNormalize adds before it normalises; its last output is the sum.
func skipNormalize(n *Node, _ int64) error {
	x := n.Inputs[0]
	for i, o := range n.Outputs {
		o.Type, o.Shape = x.Type, slices.Clone(x.Shape)
		if (i == 1 || i == 2) && len(o.Shape) > 0 {
			o.Type = Float32
			o.Shape[len(o.Shape)-1] = Const(1)
		}
	}
	return nil
}

// cachedAttention gives its queries' shape, and its caches': where there are none, those of its own keys and values [N,S,KV·d], by head.
func cachedAttention(n *Node, _ int64) error {
	q := n.Inputs[0]
	n.Outputs[0].Type, n.Outputs[0].Shape = q.Type, slices.Clone(q.Shape)
	for i, o := range n.Outputs[1:min(len(n.Outputs), 3)] {
		if past := n.Input(3 + i); past != nil {
			o.Type, o.Shape = past.Type, slices.Clone(past.Shape)
			continue
		}
		own, heads := n.Inputs[1+i], n.Int("kv_num_heads", 0)
		if o.Type = own.Type; len(own.Shape) != 3 || heads < 1 {
			continue
		}
		size, ok := own.Shape[2].Div(Const(heads))
		if !ok {
			return fmt.Errorf("keys of %s entries for %d heads", own.Shape[2], heads)
		}
		o.Shape = Shape{own.Shape[0], Const(heads), own.Shape[1], size}
	}
	return nil
}

// quantizedProduct is x [.., K] times the transpose of a matrix [N,K] of few bits.
func quantizedProduct(n *Node, _ int64) error {
	x, out := n.Inputs[0], n.Outputs[0]
	columns, rows := n.Int("K", 0), n.Int("N", 0)
	if columns < 1 || rows < 1 {
		return fmt.Errorf("the matrix's sizes are needed: K is %d and N is %d", columns, rows)
	}
	out.Type = x.Type
	if x.Shape == nil {
		return nil
	}
	if len(x.Shape) == 0 {
		return errors.New("a scalar has no columns")
	}
	last := len(x.Shape) - 1
	if c, fixed := x.Shape[last].Const(); fixed && c != columns {
		return fmt.Errorf("%d columns times %d", c, columns)
	}
	out.Shape = slices.Clone(x.Shape)
	out.Shape[last] = Const(rows)
	return nil
}

// quantizedRows gives the rows of a matrix, as numbers of the scales' type: 8/bits of its elements lie in a byte.
func quantizedRows(n *Node, opset int64) error {
	data, out := n.Inputs[0], n.Outputs[0]
	if n.Int("gather_axis", 0) != 0 || data.Type != Uint8 {
		return errors.New("rows of bytes are supported alone")
	}
	bits := n.Int("bits", 4)
	if bits != 4 && bits != 8 {
		return fmt.Errorf("bits is %d: 4 and 8 are supported", bits)
	}
	if err := gather(n, opset); err != nil {
		return err
	}
	out.Type = n.Inputs[2].Type
	if len(out.Shape) > 0 {
		last := len(out.Shape) - 1
		out.Shape = slices.Clone(out.Shape)
		out.Shape[last] = out.Shape[last].Mul(Const(8 / bits))
	}
	return nil
}

func dropout(n *Node, _ int64) error {
	for i, o := range n.Outputs {
		o.Type, o.Shape = n.Inputs[0].Type, n.Inputs[0].Shape
		if i == 1 {
			o.Type = Bool
		}
	}
	return nil
}
