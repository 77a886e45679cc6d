package models

func init() { register("LlamaForCausalLM", llama) }

// llama reads the configuration of Llama 1 to 3 and the many models of the same class.
func llama(c *Config) Decoder {
	d := Decoder{
		Vocab:        c.Count("vocab_size", 0),
		Hidden:       c.Count("hidden_size", 0),
		Intermediate: c.Count("intermediate_size", 0),
		Layers:       c.Count("num_hidden_layers", 0),
		Heads:        c.Count("num_attention_heads", 0),
		NormEps:      c.Number("rms_norm_eps", 1e-6),
		Activation:   c.Text("hidden_act", "silu"),
		QKVBias:      c.Flag("attention_bias", false),
		MLPBias:      c.Flag("mlp_bias", false),
		Tied:         c.Flag("tie_word_embeddings", false),
	}
	d.OutBias = d.QKVBias
	d.KVHeads = c.Count("num_key_value_heads", max(d.Heads, 1))
	d.HeadDim = c.Count("head_dim", d.Hidden/max(d.Heads, 1))
	d.Rope = readRope(c, d.HeadDim)
	return d
}
