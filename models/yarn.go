package models

import (
	"cmp"
	"math"
)

// yarn slows long waves by the factor, keeps those that turn often within the trained length, and blends between; cosines
// and sines grow with the factor's logarithm (Peng et al. 2023, arXiv 2309.00071). Names and defaults are those of
// transformers' modeling_rope_utils.
func (r *Rope) yarn(f ropeFields) {
	low, high := f.pairTurning(cmp.Or(f.BetaFast, 32), r.Dim), f.pairTurning(cmp.Or(f.BetaSlow, 1), r.Dim)
	if f.Truncate == nil || *f.Truncate {
		low, high = math.Floor(low), math.Ceil(high)
	}
	low, high = max(low, 0), min(high, float64(r.Dim-1))
	if low == high {
		high += 0.001
	}
	for i, w := range r.InvFreq {
		slowed := min(max((float64(i)-low)/(high-low), 0), 1)
		r.InvFreq[i] = w/f.Factor*slowed + w*(1-slowed)
	}
	switch {
	case f.Attention != 0:
		r.Magnitude = f.Attention
	case f.Mscale != 0 && f.MscaleAll != 0:
		r.Magnitude = magnitude(f.Factor, f.Mscale) / magnitude(f.Factor, f.MscaleAll)
	default:
		r.Magnitude = magnitude(f.Factor, 1)
	}
}

// pairTurning is the pair, a fraction, that turns so many times within the trained length.
func (f ropeFields) pairTurning(turns float64, dim int) float64 {
	return float64(dim) * math.Log(float64(f.Trained)/(turns*2*math.Pi)) / (2 * math.Log(f.Theta))
}

// magnitude is the growth of cosines and sines at a factor.
func magnitude(factor, scale float64) float64 { return 0.1*scale*math.Log(factor) + 1 }
