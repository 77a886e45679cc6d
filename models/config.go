package models

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/dpo-ort/dpo-ort/internal/plainjson"
)

// Config is a model's config.json, read field by field so that what nobody asked for can be refused: a field that
// would change the numbers is never ignored. Readers record the first error of each field; finish reports them all.
type Config struct {
	Path   string
	text   []byte
	fields map[string]json.RawMessage
	used   map[string]bool
	errs   []string
	own    map[string]string // the architecture's own names of fields, by the usual ones
	passed []string          // fields that change nothing here
}

// harmless fields say how a model was trained, saved or is sampled from. Dropout is off in preference training.
var harmless = []string{
	"_name_or_path", "architectures", "attention_dropout", "bos_token_id", "chunk_size_feed_forward", "dtype",
	"embd_pdrop", "eos_token_id", "hidden_dropout", "id2label", "initializer_range", "is_decoder",
	"is_encoder_decoder", "label2id", "max_position_embeddings", "model_type", "output_attentions",
	"output_hidden_states", "pad_token_id", "pretraining_tp", "problem_type", "resid_pdrop", "return_dict",
	"tokenizer_class", "torch_dtype", "transformers_version", "use_cache", "_attn_implementation_autoset", "auto_map",
}

// ReadConfig reads DIR/config.json.
func ReadConfig(dir string) (*Config, error) {
	path := filepath.Join(dir, configName)
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read model configuration: %w (is %s a Hugging Face model directory?)", err, dir)
	}
	return parseConfig(path, data)
}

func parseConfig(path string, data []byte) (*Config, error) {
	c := &Config{Path: path, text: data, used: map[string]bool{}}
	if err := plainjson.Unmarshal(data, &c.fields); err != nil {
		return nil, fmt.Errorf("read model configuration %s: %w", path, err)
	}
	return c, nil
}

// architecture is the class name, as transformers writes it in "architectures".
func (c *Config) architecture() (string, error) {
	var names []string
	if raw, ok := c.fields["architectures"]; ok {
		if err := json.Unmarshal(raw, &names); err != nil {
			return "", fmt.Errorf("read %s: field architectures is %s: a list of one class name is needed", c.Path, shown(raw))
		}
	}
	if len(names) != 1 {
		holds := "is missing"
		if raw := c.fields["architectures"]; raw != nil {
			holds = "is " + shown(raw)
		}
		return "", fmt.Errorf("read %s: field architectures %s: it must name one class, such as [\"LlamaForCausalLM\"]", c.Path, holds)
	}
	return names[0], nil
}

// known is what a file calls a field, which an architecture may name otherwise (transformers' attribute_map).
func (c *Config) known(name string) string {
	if own, ok := c.own[name]; ok && c.fields[name] == nil {
		return own
	}
	return name
}

// read decodes a field into dst and reports whether it was there and not null.
func (c *Config) read(name string, dst any) bool {
	name = c.known(name)
	c.used[name] = true
	raw, ok := c.fields[name]
	if !ok || string(raw) == "null" {
		return false
	}
	if err := json.Unmarshal(raw, dst); err != nil {
		c.refuse("field %s is %s: %s is needed", name, shown(raw), wanted(dst))
		return false
	}
	return true
}

// shown is a field's value as errors show it.
func shown(raw json.RawMessage) string {
	const most = 60
	if len(raw) > most {
		return string(raw[:most]) + "..."
	}
	return string(raw)
}

// wanted names what a field is read into.
func wanted(dst any) string {
	switch dst.(type) {
	case *int:
		return "a whole number"
	case *float64:
		return "a number"
	case *bool:
		return "true or false"
	case *string:
		return "a string"
	case *patterns[int], *patterns[float64]:
		return "an object of numbers by expressions for modules (of RE2's kind)"
	}
	return "another value"
}

// mostOf bounds sizes far above any model's, so that no product of them overflows, and nothing is allocated for a size that a file merely claims.
var mostOf = map[string]int{"hidden_size": 1 << 20, "intermediate_size": 1 << 24, "num_attention_heads": 1 << 14, "num_key_value_heads": 1 << 14, "head_dim": 1 << 14,
	"rotary_dim": 1 << 14}

