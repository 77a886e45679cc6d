package optim

import (
	"github.com/dpo-ort/dpo-ort/internal/settings"
	"github.com/dpo-ort/dpo-ort/runtime/onnx"
)

// RMSprop:
//
//	g ← g + λ p
//	v ← α v + (1 − α) g²
//	p ← p − lr · g / (√v + ε)
//
// With a momentum μ above 0, b ← μ b + g / (√v + ε) takes the place of the last fraction.
func init() {
	register(Kind{
		Name:   "rmsprop",
		Source: "Tieleman and Hinton 2012 (Coursera, Lecture 6.5), as torch.optim.RMSprop without centring",
		Settings: []settings.Setting{
			{Name: "alpha", Default: "0.99", Range: settings.AtLeast(0).Below(1), About: "decay of the mean of squares"},
			{Name: "eps", Default: "1e-8", Range: settings.AtLeast(0), About: "added to the root of that mean"},
			{Name: "momentum", Default: "0", Range: settings.AtLeast(0).Below(1), About: "decay of the sum of steps; 0 keeps none"},
		},
		make: func(v settings.Resolved) Optimizer {
			r := rmsprop{v.Number("alpha"), v.Number("eps"), v.Number("momentum")}
			states := likeP("v")
			if r.momentum > 0 {
				states = likeP("v", "b")
			}
			return Optimizer{Rules: []*Rule{{States: states, scalars: []string{"lr"}, update: r.update}},
				own: func(s Step) map[string]float64 { return map[string]float64{"lr": s.Rate} }}
		},
	})
}

type rmsprop struct{ alpha, eps, momentum float64 }

func (r rmsprop) update(f formula, in map[string]*onnx.Value) []*onnx.Value {
	g := f.decayed(in)
	v := f.add(f.times(r.alpha, in["v"]), f.times(1-r.alpha, f.mul(g, g)))
	change := f.div(g, f.add(f.sqrt(v), f.Scalar(f.t, r.eps)))
	if r.momentum == 0 {
		return []*onnx.Value{f.sub(in["p"], f.mul(change, in["lr"])), v}
	}
	b := f.add(f.times(r.momentum, in["b"]), change)
	return []*onnx.Value{f.sub(in["p"], f.mul(b, in["lr"])), v, b}
}
