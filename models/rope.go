package models

import (
	"cmp"
	"encoding/json"
	"math"

	"github.com/dpo-ort/dpo-ort/internal/plainjson"
)

// Rope is a rotary position embedding (Su et al. 2021, arXiv 2104.09864): pair i of a head turns by position·InvFreq[i].
type Rope struct {
	Type    string    `json:"type"`     // default, linear, llama3, dynamic, yarn or longrope
	Dim     int       `json:"dim"`      // how many entries of a head turn
	Theta   float64   `json:"theta"`    // the base
	InvFreq []float64 `json:"inv_freq"` // [Dim/2], radians a position
	// Dynamic scaling raises the base for a sequence longer than Trained positions.
	Factor  float64 `json:"factor,omitempty"`
	Trained int     `json:"trained,omitempty"`
	// What cosines and sines are multiplied by; 0 for 1.
	Magnitude float64 `json:"magnitude,omitempty"`
	// Longrope has other radians for a sequence longer than Trained positions: [Dim/2].
	Long []float64 `json:"long,omitempty"`
}

// ropeFields are the keys of rope_scaling (older checkpoints) and rope_parameters (transformers 5).
type ropeFields struct {
	Type      string  `json:"rope_type"`
	OldType   string  `json:"type"`
	Theta     float64 `json:"rope_theta"`
	Factor    float64 `json:"factor"`
	LowFreq   float64 `json:"low_freq_factor"`
	HighFreq  float64 `json:"high_freq_factor"`
	Trained   int     `json:"original_max_position_embeddings"`
	Partial   float64 `json:"partial_rotary_factor"`
	Attention float64 `json:"attention_factor"`
	// yarn's alone
	BetaFast  float64 `json:"beta_fast"`
	BetaSlow  float64 `json:"beta_slow"`
	Mscale    float64 `json:"mscale"`
	MscaleAll float64 `json:"mscale_all_dim"`
	Truncate  *bool   `json:"truncate"`
	// longrope's alone
	Short []float64 `json:"short_factor"`
	Long  []float64 `json:"long_factor"`

	longFrom int // length that longrope's long factors begin after; 0 of an architecture without longrope
}

// Bases and factors of models are far below these; above, frequencies are 0, or no numbers.
const (
	maxTheta  = 1e15
	maxFactor = 1e6
)

// readRope reads the rotary embedding of heads of headDim entries from either generation of keys.
func readRope(c *Config, headDim int) Rope {
	f := ropeFields{Theta: c.Number("rope_theta", defaultTheta), Partial: 1}
	return f.read(c, ropeSource(c), headDim, false)
}

// readPartialRope is readRope of an architecture that may turn a part of each head only: the first entries, whose share is
// partial_rotary_factor, in either generation of keys.
func readPartialRope(c *Config, headDim int, share float64) Rope {
	f := ropeFields{Theta: c.Number("rope_theta", defaultTheta), Partial: c.Number("partial_rotary_factor", share)}
	return f.read(c, ropeSource(c), headDim, true)
}

const defaultTheta = 10000

// ropeSource is what config.json says of rotary embeddings: rope_scaling comes first, as in transformers.
func ropeSource(c *Config) (raw json.RawMessage) {
	var older json.RawMessage
	c.read("rope_parameters", &raw)
	if c.read("rope_scaling", &older) && !empty(older) {
		raw = older
	}
	return raw
}

// read reads the embedding from its keys, over what f holds.
func (f ropeFields) read(c *Config, raw json.RawMessage, headDim int, partial bool) Rope {
	if raw != nil {
		if err := plainjson.Unmarshal(raw, &f); err != nil {
			c.refuse("field rope_parameters or rope_scaling: %v", err)
			return Rope{}
		}
		if f.Type != "" && f.OldType != "" && f.Type != f.OldType {
			c.refuse("rope has the rope_type %q and the type %q", f.Type, f.OldType)
			return Rope{}
		}
		if f.Type == "" {
			f.Type = f.OldType
		}
		if f.longFrom > 0 && (f.Type == "su" || f.Type == "yarn") { // which transformers makes longrope there
			f.Type = "longrope"
		}
		refuseUnknownRope(c, raw, f.Type)
	}
	if f.Type != "yarn" && f.Type != "longrope" && f.Attention != 0 && f.Attention != 1 {
		c.refuse("rope attention_factor %v is not supported", f.Attention)
	}
	if !(f.Theta > 0 && f.Theta <= maxTheta) {
		c.refuse("rope_theta is %v: it must be positive, and at most %v", f.Theta, float64(maxTheta))
		return Rope{}
	}
	if f.Partial != 1 && !(partial && f.Partial > 0 && f.Partial < 1) {
		c.refuse("rope partial_rotary_factor %v is not supported", f.Partial)
		return Rope{}
	}
	r := Rope{Type: f.Type, Dim: int(float64(headDim) * f.Partial), Theta: f.Theta}
	switch f.Type {
	case "", "default":
		r.Type = "default"
		r.InvFreq = inverseFrequencies(r.Theta, r.Dim)
		return r
	case "longrope":
		if f.longFrom == 0 {
			c.refuse("rope type longrope is supported of Phi-3 alone")
			return Rope{}
		}
		r.InvFreq = inverseFrequencies(r.Theta, r.Dim)
		r.longrope(c, f)
		return r
	case "linear", "dynamic", "llama3", "yarn":
	default:
		c.refuse("rope type %q is not supported (default, linear, dynamic, llama3 and yarn are)", f.Type)
		return Rope{}
	}
	if !(f.Factor >= 1 && f.Factor <= maxFactor) {
		c.refuse("rope factor must be at least 1, and at most %v, it is %v", float64(maxFactor), f.Factor)
		return Rope{}
	}
	r.scale(c, f)
	return r
}

