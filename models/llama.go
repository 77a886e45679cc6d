package models

func init() { register("LlamaForCausalLM", "Llama 1 to 3.x, SmolLM 1 and 2, TinyLlama", llama) }

// llama reads the configuration of Llama 1 to 3 and the many models of the same class.
func llama(c *Config) Decoder {
	d := c.decoder()
	d.QKVBias = c.Flag("attention_bias", false)
	d.OutBias = d.QKVBias
	d.MLPBias = c.Flag("mlp_bias", false)
	d.KVHeads = c.Count("num_key_value_heads", max(d.Heads, 1))
	d.HeadDim = c.Count("head_dim", max(d.Hidden/max(d.Heads, 1), 1))
	d.Rope = readRope(c, d.HeadDim)
	return d
}
