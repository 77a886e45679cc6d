package optim

import (
	"math"

	"github.com/dpo-ort/dpo-ort/runtime/onnx"
)

// Adafactor, as transformers' class of that name with relative_step=False, so that the rate is the schedule's, and by default with
// scale_parameter=False, as transformers' Trainer and so TRL have it. With β₂ₜ = 1 − t^decay_rate and t from 1, of a matrix:
//
//	q ← g² + ε₁
//	r ← β₂ₜ r + (1 − β₂ₜ) mean of q over each row         [m]
//	c ← β₂ₜ c + (1 − β₂ₜ) mean of q over each column      [n]
//	u = g / √((r / mean r) cᵀ)
//	u ← lr · u / max(1, rms(u) / clip_threshold)
//	p ← p (1 − lr·λ) − u
//
// Of a vector, v ← β₂ₜ v + (1 − β₂ₜ) q and u = g / √v. With beta1, m ← β₁ m + (1 − β₁) u takes the place of u; with
// scale_parameter, lr is multiplied by max(eps2, rms(p)). The states of a matrix are so small that memory is that of SGD without
// momentum.
func init() {
	register(Kind{
		Name:   "adafactor",
		Source: "Shazeer and Stern 2018 (arXiv 1804.04235), Algorithms 4 and 5, as transformers' Adafactor with relative_step=False",
		Settings: []Setting{
			{Name: "eps1", Default: "1e-30", Range: positive, About: "added to squares of gradients"},
			{Name: "eps2", Default: "1e-3", Range: notBelow, About: "least scale of a parameter"},
			{Name: "clip_threshold", Default: "1", Range: positive, About: "the root mean square that an update is clipped to"},
			{Name: "decay_rate", Default: "-0.8", Range: negative, About: "exponent by which the means of squares lengthen"},
			{Name: "beta1", Default: "0", Range: share, About: "decay of the mean of updates; 0 keeps none"},
			{Name: "scale_parameter", Default: "false", Words: yesNo, About: "multiply the rate by a parameter's root mean square"},
		},
		make: func(v values) Optimizer {
			a := adafactor{v.num("eps1"), v.num("eps2"), v.num("clip_threshold"), v.num("beta1"), v.yes("scale_parameter")}
			return Optimizer{
				Rules: []*Rule{
					a.rule("matrix", []string{"m", "n"}, a.matrix, State{"row", []string{"m"}}, State{"col", []string{"n"}}),
					a.rule("vector", []string{"n"}, a.vector, State{Name: "v"}),
				},
				own: func(s Step) map[string]float64 {
					fresh := math.Pow(float64(s.Index+1), v.num("decay_rate"))
					return map[string]float64{"lr": s.Rate, "beta2": 1 - fresh, "one_less_beta2": fresh}
				},
			}
		},
	})
}

type adafactor struct {
	eps1, eps2, clip, beta1 float64
	scaled                  bool
}

// rule joins a factor's way of dividing the gradient to what all parameters share.
func (a adafactor) rule(graph string, dims []string, divided func(formula, map[string]*onnx.Value, *onnx.Value) (*onnx.Value, []*onnx.Value), states ...State) *Rule {
	if a.beta1 > 0 {
		states = append(states, State{Name: "mean"})
	}
	return &Rule{
		Graph: graph, States: states, dims: dims, scalars: []string{"beta2", "lr", "one_less_beta2"},
		takes: func(p Parameter) bool { return len(p.Shape) == len(dims) },
		update: func(f formula, in map[string]*onnx.Value) []*onnx.Value {
			u, next := divided(f, in, f.mul(in["g"], in["scale"]))
			lr := a.rate(f, in)
			u = f.mul(u, f.div(lr, f.atLeast(f.times(1/a.clip, f.rms(u)), 1)))
			if a.beta1 > 0 {
				u = f.add(f.times(a.beta1, in["mean"]), f.times(1-a.beta1, u))
				next = append(next, u)
			}
			p := f.sub(f.mul(in["p"], f.keep(lr, in["weight_decay"])), u)
			return append([]*onnx.Value{p}, next...)
		},
	}
}

func (a adafactor) rate(f formula, in map[string]*onnx.Value) *onnx.Value {
	if !a.scaled {
		return in["lr"]
	}
	return f.mul(in["lr"], f.atLeast(f.rms(in["p"]), a.eps2))
}

// squares are q.
func (a adafactor) squares(f formula, g *onnx.Value) *onnx.Value {
	return f.add(f.mul(g, g), f.Scalar(f.t, a.eps1))
}

// follow is β₂ₜ x + (1 − β₂ₜ) y.
func (a adafactor) follow(f formula, in map[string]*onnx.Value, state string, y *onnx.Value) *onnx.Value {
	return f.add(f.mul(in[state], in["beta2"]), f.mul(y, in["one_less_beta2"]))
}

func (a adafactor) matrix(f formula, in map[string]*onnx.Value, g *onnx.Value) (*onnx.Value, []*onnx.Value) {
	q := a.squares(f, g)
	row := a.follow(f, in, "row", f.mean(q, 1))
	col := a.follow(f, in, "col", f.mean(q, 0))
	one := f.Scalar(f.t, 1)
	byRow := f.div(one, f.sqrt(f.div(row, f.mean(row, 0))))
	byCol := f.div(one, f.sqrt(col))
	u := f.mul(f.mul(g, f.op("Unsqueeze", byRow, f.Ints(1))), byCol)
	return u, []*onnx.Value{row, col}
}

func (a adafactor) vector(f formula, in map[string]*onnx.Value, g *onnx.Value) (*onnx.Value, []*onnx.Value) {
	v := a.follow(f, in, "v", a.squares(f, g))
	return f.div(g, f.sqrt(v)), []*onnx.Value{v}
}
