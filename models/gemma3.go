package models

import (
	"encoding/json"

	"github.com/dpo-ort/dpo-ort/internal/plainjson"
)

func init() {
	registerWith("Gemma3ForCausalLM", "Gemma3TextForSequenceClassification", "Gemma 3, text alone", gemma3)
}

// gemma3 reads the configuration of Gemma 3's text models: Gemma 2 with norms of queries and keys in place of caps, and a rotary base
// of their own for the layers that see a window, five of six.
func gemma3(c *Config) Decoder {
	d := c.gemma2(c.Count("sliding_window_pattern", 6))
	d.QKNorm = true
	d.LogitCap = c.cap("final_logit_softcapping", 0)
	global, local := c.ropesByLayer()
	d.Rope = ropeFields{Theta: c.Number("rope_theta", 1e6), Partial: 1}.read(c, global, d.HeadDim, false)
	d.LocalRope = ropeFields{Theta: c.Number("rope_local_base_freq", defaultTheta), Partial: 1}.read(c, local, d.HeadDim, false)
	if d.Local == nil {
		d.LocalRope = Rope{}
	}
	c.ignore("_sliding_window_pattern")
	return d
}

// ropesByLayer are the rope_parameters of layers that see all and of those that see a window; rope_scaling is for the first.
func (c *Config) ropesByLayer() (global, local json.RawMessage) {
	var all, older json.RawMessage
	var kinds map[string]json.RawMessage
	if c.read("rope_parameters", &all) {
		if err := plainjson.Unmarshal(all, &kinds); err != nil {
			c.refuse("field rope_parameters: %v", err)
		}
	}
	for kind := range kinds {
		if kind != "full_attention" && kind != "sliding_attention" {
			c.refuse("field rope_parameters: %s is no kind of layers (full_attention and sliding_attention are)", kind)
		}
	}
	global, local = kinds["full_attention"], kinds["sliding_attention"]
	if c.read("rope_scaling", &older) && !empty(older) {
		global = older
	}
	return global, local
}
