package optim

import (
	"github.com/dpo-ort/dpo-ort/internal/settings"
	"github.com/dpo-ort/dpo-ort/runtime/onnx"
)

// SGD with momentum:
//
//	g ← g + λ p
//	m ← μ m + g
//	p ← p − lr · m           (Nesterov: p − lr · (g + μ m))
//
// PyTorch begins with m = g, which is what m = 0 before the first step comes to. Without momentum there is no state.
func init() {
	register(Kind{
		Name:   "sgd",
		Source: "Sutskever et al. 2013, as torch.optim.SGD without dampening",
		Settings: []settings.Setting{
			{Name: "momentum", Default: "0.9", Range: settings.AtLeast(0).Below(1), About: "decay of the sum of gradients (PyTorch's default is 0); 0 keeps none"},
			{Name: "nesterov", Default: "false", Words: settings.YesNo, About: "look one step ahead"},
		},
		make: func(v settings.Resolved) Optimizer {
			r := sgd{v.Number("momentum"), v.Yes("nesterov")}
			states := likeP("m")
			if r.momentum == 0 {
				states = nil
			}
			return Optimizer{Rules: []*Rule{{States: states, scalars: []string{"lr"}, update: r.update}},
				own: func(s Step) map[string]float64 { return map[string]float64{"lr": s.Rate} }}
		},
	})
}

type sgd struct {
	momentum float64
	nesterov bool
}

func (r sgd) update(f formula, in map[string]*onnx.Value) []*onnx.Value {
	if r.momentum == 0 {
		return []*onnx.Value{f.sub(in["p"], f.mul(f.decayed(in), in["lr"]))}
	}
	m := f.times(r.momentum, in["m"])
	g := f.decayed(in)
	m = f.add(m, g)
	change := m
	if r.nesterov {
		change = f.add(g, f.times(r.momentum, m))
	}
	return []*onnx.Value{f.sub(in["p"], f.mul(change, in["lr"])), m}
}
