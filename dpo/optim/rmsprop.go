package optim

import "github.com/dpo-ort/dpo-ort/runtime/onnx"

// RMSprop, Tieleman and Hinton 2012 (Coursera, Lecture 6.5), as torch.optim.RMSprop has it without momentum or centring:
//
//	g ← g + λ p
//	v ← α v + (1 − α) g²
//	p ← p − lr · g / (√v + ε)
const (
	rmsAlpha = 0.99
	rmsEps   = 1e-8
)

func init() {
	register(Optimizer{
		Name: "rmsprop", States: []string{"v"},
		own: func(s Step) map[string]float64 { return map[string]float64{"lr": s.Rate} },
		update: func(f formula, in map[string]*onnx.Value) []*onnx.Value {
			g := f.decayed(in)
			v := f.add(f.times(rmsAlpha, in["v"]), f.times(1-rmsAlpha, f.mul(g, g)))
			change := f.mul(f.div(g, f.add(f.sqrt(v), f.Scalar(f.t, rmsEps))), in["lr"])
			return []*onnx.Value{f.sub(in["p"], change), v}
		},
	})
}

// decayed is the clipped gradient plus that of ½ λ ‖p‖².
func (f formula) decayed(in map[string]*onnx.Value) *onnx.Value {
	return f.add(f.mul(in["g"], in["scale"]), f.mul(in["p"], in["weight_decay"]))
}
