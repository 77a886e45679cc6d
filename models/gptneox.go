package models

func init() { register("GPTNeoXForCausalLM", "GPT-NeoX, Pythia", gptNeoX) }

// gptNeoX reads the configuration of GPT-NeoX and Pythia: LayerNorm, attention and MLP in parallel, a fused product of queries, keys
// and values head by head, and rotary embeddings of a part of each head.
func gptNeoX(c *Config) Decoder {
	c.own = map[string]string{"rms_norm_eps": "layer_norm_eps", "rope_theta": "rotary_emb_base", "partial_rotary_factor": "rotary_pct"}
	d := c.shape(usual{eps: 1e-5, activation: "gelu"})
	d.KVHeads, d.HeadDim = d.Heads, d.Hidden/d.Heads
	d.Rope = readPartialRope(c, d.HeadDim, 0.25)
	d.Norm, d.Fused, d.Ungated = LayerNorm, FusedByHead, true
	d.Parallel = c.Flag("use_parallel_residual", true)
	d.QKVBias = c.Flag("attention_bias", true)
	d.OutBias, d.MLPBias = d.QKVBias, true
	d.Names = map[string]string{"model.embed_tokens": "gpt_neox.embed_in", "model.layers": "gpt_neox.layers", "model.norm": "gpt_neox.final_layer_norm",
		"lm_head": "embed_out", "self_attn.qkv_proj": "attention.query_key_value", "self_attn.o_proj": "attention.dense",
		"mlp.up_proj": "mlp.dense_h_to_4h", "mlp.down_proj": "mlp.dense_4h_to_h"}
	c.ignore("classifier_dropout")
	return d
}
