package models

import (
	"math"

	"github.com/dpo-ort/dpo-ort/runtime/onnx"
)

// activations are an MLP's, by transformers' names: Hendrycks and Gimpel's GELU (arXiv 1606.08415), x·Φ(x), its approximation by a
// tanh, and SiLU, x·σ(x). The fused operators have no float64 kernels.
var activations = map[string]func(n *net, x *onnx.Value) *onnx.Value{
	"silu":              (*net).silu,
	"gelu":              func(n *net, x *onnx.Value) *onnx.Value { return n.gelu(x, "none") },
	"gelu_new":          func(n *net, x *onnx.Value) *onnx.Value { return n.gelu(x, "tanh") },
	"gelu_pytorch_tanh": func(n *net, x *onnx.Value) *onnx.Value { return n.gelu(x, "tanh") },
}

// silu is x·σ(x).
func (n *net) silu(x *onnx.Value) *onnx.Value {
	if n.types.Compute == onnx.Float64 {
		return n.mul(x, n.Op("Sigmoid", n.of(x), nil))
	}
	return n.Node(&onnx.Node{Op: "QuickGelu", Domain: onnx.Microsoft, Inputs: n.of(x), Attrs: onnx.Attrs{"alpha": 1.0}}, 1)[0]
}

// gelu is x·(1 + erf(x/√2))/2, or with the approximation tanh x·(1 + tanh(√(2/π)·(x + 0.044715·x³)))/2.
func (n *net) gelu(x *onnx.Value, approximate string) *onnx.Value {
	if n.types.Compute != onnx.Float64 {
		return n.Op("Gelu", n.of(x), onnx.Attrs{"approximate": approximate})
	}
	var y *onnx.Value
	if approximate == "tanh" {
		cube := n.mul(x, n.mul(x, x))
		y = n.Op("Tanh", n.of(n.times(n.add(x, n.times(cube, 0.044715)), math.Sqrt(2/math.Pi))), nil)
	} else {
		y = n.erf(n.times(x, math.Sqrt(0.5)))
	}
	return n.mul(n.times(x, 0.5), n.add(y, n.Scalar(y.Type, 1)))
}

// capped is c·tanh(x/c), which keeps x within ±c (Gemma Team 2024, arXiv 2408.00118, Section 2).
func (n *net) capped(x *onnx.Value, c float64) *onnx.Value {
	if c == 0 {
		return x
	}
	return n.times(n.Op("Tanh", n.of(n.Op("Div", n.of(x, n.Scalar(x.Type, c)), nil)), nil), c)
}

func (n *net) times(x *onnx.Value, by float64) *onnx.Value { return n.mul(x, n.Scalar(x.Type, by)) }

// What erf is computed with: beyond erfEnd it is ±1 in float64, and within it the rule's error is below 1e-15.
const (
	erfEnd   = 6.0
	erfNodes = 36
)

// erf is 2/√π·∫ exp(−t²) dt from 0 to x, in float64, which has no kernel: x·2/√π·Σ wᵢ·exp(−x²·sᵢ²) by the Gauss–Legendre rule on [0,1].
func (n *net) erf(x *onnx.Value) *onnx.Value {
	x = n.Op("Clip", n.of(x, n.Scalar(x.Type, -erfEnd), n.Scalar(x.Type, erfEnd)), nil)
	at, weights := gaussLegendre(erfNodes)
	for i := range at {
		at[i], weights[i] = -at[i]*at[i], weights[i]*2/math.Sqrt(math.Pi)
	}
	squares := n.Op("Unsqueeze", n.of(n.mul(x, x), n.Ints(-1)), nil)
	heights := n.Op("Exp", n.of(n.mul(squares, n.vector(at))), nil)
	sum := n.Op("ReduceSum", n.of(n.mul(heights, n.vector(weights)), n.Ints(-1)), onnx.Attrs{"keepdims": 0})
	return n.mul(x, sum)
}

// vector is a constant of float64 numbers.
func (n *net) vector(values []float64) *onnx.Value {
	t, err := onnx.FloatTensor(onnx.Float64, values)
	if err != nil {
		n.Fail("%w", err)
	}
	t.Dims = []int64{int64(len(values))}
	return n.Constant(t)
}

// gaussLegendre gives the nodes and weights of Gauss's rule of so many points on [0,1]: the roots of a Legendre polynomial, found by
// Newton's method, and what integrates polynomials through them.
func gaussLegendre(points int) (at, weights []float64) {
	for i := range points {
		x, slope := math.Cos(math.Pi*(float64(i)+0.75)/(float64(points)+0.5)), 0.0
		for range 10 {
			last, p := 1.0, x
			for k := 2; k <= points; k++ {
				last, p = p, (float64(2*k-1)*x*p-float64(k-1)*last)/float64(k)
			}
			slope = float64(points) * (x*p - last) / (x*x - 1)
			x -= p / slope
		}
		at, weights = append(at, (1+x)/2), append(weights, 1/((1-x*x)*slope*slope))
	}
	return at, weights
}
