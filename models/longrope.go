package models

import (
	"math"
	"slices"
)

// longrope slows each pair by a factor of its own: by short_factor in sequences of up to the trained length, by long_factor in longer ones.
// Cosines and sines of both grow with the logarithm of how far the context was extended (Ding et al. 2024, arXiv 2402.13753). Names and
// defaults are those of transformers' _compute_longrope_parameters.
func (r *Rope) longrope(c *Config, f ropeFields) {
	r.Type, r.Trained = "longrope", f.longFrom
	if r.Trained < 2 {
		c.refuse("original_max_position_embeddings is %d: rope type longrope needs 2 at least", r.Trained)
		return
	}
	for _, of := range []struct {
		name    string
		factors []float64
	}{{"short_factor", f.Short}, {"long_factor", f.Long}} {
		strange := func(factor float64) bool { return !(factor >= 1/maxFactor && factor <= maxFactor) }
		if len(of.factors) != r.Dim/2 || slices.ContainsFunc(of.factors, strange) {
			c.refuse("rope field %s holds %d numbers: longrope needs %d positive ones, one a pair", of.name, len(of.factors), r.Dim/2)
			return
		}
	}
	extended := f.Factor
	if extended == 0 {
		extended = float64(c.Count("max_position_embeddings", 4096)) / float64(r.Trained)
	}
	if r.Magnitude = f.Attention; r.Magnitude == 0 {
		r.Magnitude = 1
		if extended > 1 {
			r.Magnitude = math.Sqrt(1 + math.Log(extended)/math.Log(float64(r.Trained)))
		}
	}
	if !(r.Magnitude > 0 && r.Magnitude <= maxFactor && extended > 0) {
		c.refuse("rope factor %v and attention_factor %v must be positive numbers, at most %v", f.Factor, f.Attention, float64(maxFactor))
		return
	}
	r.Long = make([]float64, len(r.InvFreq))
	for i, w := range r.InvFreq {
		r.InvFreq[i], r.Long[i] = w/f.Short[i], w/f.Long[i]
	}
}
