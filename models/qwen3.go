package models

func init() { register("Qwen3ForCausalLM", "Qwen 3", qwen3) }

// qwen3 reads the configuration of Qwen 3: Llama with norms on each head's queries and keys, some of whose layers may be
// local.
func qwen3(c *Config) Decoder {
	d := c.decoder()
	d.QKNorm = true
	d.QKVBias = c.Flag("attention_bias", false)
	d.OutBias = d.QKVBias
	d.KVHeads = c.CountOr("num_key_value_heads", 32, d.Heads)
	d.HeadDim = c.Count("head_dim", 128)
	d.Rope = readRope(c, d.HeadDim)
	d.readLayerTypes(c)
	return d
}