// Count reads a positive integer; def 0 means the field must be there. What is refused reads as 1, which nothing fails at.
func (c *Config) Count(name string, def int) int {
	v := def
	found := c.read(name, &v)
	most := cmp.Or(mostOf[name], math.MaxInt32)
	name = c.known(name)
	switch {
	case v > 0 && v <= most:
		return v
	case v > most:
		c.refuse("field %s is %d, more than %d", name, v, most)
	case found:
		c.refuse("field %s must be a positive integer, it is %d", name, v)
	case string(c.fields[name]) == "" || string(c.fields[name]) == "null":
		c.refuse("field %s must be a positive integer, it is missing", name)
	}
	return 1
}

// CountOr reads a positive integer where the field's absence and null mean different numbers.
func (c *Config) CountOr(name string, absent, null int) int {
	if name := c.known(name); string(c.fields[name]) == "null" {
		c.used[name] = true
		return null
	}
	return c.Count(name, absent)
}

// Number reads a positive number.
func (c *Config) Number(name string, def float64) float64 {
	v := def
	c.read(name, &v)
	if !(v > 0) {
		c.refuse("field %s must be a positive number, it is %v", c.known(name), v)
		return def
	}
	return v
}

// Flag reads a boolean.
func (c *Config) Flag(name string, def bool) bool {
	v := def
	c.read(name, &v)
	return v
}

// Text reads a string.
func (c *Config) Text(name, def string) string {
	v := def
	c.read(name, &v)
	return v
}

// maxLayers bounds num_hidden_layers, so that a broken file cannot ask for all memory.
const maxLayers = 1 << 12

// usual are the defaults of fields that differ between architectures.
type usual struct {
	eps        float64 // of norms
	activation string
	wide       int  // intermediate_size, in hidden sizes; 0 where it must be there
	tied       bool // the head is the embedding
}

// decoder reads the fields that Llama and its kin share.
func (c *Config) decoder() Decoder { return c.shape(usual{eps: 1e-6, activation: "silu"}) }

// shape reads the fields that all architectures here have, under the names in own or under Llama's.
func (c *Config) shape(u usual) Decoder {
	d := Decoder{Vocab: c.Count("vocab_size", 0), Hidden: c.Count("hidden_size", 0)}
	if wide := u.wide * d.Hidden; wide > 0 {
		d.Intermediate = c.CountOr("intermediate_size", wide, wide)
	} else {
		d.Intermediate = c.Count("intermediate_size", 0)
	}
	d.Layers, d.Heads = c.Count("num_hidden_layers", 0), c.Count("num_attention_heads", 0)
	d.NormEps, d.Activation = c.Number("rms_norm_eps", u.eps), c.Text("hidden_act", u.activation)
	d.Tied = c.Flag("tie_word_embeddings", u.tied)
	if d.NormEps >= 1 {
		c.refuse("field %s is %v: it must be below 1", c.known("rms_norm_eps"), d.NormEps)
	}
	if d.Layers > maxLayers {
		c.refuse("field num_hidden_layers is %d, more than %d", d.Layers, maxLayers)
	}
	d.Layers = min(max(d.Layers, 0), maxLayers)
	return d
}

// ignore passes over fields of an architecture that change nothing here.
func (c *Config) ignore(names ...string) {
	c.passed = append(c.passed, names...)
}

// refuse records why the configuration cannot be served, each reason once.
func (c *Config) refuse(format string, args ...any) {
	if reason := fmt.Sprintf(format, args...); !slices.Contains(c.errs, reason) {
		c.errs = append(c.errs, reason)
	}
}

// unknown are the fields that were not read and are not known to change nothing.
func (c *Config) unknown() (names []string) {
	for _, name := range slices.Sorted(maps.Keys(c.fields)) {
		if !c.used[name] && !slices.Contains(c.passed, name) && !empty(c.fields[name]) {
			names = append(names, name)
		}
	}
	return names
}

// finish reports everything that was wrong, and every field that is unknown.
func (c *Config) finish() error {
	unknown := c.unknown()
	if unknown != nil {
		c.refuse("unsupported field %s: it may change what the model computes, so it is not ignored", strings.Join(unknown, ", "))
	}
	if c.errs != nil {
		return fmt.Errorf("read model configuration %s: %s", c.Path, strings.Join(c.errs, "; "))
	}
	return nil
}

// empty reports whether a field holds nothing that could ask for anything.
func empty(raw json.RawMessage) bool {
	return slices.Contains([]string{"null", "false", "[]", "{}", `""`}, string(raw))
}
