package optim

import "github.com/dpo-ort/dpo-ort/runtime/onnx"

// SGD with momentum, Sutskever et al. 2013, as torch.optim.SGD has it with momentum 0.9, no dampening and no Nesterov step:
//
//	g ← g + λ p
//	m ← μ m + g
//	p ← p − lr · m
//
// PyTorch begins with m = g, which is what m = 0 before the first step comes to.
const sgdMomentum = 0.9

func init() {
	register(Optimizer{
		Name: "sgd", States: []string{"m"},
		own: func(s Step) map[string]float64 { return map[string]float64{"lr": s.Rate} },
		update: func(f formula, in map[string]*onnx.Value) []*onnx.Value {
			m := f.add(f.times(sgdMomentum, in["m"]), f.decayed(in))
			return []*onnx.Value{f.sub(in["p"], f.mul(m, in["lr"])), m}
		},
	})
}
