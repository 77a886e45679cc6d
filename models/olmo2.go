package models

func init() { register("Olmo2ForCausalLM", "OLMo 2", olmo2) }

// olmo2 reads the configuration of OLMo 2: Llama with norms of what attention and MLP give, none of what they read, and of queries and
// keys over all heads at once.
func olmo2(c *Config) Decoder {
	d := c.shape(usual{eps: 1e-5, activation: "silu"})
	d.KVHeads = c.CountOr("num_key_value_heads", d.Heads, d.Heads)
	d.HeadDim = c.Count("head_dim", max(d.Hidden/d.Heads, 1))
	d.QKVBias = c.Flag("attention_bias", false)
	d.OutBias = d.QKVBias
	d.Norms, d.QKNorm, d.QKWhole = PostNorm, true, true
	d.Rope = readRope(c, d.HeadDim)
	return d
}
