package models

func init() { register("Qwen2ForCausalLM", "Qwen 2 and 2.5", qwen2) }

// qwen2 reads the configuration of Qwen 2 and 2.5: Llama with biases on queries, keys and values alone, some of whose layers
// may be local.
func qwen2(c *Config) Decoder {
	d := c.decoder()
	d.QKVBias = true
	d.KVHeads = c.CountOr("num_key_value_heads", 32, d.Heads)
	d.HeadDim = c.Count("head_dim", max(d.Hidden/max(d.Heads, 1), 1))
	d.Rope = readRope(c, d.HeadDim)
	d.readLayerTypes(c)
	return d
}
