// Package demo makes up, from a seed alone, what dpo-ort demo shows training with: a tiny Llama of random weights, preferences by a
// rule that has to be learnt, and what is reached without learning it.
//
//	err := demo.WriteModel("demo/model", seed)
//	p := demo.NewPreferences(seed)
//	err = demo.WriteRows("demo/train.jsonl", p.Train)
//	share := p.ByLength()
//
// The rule: words belong to topics, a prompt names two words of one, and the better answer names words of the same. Whether an answer is the
// better one cannot be told without its prompt, and the pairs of words in held-out prompts were in no other.
package demo

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	"github.com/dpo-ort/dpo-ort/models"
)

// The special tokens, which are the first of the vocabulary.
const (
	unknown = "<unk>"
	end     = "</s>"
)

// deviation is the standard deviation of the initial weights, large enough that logits differ from the start.
const deviation = 0.06

// A Shape is how large a Llama is.
type Shape struct {
	Hidden, Intermediate, Layers, Heads, KVHeads int
	Positions                                    int // the longest text, in tokens
}

// WriteModel writes a Hugging Face directory of a Llama with random weights, whose tokenizer knows the words of Preferences.
func WriteModel(dir string, seed int64) error {
	quick := Shape{Hidden: 64, Intermediate: 128, Layers: 2, Heads: 4, KVHeads: 2, Positions: 64}
	if err := WriteShape(dir, quick, vocabulary()); err != nil {
		return err
	}
	return models.WriteWeights(dir, seed, deviation)
}

// WriteShape writes what a Hugging Face directory of a Llama has beside its weights: its shape, and a tokenizer that knows the given words.
func WriteShape(dir string, shape Shape, words []string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("write the demo's model: %w", err)
	}
	words = append([]string{unknown, end}, words...)
	for name, content := range map[string]any{
		"config.json":           config(shape, len(words)),
		"tokenizer.json":        tokenizer(words),
		"tokenizer_config.json": map[string]any{"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": end, "unk_token": unknown},
	} {
		text, err := json.MarshalIndent(content, "", "  ")
		if err != nil {
			return fmt.Errorf("write the demo's model: %w", err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), append(text, '\n'), 0o644); err != nil {
			return fmt.Errorf("write the demo's model: %w", err)
		}
	}
	return nil
}

func config(s Shape, vocabulary int) map[string]any {
	return map[string]any{
		"architectures": []string{"LlamaForCausalLM"}, "model_type": "llama", "vocab_size": vocabulary, "hidden_size": s.Hidden,
		"intermediate_size": s.Intermediate, "num_hidden_layers": s.Layers, "num_attention_heads": s.Heads, "num_key_value_heads": s.KVHeads, "hidden_act": "silu",
		"max_position_embeddings": s.Positions, "initializer_range": deviation, "rms_norm_eps": 1e-5, "tie_word_embeddings": true, "eos_token_id": 1, "dtype": "float32",
		"rope_parameters": map[string]any{"rope_type": "default", "rope_theta": 10000.0},
	}
}

// tokenizer takes each word between spaces for a token.
func tokenizer(words []string) map[string]any {
	ids := map[string]int{}
	for id, word := range words {
		ids[word] = id
	}
	var added []map[string]any
	for id, word := range words[:2] {
		added = append(added, map[string]any{"id": id, "content": word, "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": true})
	}
	return map[string]any{
		"version": "1.0", "truncation": nil, "padding": nil, "added_tokens": added, "normalizer": nil,
		"pre_tokenizer": map[string]any{"type": "WhitespaceSplit"}, "post_processor": nil, "decoder": nil,
		"model": map[string]any{"type": "WordLevel", "vocab": ids, "unk_token": unknown},
	}
}
