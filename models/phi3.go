package models

import "slices"

func init() { register("Phi3ForCausalLM", "Phi-3 and Phi-4 mini, without long context", phi3) }

// phi3 reads the configuration of Phi-3: Llama with fused products, of queries, keys and values and of the MLP, whose layers all see a
// window, if any. Its scaling for long contexts (longrope) is refused by name.
func phi3(c *Config) Decoder {
	d := c.shape(usual{eps: 1e-5, activation: "silu"})
	d.KVHeads = c.CountOr("num_key_value_heads", d.Heads, d.Heads)
	d.HeadDim = c.Count("head_dim", max(d.Hidden/d.Heads, 1))
	d.Rope = readPartialRope(c, d.HeadDim, 1)
	if d.Rope.Type == "yarn" { // of which transformers makes longrope, too
		c.refuse("rope type yarn is not supported of Phi-3")
	}
	d.Fused, d.FusedGate = FusedRows, true
	if string(c.fields["sliding_window"]) != "" {
		d.Window = c.CountOr("sliding_window", 0, 0)
	}
	if d.Window > 0 {
		d.Local = slices.Repeat([]bool{true}, d.Layers)
	}
	c.ignore("original_max_position_embeddings")
	return d
}
