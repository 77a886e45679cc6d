package models

import "slices"

func init() { register("Phi3ForCausalLM", "Phi-3 and Phi-4 mini", phi3) }

// phi3 reads the configuration of Phi-3: Llama with fused products, of queries, keys and values and of the MLP, whose layers all see a
// window, if any. Versions for long contexts have two sets of rotary frequencies (longrope), which a sequence's length decides between.
func phi3(c *Config) Decoder {
	d := c.shape(usual{eps: 1e-5, activation: "silu"})
	d.KVHeads = c.CountOr("num_key_value_heads", d.Heads, d.Heads)
	d.HeadDim = c.Count("head_dim", max(d.Hidden/d.Heads, 1))
	rope := ropeFields{Theta: c.Number("rope_theta", defaultTheta), Partial: c.Number("partial_rotary_factor", 1), longFrom: c.Count("original_max_position_embeddings", 4096)}
	d.Rope = rope.read(c, ropeSource(c), d.HeadDim, true)
	d.Fused, d.FusedGate = FusedRows, true
	if string(c.fields["sliding_window"]) != "" {
		d.Window = c.CountOr("sliding_window", 0, 0)
	}
	if d.Window > 0 {
		d.Local = slices.Repeat([]bool{true}, d.Layers)
	}
	return d
}
