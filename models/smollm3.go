package models

import "slices"

func init() { register("SmolLM3ForCausalLM", "SmolLM 3", smolLM3) }

// smolLM3 reads the configuration of SmolLM 3: Llama in which some layers, by default each fourth, know no positions. Those alone see a
// window, if any layer does.
func smolLM3(c *Config) Decoder {
	d := c.shape(usual{eps: 1e-6, activation: "silu", tied: true})
	d.KVHeads = c.CountOr("num_key_value_heads", 4, d.Heads)
	d.HeadDim = c.Count("head_dim", max(d.Hidden/d.Heads, 1))
	d.QKVBias = c.Flag("attention_bias", false)
	d.OutBias, d.MLPBias = d.QKVBias, c.Flag("mlp_bias", false)
	d.Rope = ropeFields{Theta: c.Number("rope_theta", 2e6), Partial: 1}.read(c, ropeSource(c), d.HeadDim, false)
	d.readUnturned(c)
	window := 0
	if string(c.fields["sliding_window"]) != "" {
		window = c.CountOr("sliding_window", 0, 0)
	}
	if !c.Flag("use_sliding_window", false) {
		window = 0
	}
	d.readLocal(c, window, func(layer int) bool { return window > 0 && d.unturned(layer) })
	c.ignore("max_window_layers")
	return d
}

// readUnturned reads which layers know no positions: those with 0 in no_rope_layers, or, without it, each of so many.
func (d *Decoder) readUnturned(c *Config) {
	interval := c.Count("no_rope_layer_interval", 4)
	var turned []int
	given := c.read("no_rope_layers", &turned)
	if given && len(turned) < d.Layers {
		c.refuse("field no_rope_layers names %d layers, num_hidden_layers is %d", len(turned), d.Layers)
		return
	}
	unturned := make([]bool, d.Layers)
	for l := range unturned {
		unturned[l] = given && turned[l] == 0 || !given && (l+1)%interval == 0
	}
	if slices.Contains(unturned, true) {
		d.Unturned = unturned
	}
}
