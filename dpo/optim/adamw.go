package optim

import (
	"math"

	"github.com/dpo-ort/dpo-ort/internal/settings"
	"github.com/dpo-ort/dpo-ort/runtime/onnx"
)

// AdamW, with gradient g and t from 1:
//
//	m ← β₁ m + (1 − β₁) g
//	v ← β₂ v + (1 − β₂) g²
//	p ← p (1 − lr·λ) − lr · m/(1 − β₁ᵗ) / (√(v/(1 − β₂ᵗ)) + ε)
func init() {
	register(Kind{
		Name:   "adamw",
		Source: "Loshchilov and Hutter 2019 (arXiv 1711.05101), Algorithm 2, as torch.optim.AdamW",
		Settings: []settings.Setting{
			{Name: "beta1", Default: "0.9", Range: settings.AtLeast(0).Below(1), About: "decay of the mean of gradients"},
			{Name: "beta2", Default: "0.999", Range: settings.AtLeast(0).Below(1), About: "decay of the mean of their squares"},
			{Name: "eps", Default: "1e-8", Range: settings.AtLeast(0), About: "added to the root of that mean"},
		},
		make: func(v settings.Resolved) Optimizer {
			a := adam{v.Number("beta1"), v.Number("beta2"), v.Number("eps")}
			return Optimizer{Rules: []*Rule{a.rule()}, own: func(s Step) map[string]float64 { return a.own(s.Index, s.Rate) }}
		},
	})
}

// adam are the settings of AdamW.
type adam struct{ beta1, beta2, eps float64 }

// own moves the corrections out of the vectors: the last term is step_size · m / (√v + eps) with
// step_size = lr √(1 − β₂ᵗ) / (1 − β₁ᵗ) and eps = ε √(1 − β₂ᵗ).
func (a adam) own(index int, rate float64) map[string]float64 {
	t := float64(index + 1)
	root := math.Sqrt(1 - math.Pow(a.beta2, t))
	return map[string]float64{"lr": rate, "step_size": rate * root / (1 - math.Pow(a.beta1, t)), "eps": a.eps * root}
}

func (a adam) rule() *Rule {
	return &Rule{
		States: likeP("m", "v"), scalars: []string{"eps", "lr", "step_size"},
		update: func(f formula, in map[string]*onnx.Value) []*onnx.Value {
			p, g, scale := in["p"], in["g"], in["scale"]
			m := f.add(f.times(a.beta1, in["m"]), f.mul(g, f.times(1-a.beta1, scale)))
			v := f.add(f.times(a.beta2, in["v"]), f.mul(f.mul(g, g), f.times(1-a.beta2, f.mul(scale, scale))))
			keep := f.keep(in["lr"], in["weight_decay"])
			change := f.mul(f.div(m, f.add(f.sqrt(v), in["eps"])), in["step_size"])
			return []*onnx.Value{f.sub(f.mul(p, keep), change), m, v}
		},
	}
}
