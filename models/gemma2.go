package models

import "math"

func init() { register("Gemma2ForCausalLM", "Gemma 2", gemma2) }

// gemma2 reads the configuration of Gemma 2: Gemma 1 with norms before and after attention and MLP, caps of scores and logits, a scale
// of queries of its own, and windows in every other layer.
func gemma2(c *Config) Decoder {
	d := c.gemma2(2)
	d.ScoreCap = c.cap("attn_logit_softcapping", 50)
	d.LogitCap = c.cap("final_logit_softcapping", 30)
	d.Rope = readRope(c, d.HeadDim)
	return d
}

// gemma2 reads what Gemma 2 and 3 share; every so many layers one sees all.
func (c *Config) gemma2(every int) Decoder {
	d := c.gemma(4)
	d.Activation = c.Text("hidden_activation", gemmaActivation)
	c.ignore("hidden_act", "cache_implementation")
	d.Norms = PeriNorms
	d.QueryScale = 1 / math.Sqrt(c.Number("query_pre_attn_scalar", 256))
	window := c.CountOr("sliding_window", 4096, 0)
	d.readLocal(c, window, func(layer int) bool { return window > 0 && (layer+1)%every != 0 })
	return d
}

// cap reads what scores or logits are kept within; null is for none, 0 here.
func (c *Config) cap(name string, absent float64) float64 {
	if string(c.fields[name]) == "null" || absent == 0 && c.fields[name] == nil {
		c.used[name] = true
		return 0
	}
	return c.Number(name, absent)
}
