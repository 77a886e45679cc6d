package onnx

import "slices"

// Normalisations, attention and other operators of neural networks.
func init() {
	register(1, normalize, "LayerNormalization", "SimplifiedLayerNormalization", "RMSNormalization")
	register(2, skipNormalize, Microsoft+":SkipSimplifiedLayerNormalization", Microsoft+":SkipLayerNormalization")
	register(1, dropout, "Dropout")
	register(7, cachedAttention, Microsoft+":GroupQueryAttention")
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

// cachedAttention gives its queries' shape, and its caches'.
func cachedAttention(n *Node, _ int64) error {
	for i, o := range n.Outputs {
		from := n.Inputs[0]
		if i > 0 {
			from = n.Inputs[2+i] // past_key and past_value
		}
		if from != nil {
			o.Type, o.Shape = from.Type, slices.Clone(from.Shape)
		}
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
