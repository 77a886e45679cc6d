package models

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/dpo-ort/dpo-ort/internal/plainjson"
	"github.com/dpo-ort/dpo-ort/internal/safefile"
)

// GenAIConfig is the file by which ONNX Runtime GenAI knows a folder.
const GenAIConfig = "genai_config.json"

// unknownContext is a model's length where config.json does not say.
const unknownContext = 4096

// sampling are settings of text that is drawn, under the names that generation_config.json and genai_config.json have in common.
type sampling struct {
	BOS         tokenIDs `json:"bos_token_id"`
	Pad         tokenIDs `json:"pad_token_id"`
	DoSample    *bool    `json:"do_sample"`
	Temperature *float64 `json:"temperature"`
	TopK        *int     `json:"top_k"`
	TopP        *float64 `json:"top_p"`
	Repetition  *float64 `json:"repetition_penalty"`

	Generation `json:"-"`
}

// writeConfigs writes what says what the model is: for GenAI genai_config.json, for Optimum config.json, and the tokenizer's files for both.
func (x *Inference) writeConfigs(dir string, eos []int32) error {
	if err := x.whole.saveCompanions(dir, SourceWeights); err != nil {
		return err
	}
	if x.adapter != nil {
		if err := copyFiles(dir, x.adapter.Dir, companions[1:]); err != nil {
			return err
		}
	}
	text, err := json.MarshalIndent(x.genAI(eos), "", "  ")
	if err != nil {
		return err
	}
	return safefile.Write(filepath.Join(dir, GenAIConfig), append(text, '\n'))
}

// genAI is the file's content, after the layout that GenAI's own builder writes.
func (x *Inference) genAI(eos []int32) map[string]any {
	how := x.sampling
	ends := slices.Clone(how.EOS)
	for _, id := range eos {
		if !slices.Contains(ends, id) {
			ends = append(ends, id)
		}
	}
	length := cmp.Or(how.Context, unknownContext)
	numbered := func(name, what string) string { return strings.Replace(fmt.Sprintf(name, 0, what), "0", "%d", 1) }
	d := x.Decoder
	model := map[string]any{
		"type": "decoder", "vocab_size": d.Vocab, "context_length": length,
		"decoder": map[string]any{
			"filename": InferenceModel, "hidden_size": d.Hidden, "head_size": d.HeadDim,
			"num_attention_heads": d.Heads, "num_key_value_heads": d.KVHeads, "num_hidden_layers": d.Layers,
			"session_options": map[string]any{"log_id": "onnxruntime-genai", "provider_options": []any{}},
			"inputs": map[string]string{inputIDs: inputIDs, attentionMask: attentionMask, positionIDs: positionIDs,
				"past_key_names": numbered(pastName, "key"), "past_value_names": numbered(pastName, "value")},
			"outputs": map[string]string{logitsName: logitsName,
				"present_key_names": numbered(presentName, "key"), "present_value_names": numbered(presentName, "value")},
		},
	}
	putIDs(model, ends, how)
	search := map[string]any{"max_length": length, "do_sample": false, "past_present_share_buffer": false}
	put(search, "do_sample", how.DoSample)
	put(search, "temperature", how.Temperature)
	put(search, "top_k", how.TopK)
	put(search, "top_p", how.TopP)
	put(search, "repetition_penalty", how.Repetition)
	return map[string]any{"model": model, "search": search}
}

// put sets what there is a value for.
func put[T any](into map[string]any, name string, value *T) {
	if value != nil {
		into[name] = *value
	}
}

// putIDs sets the tokens that GenAI is told: without one for padding it is the one that ends texts. Some models say −1 for none.
func putIDs(model map[string]any, eos []int32, how sampling) {
	switch {
	case len(eos) == 1:
		model["eos_token_id"] = eos[0]
	case len(eos) > 1:
		model["eos_token_id"] = eos
	}
	first := func(name string, ids []int32) {
		if i := slices.IndexFunc(ids, func(id int32) bool { return id >= 0 }); i >= 0 {
			model[name] = ids[i]
		}
	}
	first("pad_token_id", append(slices.Clone(how.Pad), eos...))
	first("bos_token_id", how.BOS)
}

// readSampling reads config.json, and generation_config.json where there is one, which goes first.
func readSampling(dir string) (how sampling, err error) {
	if how.Generation, err = ReadGeneration(dir); err != nil {
		return how, err
	}
	for _, name := range []string{configName, companions[0]} {
		path := filepath.Join(dir, name)
		text, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) && name != configName {
			continue
		}
		if err == nil {
			err = plainjson.Unmarshal(text, &how)
		}
		if err != nil {
			return how, fmt.Errorf("read how to generate: %s: %w", path, err)
		}
	}
	return how, nil
}