func refuseUnknownRope(c *Config, raw json.RawMessage, ropeType string) {
	var all map[string]json.RawMessage
	_ = json.Unmarshal(raw, &all) // ropeFields was read from the same bytes
	read := []string{"rope_type", "type", "rope_theta", "factor", "low_freq_factor", "high_freq_factor",
		"original_max_position_embeddings", "partial_rotary_factor", "attention_factor"}
	switch ropeType {
	case "yarn":
		read = append(read, "beta_fast", "beta_slow", "mscale", "mscale_all_dim", "truncate")
	case "longrope":
		read = append(read, "short_factor", "long_factor")
	}
	for _, known := range read {
		delete(all, known)
	}
	for name, v := range all {
		if !empty(v) {
			c.refuse("rope field %s is not supported", name)
		}
	}
}

// scale applies a scaling type as transformers' modeling_rope_utils defines it.
func (r *Rope) scale(c *Config, f ropeFields) {
	r.InvFreq = inverseFrequencies(r.Theta, r.Dim)
	switch f.Type {
	case "linear":
		for i := range r.InvFreq {
			r.InvFreq[i] /= f.Factor
		}
	case "dynamic":
		r.Factor, r.Trained = f.Factor, c.Count("max_position_embeddings", 0)
	case "yarn":
		if f.Trained == 0 {
			f.Trained = c.Count("max_position_embeddings", 0)
		}
		if f.Trained <= 0 || f.BetaFast < 0 || f.BetaSlow < 0 || f.Attention < 0 || f.Theta <= 1 {
			c.refuse("rope type yarn needs rope_theta above 1, and no negative beta_fast, beta_slow, attention_factor or trained length")
			return
		}
		r.yarn(f)
	case "llama3":
		if f.LowFreq <= 0 || f.HighFreq <= f.LowFreq || f.Trained <= 0 {
			c.refuse("rope type llama3 needs 0 < low_freq_factor < high_freq_factor and original_max_position_embeddings")
			return
		}
		for i, w := range r.InvFreq {
			r.InvFreq[i] = llama3(w, f)
		}
	}
}

// llama3 slows long waves by the factor, keeps short ones, and blends between (Llama 3.1).
func llama3(w float64, f ropeFields) float64 {
	turns := float64(f.Trained) * w / (2 * math.Pi) // full turns within the trained length
	switch {
	case turns < f.LowFreq:
		return w / f.Factor
	case turns > f.HighFreq:
		return w
	}
	smooth := (turns - f.LowFreq) / (f.HighFreq - f.LowFreq)
	return (1-smooth)*w/f.Factor + smooth*w
}

func inverseFrequencies(theta float64, dim int) []float64 {
	w := make([]float64, dim/2)
	for i := range w {
		w[i] = math.Pow(theta, -2*float64(i)/float64(dim))
	}
	return w
}

// Stretched is the length of a sequence whose frequencies depend on it, or a length whose frequencies it shares; 0 where they do not.
func (r Rope) Stretched(length int) int {
	switch {
	case length <= r.Trained:
		return 0
	case r.Type == "dynamic":
		return length
	case r.Type == "longrope":
		return r.Trained + 1
	}
	return 0
}

// Frequencies are the radians a position for a sequence of that many tokens: [Dim/2].
func (r Rope) Frequencies(length int) []float64 {
	switch {
	case r.Stretched(length) == 0:
		return r.InvFreq
	case r.Long != nil:
		return r.Long
	}
	grow := r.Factor*float64(length)/float64(r.Trained) - (r.Factor - 1)
	return inverseFrequencies(r.Theta*math.Pow(grow, float64(r.Dim)/float64(r.Dim-2)), r.Dim)
}

// Rotation appends the cosines and sines of a token's position, times Magnitude: [Dim/2] each. frequencies is what Frequencies
// returned.
func (r Rope) Rotation(frequencies []float64, position int, cos, sin []float64) ([]float64, []float64) {
	m := cmp.Or(r.Magnitude, 1)
	for _, w := range frequencies {
		s, c := math.Sincos(float64(position) * w)
		cos, sin = append(cos, m*c), append(sin, m*s)
	}
	return cos, sin
}
