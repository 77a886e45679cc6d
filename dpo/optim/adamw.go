package optim

import (
	"math"

	"github.com/dpo-ort/dpo-ort/runtime/onnx"
)

// AdamW, Loshchilov and Hutter 2019 (arXiv 1711.05101), Algorithm 2, as torch.optim.AdamW has it: with gradient g and t from 1,
//
//	m ← β₁ m + (1 − β₁) g
//	v ← β₂ v + (1 − β₂) g²
//	p ← p (1 − lr·λ) − lr · m/(1 − β₁ᵗ) / (√(v/(1 − β₂ᵗ)) + ε)
//
// The corrections move out of the vectors: the last term is step_size · m / (√v + eps) with
// step_size = lr √(1 − β₂ᵗ) / (1 − β₁ᵗ) and eps = ε √(1 − β₂ᵗ).
const (
	adamBeta1 = 0.9
	adamBeta2 = 0.999
	adamEps   = 1e-8
)

func init() {
	register(Optimizer{
		Name: "adamw", States: []string{"m", "v"},
		own: func(s Step) map[string]float64 {
			t := float64(s.Index + 1)
			root := math.Sqrt(1 - math.Pow(adamBeta2, t))
			return map[string]float64{"lr": s.Rate, "step_size": s.Rate * root / (1 - math.Pow(adamBeta1, t)), "eps": adamEps * root}
		},
		update: func(f formula, in map[string]*onnx.Value) []*onnx.Value {
			p, g, scale := in["p"], in["g"], in["scale"]
			m := f.add(f.times(adamBeta1, in["m"]), f.mul(g, f.times(1-adamBeta1, scale)))
			v := f.add(f.times(adamBeta2, in["v"]), f.mul(f.mul(g, g), f.times(1-adamBeta2, f.mul(scale, scale))))
			keep := f.sub(f.Scalar(f.t, 1), f.mul(in["lr"], in["weight_decay"]))
			change := f.mul(f.div(m, f.add(f.sqrt(v), in["eps"])), in["step_size"])
			return []*onnx.Value{f.sub(f.mul(p, keep), change), m, v}
		},
	})
}
