package models

import (
	"fmt"
	"path/filepath"
	"strings"

	"github.com/dpo-ort/dpo-ort/internal/safefile"
	"github.com/dpo-ort/dpo-ort/runtime/onnx"
)

// A reward model is a language model's backbone with a head of one number, transformers' classes …ForSequenceClassification with one
// label. The reward of a sequence is score·h of its last token, as transformers has it: of the last that is not pad_token_id.

const (
	scoreTensor   = "score.weight"
	causalSuffix  = "ForCausalLM"
	gpt2Suffix    = "LMHeadModel" // of the same classes before they had a common name
	rewardSuffix  = "ForSequenceClassification"
	oneLabel      = "LABEL_0" // transformers' name of the first label
	defaultLabels = 2         // transformers' number of labels where config.json names none
)

// rewardClass is what transformers calls most reward models with the backbone of a language model's class.
func rewardClass(causal string) string {
	return strings.TrimSuffix(strings.TrimSuffix(causal, causalSuffix), gpt2Suffix) + rewardSuffix
}

// scalar reads what a causal class's reader does, with a head of one number.
func scalar(read func(*Config) Decoder) func(*Config) Decoder {
	return func(c *Config) Decoder {
		d := read(c)
		d.Scalar, d.Pad = true, -1
		c.read("pad_token_id", &d.Pad)
		labels, names := defaultLabels, map[string]string{}
		if c.read("id2label", &names) {
			labels = len(names)
		}
		if c.read("num_labels", &labels); labels != 1 {
			c.refuse("num_labels is %d: a reward model has one label (id2label with one entry)", labels)
		}
		return d
	}
}

// score is a reward model's head: [R,D] → [R]. It runs on rows of last tokens alone.
func (d Decoder) score(n *net) {
	x := n.Input("x", n.exact(), onnx.Sym("R"), onnx.Const(int64(d.Hidden)))
	weight := n.cast(n.Input("score", n.types.Weights, onnx.Dims(1, int64(d.Hidden))...), n.exact())
	n.Output("logit", n.flat(n.linear(x, weight, nil)))
}

// WriteReward writes, as a Hugging Face directory, the reward model that training begins with: the backbone of the language model in
// from, in the type that it has there, and a head drawn from a normal distribution of initializer_range, as transformers draws it.
func WriteReward(dir, from string, seed int64) error {
	m, err := Open(from)
	if err != nil {
		return err
	}
	defer m.Close()
	if m.Scalar {
		return fmt.Errorf("write a reward model: %s is one", from)
	}
	if m.adapter != nil {
		return fmt.Errorf("write a reward model: %s is an adapter: merge it with its base first (dpo-ort merge)", from)
	}
	class := rewardClasses[m.Architecture]
	deviation, err := initialRange(from)
	if err != nil {
		return err
	}
	c, err := ReadConfig(from)
	if err == nil {
		err = safefile.MkdirAll(dir, 0o755)
	}
	if err == nil {
		err = copyFiles(dir, from, companions[1:]) // it generates nothing
	}
	if err == nil {
		err = c.write(filepath.Join(dir, configName), map[string]any{"architectures": []string{class},
			"id2label": map[string]string{"0": oneLabel}, "label2id": map[string]int{oneLabel: 0}, "num_labels": nil, "problem_type": nil})
	}
	if err != nil {
		return fmt.Errorf("write a reward model: %w", err)
	}
	_, d, err := Describe(dir)
	if err != nil {
		return err
	}
	return drawn{d, m, seed, deviation}.write(dir)
}
