package models

func init() { register("GPTJForCausalLM", "GPT-J", gptJ) }

// gptJ reads the configuration of GPT-J: LayerNorm, attention and MLP in parallel behind one norm, rotary pairs that are neighbours, in
// a part of each head, and a head with a bias.
func gptJ(c *Config) Decoder {
	c.own = map[string]string{"hidden_size": "n_embd", "num_hidden_layers": "n_layer", "num_attention_heads": "n_head", "intermediate_size": "n_inner",
		"max_position_embeddings": "n_positions", "rms_norm_eps": "layer_norm_epsilon", "hidden_act": "activation_function"}
	d := c.shape(usual{eps: 1e-5, activation: "gelu_new", wide: 4})
	d.KVHeads, d.HeadDim = d.Heads, d.Hidden/d.Heads
	turning := c.Count("rotary_dim", 64)
	d.Rope = Rope{Type: "default", Dim: turning, Theta: 10000, InvFreq: inverseFrequencies(10000, turning)}
	d.Norm, d.Parallel, d.OneNorm, d.Ungated = LayerNorm, true, true, true
	d.Interleaved, d.MLPBias, d.HeadBias = true, true, true
	d.Names = map[string]string{"model.embed_tokens": "transformer.wte", "model.layers": "transformer.h", "model.norm": "transformer.ln_f",
		"input_layernorm": "ln_1", "self_attn.q_proj": "attn.q_proj", "self_attn.k_proj": "attn.k_proj", "self_attn.v_proj": "attn.v_proj",
		"self_attn.o_proj": "attn.out_proj", "mlp.up_proj": "mlp.fc_in", "mlp.down_proj": "mlp.fc_out"}
	c.ignore("attn_pdrop", "n_ctx", "summary_activation", "summary_first_dropout", "summary_proj_to_labels", "summary_type", "summary_use_proj",
		"task_specific_params", "scale_attn_weights", "rotary", "n_positions")
	return d
}
