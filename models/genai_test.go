package models

import "testing"

// What GenAI is told of tokens: the first of several, none where a model says −1, and the end of texts for padding where there is no other.
func TestGenAITokens(t *testing.T) {
	for name, c := range map[string]struct {
		bos, pad, eos []int32
		want          map[string]any
	}{
		"all":         {[]int32{1}, []int32{0}, []int32{2}, map[string]any{"bos_token_id": int32(1), "pad_token_id": int32(0), "eos_token_id": int32(2)}},
		"no padding":  {nil, nil, []int32{2}, map[string]any{"pad_token_id": int32(2), "eos_token_id": int32(2)}},
		"padding −1":  {[]int32{-1}, []int32{-1}, []int32{2}, map[string]any{"pad_token_id": int32(2), "eos_token_id": int32(2)}},
		"nothing":     {nil, []int32{-1}, nil, map[string]any{}},
		"end is kept": {nil, []int32{5, 6}, []int32{2}, map[string]any{"pad_token_id": int32(5), "eos_token_id": int32(2)}},
	} {
		got := map[string]any{}
		putIDs(got, c.eos, sampling{BOS: c.bos, Pad: c.pad})
		if len(got) != len(c.want) {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
		for field, id := range c.want {
			if got[field] != id {
				t.Errorf("%s: %s is %v, want %v", name, field, got[field], id)
			}
		}
	}
}
