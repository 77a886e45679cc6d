package models

func init() { register("StableLmForCausalLM", "StableLM 2 and 3B", stableLM) }

// stableLM reads the configuration of StableLM: Llama with LayerNorm, rotary embeddings of a part of each head, biases of queries, keys
// and values alone, and, where it says so, attention and MLP in parallel behind one norm. Norms of each head (qk_layernorm) are refused
// by name.
func stableLM(c *Config) Decoder {
	c.own = map[string]string{"rms_norm_eps": "layer_norm_eps"}
	d := c.shape(usual{eps: 1e-5, activation: "silu"})
	d.KVHeads = c.CountOr("num_key_value_heads", 32, d.Heads)
	d.HeadDim = max(d.Hidden/d.Heads, 1)
	d.Rope = readPartialRope(c, d.HeadDim, 0.25)
	d.QKVBias = c.Flag("use_qkv_bias", false)
	d.Norm = LayerNorm
	d.Parallel = c.Flag("use_parallel_residual", false)
	d.OneNorm = d.Parallel
	return d
}
