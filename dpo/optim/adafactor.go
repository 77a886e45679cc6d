package optim

import (
	"math"

	"github.com/dpo-ort/dpo-ort/internal/settings"
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
		Settings: []settings.Setting{
			{Name: "eps1", Default: "1e-30", Range: settings.Above(0), About: "added to squares of gradients"},
			{Name: "eps2", Default: "1e-3", Range: settings.AtLeast(0), About: "least scale of a parameter"},
			{Name: "clip_threshold", Default: "1", Range: settings.Above(0), About: "the root mean square that an update is clipped to"},
			{Name: "decay_rate", Default: "-0.8", Range: settings.Below(0), About: "exponent by which the means of squares lengthen"},
			{Name: "beta1", Default: "0", Range: settings.AtLeast(0).Below(1), About: "decay of the mean of updates; 0 keeps none"},
			{Name: "scale_parameter", Default: "false", Words: settings.YesNo, About: "multiply the rate by a parameter's root mean square"},
		},
		make: func(v settings.Resolved) Optimizer {
			a := adafactor{v.Number("eps1"), v.Number("eps2"), v.Number("clip_threshold"), v.Number("beta1"), v.Yes("scale_parameter")}
			return Optimizer{
				Rules: []*Rule{
					a.rule("matrix", []string{"m", "n"}, a.matrix, State{"row", []string{"m"}}, State{"col", []string{"n"}}),
					a.rule("vector", []string{"n"}, a.vector, State{Name: "v"}),
				},
				own: func(s Step) map[string]float64 {
					fresh := math.Pow(float64(s.Index+1), v.Number("decay_rate"))
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

// divided is the gradient, divided by the root of its mean squares, and the states that these are known by.
type divided func(f formula, in map[string]*onnx.Value) (u *onnx.Value, next []*onnx.Value)

// rule joins a way of dividing the gradient to what all parameters share.
func (a adafactor) rule(graph string, dims []string, by divided, states ...State) *Rule {
	if a.beta1 > 0 {
		states = append(states, State{Name: "mean"})
	}
	return &Rule{
		Graph: graph, States: states, dims: dims, scalars: []string{"beta2", "lr", "one_less_beta2"},
		takes: func(p Parameter) bool { return len(p.Shape) == len(dims) },
		update: func(f formula, in map[string]*onnx.Value) []*onnx.Value {
			lr := a.rate(f, in)
			kept := f.mul(in["p"], f.keep(lr, in["weight_decay"])) // the first of the last sum's terms in the graph is the last to be computed
			u, next := by(f, in)
			u = f.mul(u, f.div(lr, f.atLeast(f.times(1/a.clip, f.rms(u)), 1)))
			if a.beta1 > 0 {
				u = f.add(f.times(a.beta1, in["mean"]), f.times(1-a.beta1, u))
				next = append(next, u)
			}
			return append([]*onnx.Value{f.sub(kept, u)}, next...)
		},
	}
}

func (a adafactor) rate(f formula, in map[string]*onnx.Value) *onnx.Value {
	if !a.scaled {
		return in["lr"]
	}
	return f.mul(in["lr"], f.atLeast(f.rms(in["p"]), a.eps2))
}

// follow is β₂ₜ x + (1 − β₂ₜ) (y·scale² + ε₁) of a state x and a mean y of squares of the gradient.
func (a adafactor) follow(f formula, in map[string]*onnx.Value, state string, y *onnx.Value) *onnx.Value {
	q := f.add(f.mul(y, f.mul(in["scale"], in["scale"])), f.Scalar(f.t, a.eps1))
	return f.add(f.mul(in[state], in["beta2"]), f.mul(q, in["one_less_beta2"]))
}

// matrix keeps no square of the whole gradient: two temporaries of its size are all that an update takes.
func (a adafactor) matrix(f formula, in map[string]*onnx.Value) (*onnx.Value, []*onnx.Value) {
	g := in["g"]
	row := a.follow(f, in, "row", f.meanSquare(g, 1))
	col := a.follow(f, in, "col", f.meanSquare(g, 0))
	byRow := f.div(in["scale"], f.sqrt(f.div(row, f.mean(row))))
	byCol := f.div(f.Scalar(f.t, 1), f.sqrt(col))
	u := f.mul(f.mul(g, f.op("Unsqueeze", byRow, f.Ints(1))), byCol)
	return u, []*onnx.Value{row, col}
}

func (a adafactor) vector(f formula, in map[string]*onnx.Value) (*onnx.Value, []*onnx.Value) {
	g := in["g"]
	v := a.follow(f, in, "v", f.mul(g, g))
	return f.div(f.mul(g, in["scale"]), f.sqrt(v)), []*onnx.Value{v}
}
