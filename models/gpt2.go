package models

func init() { register("GPT2LMHeadModel", "GPT-2", gpt2) }

// gpt2 reads the configuration of GPT-2: learned positions, LayerNorm, a fused product for queries, keys and values, weights that lie
// as [in,out], and an MLP without gate.
func gpt2(c *Config) Decoder {
	c.own = map[string]string{"hidden_size": "n_embd", "num_hidden_layers": "n_layer", "num_attention_heads": "n_head", "intermediate_size": "n_inner",
		"max_position_embeddings": "n_positions", "rms_norm_eps": "layer_norm_epsilon", "hidden_act": "activation_function"}
	d := c.shape(usual{eps: 1e-5, activation: "gelu_new", wide: 4, tied: true})
	d.Positions = c.Count("max_position_embeddings", 1024)
	d.KVHeads, d.HeadDim = d.Heads, d.Hidden/d.Heads
	d.QKVBias, d.OutBias, d.MLPBias = true, true, true
	d.Norm, d.Fused, d.Transposed, d.Ungated = LayerNorm, FusedRows, true, true
	if !c.Flag("scale_attn_weights", true) {
		d.QueryScale = 1
	}
	d.Names = map[string]string{"model.embed_tokens": "transformer.wte", "model.positions": "transformer.wpe", "model.layers": "transformer.h",
		"model.norm": "transformer.ln_f", "input_layernorm": "ln_1", "self_attn.qkv_proj": "attn.c_attn", "self_attn.o_proj": "attn.c_proj",
		"post_attention_layernorm": "ln_2", "mlp.up_proj": "mlp.c_fc", "mlp.down_proj": "mlp.c_proj"}
	c.ignore("attn_pdrop", "n_ctx", "summary_activation", "summary_first_dropout", "summary_proj_to_labels", "summary_type", "summary_use_proj",
		"task_specific_params")
	return d
}
