package loss

import (
	"fmt"
	"maps"
	"math"
	"slices"

	"github.com/dpo-ort/dpo-ort/internal/settings"
	"github.com/dpo-ort/dpo-ort/internal/wording"
	"github.com/dpo-ort/dpo-ort/runtime/onnx"
)

// scoring is f′(u) of the ratios u = π/π_ref, given by their logarithms in.ratios: [G,K].
type scoring func(f formula, in inputs) *onnx.Value

// divergence is a term that keeps the policy near the reference: D_f(π‖π_ref) = E_ref f(π/π_ref).
type divergence struct {
	says     string
	settings []settings.Setting
	score    scoring // nil is the logarithm itself
}

// ReverseKL is the divergence of DPO.
const ReverseKL = "reverse_kl"

// alphaCoefficient is α of the α-divergence. At 1 it would be the reverse KL.
var alphaCoefficient = settings.Setting{Name: "f_alpha_divergence_coef", Default: "0.5", Range: settings.AtLeast(0).Below(1), About: "alpha of the alpha-divergence: towards 0 it is the forward KL"}

// largest is the exponent from which on f′ of the forward KL and the α-divergence is held, as TRL holds the latter's: where the policy has
// fallen so far that no number would tell, these divergences grow as exp does.
const largest = 80

// divergences are those of f-DPO, Wang et al. 2023, arXiv 2309.16240, Table 1, by the names that TRL has. The reward of an answer is
// β·f′(π/π_ref) up to a term of the prompt alone, which the difference of two is free of (their Theorem 1).
var divergences = map[string]divergence{
	ReverseKL: {says: "log u: what DPO has"},
	"forward_kl": {says: "1 - 1/u", score: func(f formula, in inputs) *onnx.Value {
		return f.sub(f.Scalar(f.t, 1), f.exp(f.held(f.neg(in.ratios))))
	}},
	"js_divergence": {says: "log(2u/(1 + u))", score: func(f formula, in inputs) *onnx.Value {
		return f.add(f.logSigmoid(in.ratios), f.Scalar(f.t, math.Ln2))
	}},
	"alpha_divergence": {says: "(u^(alpha - 1) - 1)/(alpha - 1)", settings: []settings.Setting{alphaCoefficient}, score: func(f formula, in inputs) *onnx.Value {
		power := f.sub(in.scalars[alphaCoefficient.Name], f.Scalar(f.t, 1))
		return f.div(f.sub(f.exp(f.held(f.mul(power, in.ratios))), f.Scalar(f.t, 1)), power)
	}},
}

// held is min(x, largest).
func (f formula) held(x *onnx.Value) *onnx.Value {
	return f.Op("Min", []*onnx.Value{x, f.Scalar(f.t, largest)}, nil)
}

// Divergences lists the f-divergences, sorted.
func Divergences() []string { return slices.Sorted(maps.Keys(divergences)) }

// DivergenceSays gives f′(u) of an f-divergence as a line of plain text.
func DivergenceSays(name string) string { return divergences[name].says }

// Under is the loss with another f-divergence in the place of the reverse KL. It is refused where the loss sees more of the ratios than
// their difference, for then a term of the prompt, which nobody knows, remains.
func (l *Loss) Under(name string) (*Loss, error) {
	d, ok := divergences[name]
	switch {
	case !ok:
		return nil, fmt.Errorf("unknown f-divergence %q: %s are known", name, wording.And(Divergences()))
	case d.score == nil:
		return l, nil
	case !l.Difference || l.Free:
		return nil, fmt.Errorf("%s has no place in loss %s: it has one in %s", name, l.Name, wording.And(differing()))
	}
	under := *l
	under.score, under.Settings = d.score, append(slices.Clone(l.Settings), d.settings...)
	under.parts = nil
	for _, p := range l.parts {
		of := *p.of
		if !of.Free {
			of.score = d.score
		}
		under.parts = append(under.parts, part{&of, p.weight})
	}
	return &under, nil
}

// differing lists the losses that any f-divergence has a place in.
func differing() []string {
	return slices.DeleteFunc(Names(), func(name string) bool { return !registry[name].Difference })
}
