package models

import "slices"

func init() { register("MistralForCausalLM", "Mistral 7B", mistral) }

// mistral reads the configuration of Mistral 7B and its kin: Llama without biases, whose layers all see a window, if any.
func mistral(c *Config) Decoder {
	d := c.decoder()
	d.KVHeads = c.CountOr("num_key_value_heads", 8, d.Heads)
	d.HeadDim = c.Count("head_dim", max(d.Hidden/max(d.Heads, 1), 1))
	d.Rope = readRope(c, d.HeadDim)
	if d.Window = c.CountOr("sliding_window", 4096, 0); d.Window > 0 {
		d.Local = slices.Repeat([]bool{true}, d.Layers)
	}
	return d
}
