package optim

import (
	"github.com/dpo-ort/dpo-ort/internal/settings"
	"github.com/dpo-ort/dpo-ort/runtime/onnx"
)

// Muon, of hidden layers' matrices [m,n]; embeddings, the head, and vectors go by AdamW, as its authors do:
//
//	b ← μ b + (1 − μ) g
//	x = (1 − μ) g + μ b                                (without Nesterov's step: b)
//	x ← x / max(‖x‖, ε), then ns_steps times x ← a x + (b A + c A²) x,  A = x xᵀ
//	p ← p (1 − lr·λ) − lr · s · x
//
// The iteration of Newton and Schulz brings all singular values near 1. Of a matrix with more rows than columns it takes xᵀ x,
// which is the same with the smaller product. s is √max(1, m/n), or of match_rms_adamw 0.2 √max(m, n) (Liu et al. 2025, arXiv
// 2502.16982), by which an update is as large as AdamW's, so that the rate can be AdamW's too, or of spectral_unclamped √(m/n).
// It computes in the type of the parameters, where PyTorch has bfloat16.
func init() {
	register(Kind{
		Name:   "muon",
		Source: "Jordan et al. 2024 (kellerjordan.github.io/posts/muon), as torch.optim.Muon, in the parameters' type; AdamW elsewhere",
		Settings: []settings.Setting{
			{Name: "momentum", Default: "0.95", Range: settings.AtLeast(0).Below(1), About: "decay of the mean of gradients"},
			{Name: "nesterov", Default: "true", Words: settings.YesNo, About: "look one step ahead"},
			{Name: "ns_steps", Default: "5", Range: settings.AtLeast(1).AtMost(99).Whole(), About: "steps of Newton and Schulz"},
			{Name: "eps", Default: "1e-7", Range: settings.Above(0), About: "least norm that a matrix is divided by"},
			{Name: "adjust_lr_fn", Default: "original", Words: []string{"original", "match_rms_adamw", "spectral_unclamped"}, About: "how the rate follows a matrix's shape"},
			{Name: "adamw_lr_ratio", Default: "1", Range: settings.AtLeast(0), About: "AdamW's rate, as a multiple of the rate"},
			{Name: "adamw_beta1", Default: "0.9", Range: settings.AtLeast(0).Below(1), About: "AdamW's beta1"},
			{Name: "adamw_beta2", Default: "0.999", Range: settings.AtLeast(0).Below(1), About: "AdamW's beta2"},
			{Name: "adamw_eps", Default: "1e-8", Range: settings.AtLeast(0), About: "AdamW's eps"},
		},
		make: func(v settings.Resolved) Optimizer {
			u := muon{v.Number("momentum"), v.Number("eps"), int(v.Number("ns_steps")), v.Yes("nesterov"), v.Word("adjust_lr_fn")}
			a := adam{v.Number("adamw_beta1"), v.Number("adamw_beta2"), v.Number("adamw_eps")}
			return Optimizer{
				Rules: []*Rule{u.rule("wide"), u.rule("tall"), a.rule()},
				own: func(s Step) map[string]float64 {
					out := a.own(s.Index, s.Rate*v.Number("adamw_lr_ratio"))
					out["rate"] = s.Rate
					return out
				},
			}
		},
	})
}

// newtonSchulz are a, b and c.
var newtonSchulz = [3]float64{3.4445, -4.7750, 2.0315}

type muon struct {
	momentum, eps float64
	steps         int
	nesterov      bool
	adjust        string
}

// rule is that of matrices with at most as many rows as columns, "wide", or of the others, "tall".
func (u muon) rule(graph string) *Rule {
	tall := graph == "tall"
	return &Rule{
		Graph: graph, States: likeP("momentum"), dims: []string{"m", "n"}, scalars: []string{"rate"},
		takes: func(p Parameter) bool {
			return p.Hidden && len(p.Shape) == 2 && tall == (p.Shape[0] > p.Shape[1])
		},
		update: func(f formula, in map[string]*onnx.Value) []*onnx.Value {
			g := f.mul(in["g"], in["scale"])
			fresh := f.times(1-u.momentum, g)
			b := f.add(f.times(u.momentum, in["momentum"]), fresh)
			x := b
			if u.nesterov {
				x = f.add(fresh, f.times(u.momentum, b))
			}
			x = f.div(x, f.atLeast(f.norm(x), u.eps))
			for range u.steps {
				x = f.newtonSchulz(x, tall)
			}
			p := f.mul(in["p"], f.keep(in["rate"], in["weight_decay"]))
			return []*onnx.Value{f.sub(p, f.mul(x, f.mul(in["rate"], u.shaped(f, in["p"], tall)))), b}
		},
	}
}

// newtonSchulz is one step of the iteration: a x + (b A + c A²) x with A = x xᵀ, or of a tall matrix a x + x (b A + c A²) with A = xᵀ x.
func (f formula) newtonSchulz(x *onnx.Value, tall bool) *onnx.Value {
	a, b, c := newtonSchulz[0], newtonSchulz[1], newtonSchulz[2]
	gemm := func(attrs onnx.Attrs, in ...*onnx.Value) *onnx.Value { return f.Op("Gemm", in, attrs) }
	polynomial := func(square *onnx.Value) *onnx.Value { // the factors are no attributes, which are float32
		return gemm(nil, f.times(c, square), square, f.times(b, square))
	}
	if tall {
		return gemm(nil, x, polynomial(gemm(onnx.Attrs{"transA": 1}, x, x)), f.times(a, x))
	}
	return gemm(nil, polynomial(gemm(onnx.Attrs{"transB": 1}, x, x)), x, f.times(a, x))
}

// shaped is s, [1].
func (u muon) shaped(f formula, p *onnx.Value, tall bool) *onnx.Value {
	switch {
	case u.adjust == "match_rms_adamw" && tall:
		return f.times(0.2, f.sqrt(f.size(p, 0)))
	case u.adjust == "match_rms_adamw":
		return f.times(0.2, f.sqrt(f.size(p, 1)))
	case u.adjust == "original" && !tall:
		return f.Scalar(f.t, 1)
	}
	return f.sqrt(f.div(f.size(p, 0), f.size(p, 1)))
}
