package models

import "math"

func init() { register("GemmaForCausalLM", "Gemma 1", gemma) }

// gemma reads the configuration of Gemma 1: norms whose weights are added to 1, an embedding times √D, and GELU.
func gemma(c *Config) Decoder {
	d := c.gemma(16)
	if d.Activation == "gelu" { // as the first releases say; transformers takes its approximation, which they were trained with
		d.Activation = gemmaActivation
	}
	c.ignore("hidden_activation")
	d.Rope = readRope(c, d.HeadDim)
	return d
}

const gemmaActivation = "gelu_pytorch_tanh"

// gemma reads what all generations share, which differ in how many key heads they have by default.
func (c *Config) gemma(kvHeads int) Decoder {
	d := c.shape(usual{eps: 1e-6, activation: gemmaActivation, tied: true})
	d.KVHeads = c.CountOr("num_key_value_heads", kvHeads, d.Heads)
	d.HeadDim = c.Count("head_dim", 256)
	d.QKVBias = c.Flag("attention_bias", false)
	d.OutBias = d.QKVBias
	d.Norm, d.EmbedScale = UnitRMS, math.Sqrt(float64(d.Hidden))
	return d
}
