package optim

import (
	"github.com/dpo-ort/dpo-ort/internal/settings"
	"github.com/dpo-ort/dpo-ort/runtime/onnx"
)

// Lion:
//
//	u = sign(β₁ m + (1 − β₁) g)
//	p ← p (1 − lr·λ) − lr · u
//	m ← β₂ m + (1 − β₂) g
//
// Every parameter moves by lr, so the rate is three to ten times lower than AdamW's.
func init() {
	register(Kind{
		Name:   "lion",
		Source: "Chen et al. 2023 (arXiv 2302.06675), Algorithm 2, as lion-pytorch's Lion",
		Settings: []settings.Setting{
			// With a beta1 of 0 the state could not be had from what the update reads.
			{Name: "beta1", Default: "0.9", Range: settings.Above(0).Below(1), About: "decay of the mean of gradients in the update"},
			{Name: "beta2", Default: "0.99", Range: settings.AtLeast(0).Below(1), About: "decay of the mean that is kept"},
		},
		make: func(v settings.Resolved) Optimizer {
			r := lion{v.Number("beta1"), v.Number("beta2")}
			return Optimizer{Rules: []*Rule{{States: likeP("m"), scalars: []string{"lr"}, update: r.update}},
				own: func(s Step) map[string]float64 { return map[string]float64{"lr": s.Rate} }}
		},
	})
}

type lion struct{ beta1, beta2 float64 }

// update makes β₂ m from β₁ m: m is overwritten, so one node alone may read it.
func (r lion) update(f formula, in map[string]*onnx.Value) []*onnx.Value {
	g, faded := f.mul(in["g"], in["scale"]), f.times(r.beta1, in["m"])
	u := f.op("Sign", f.add(faded, f.times(1-r.beta1, g)))
	m := f.add(f.times(r.beta2/r.beta1, faded), f.times(1-r.beta2, g))
	return []*onnx.Value{f.sub(f.mul(in["p"], f.keep(in["lr"], in["weight_decay"])), f.mul(u, in["lr"])), m}
}
