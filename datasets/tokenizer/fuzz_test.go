package tokenizer

import (
	"encoding/base64"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// specSeeds are a whole tokenizer.json of each kind of model, small.
func specSeeds(t testing.TB) [][]byte {
	t.Helper()
	llama, err := os.ReadFile("../../testdata/models/tiny-llama/tokenizer.json")
	if err != nil {
		t.Fatal(err)
	}
	return [][]byte{
		[]byte(`{"version":"1.0","added_tokens":[{"id":3,"content":"</s>","special":true,"single_word":false,"lstrip":false,"rstrip":false,"normalized":false}],"normalizer":null,"pre_tokenizer":{"type":"ByteLevel","add_prefix_space":false,"trim_offsets":true},"post_processor":null,"decoder":{"type":"ByteLevel"},"model":{"type":"BPE","vocab":{"a":0,"b":1,"ab":2},"merges":["a b"]}}`),
		[]byte(`{"model":{"type":"Unigram","unk_id":0,"vocab":[["<unk>",0],["a",-1.5]]},"pre_tokenizer":{"type":"Metaspace","replacement":"▁","prepend_scheme":"first"}}`),
		[]byte(`{"model":{"type":"WordPiece","unk_token":"[UNK]","continuing_subword_prefix":"##","max_input_chars_per_word":100,"vocab":{"[UNK]":0,"a":1,"##b":2}}}`),
		[]byte(`{"model":{"type":"WordLevel","unk_token":"u","vocab":{"u":0,"a":1}}}`),
		llama,
	}
}

// FuzzReadSpec checks that a tokenizer.json is taken apart or refused, and that what is handed to Rust is JSON.
func FuzzReadSpec(f *testing.F) {
	for _, seed := range specSeeds(f) {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := readSpec(data)
		if err != nil {
			return
		}
		for _, later := range []bool{false, true} {
			if text, err := s.marshal(later); err != nil || json.Valid(data) && !json.Valid(text) {
				t.Fatalf("error %v of %s", err, text)
			}
		}
		s.vocab.id("a")
		s.vocab.text(0)
		s.vocab.specials()
	})
}

// FuzzEach holds the scanner to encoding/json: what is valid there has as many entries here.
func FuzzEach(f *testing.F) {
	f.Add([]byte(`{"a":[1,{"b":"c\"}"}],"d":null}`))
	f.Add([]byte(`[["a",-1e5],[],"\\"]`))
	f.Fuzz(func(t *testing.T, data []byte) {
		n := 0
		err := each(data, func(_, value []byte) error { n++; return nil })
		var list []json.RawMessage
		if json.Unmarshal(data, &list) == nil && list != nil && (err == nil && n != len(list) || err != nil && !strings.Contains(err.Error(), "nest")) {
			t.Fatalf("%d entries of %d: %v", n, len(list), err)
		}
	})
}

// FuzzLoad gives a tokenizer.json to Rust where our checks let it pass, and has it encode and decode: the process must survive.
func FuzzLoad(f *testing.F) {
	for _, seed := range specSeeds(f) {
		f.Add(seed, "ab a")
	}
	f.Fuzz(func(t *testing.T, data []byte, text string) {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "tokenizer.json"), data, 0o600); err != nil {
			t.Fatal(err)
		}
		tok, err := Load(dir)
		if err != nil {
			return
		}
		defer tok.Close()
		ids, ends, err := tok.Encode(text)
		if err != nil {
			return
		}
		if len(ids) != len(ends) {
			t.Fatalf("%d ids and %d ends", len(ids), len(ends))
		}
		_, _ = tok.Decode(ids)
	})
}

func FuzzCharsmap(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte{4, 0, 0, 0, 0, 0, 0, 0, 'a'})
	f.Fuzz(func(t *testing.T, data []byte) { _ = checkCharsmap(base64.StdEncoding.EncodeToString(data)) })
}

// FuzzConfigs reads the small files beside a tokenizer.json.
func FuzzConfigs(f *testing.F) {
	f.Add(`{"eos_token":"</s>"}`, `{"eos_token_id":[1]}`)
	f.Add(`{"eos_token":{"content":"a"},"chat_template":"x"}`, `{"eos_token_id":null}`)
	f.Fuzz(func(t *testing.T, config, generation string) {
		dir := t.TempDir()
		for name, text := range map[string]string{"tokenizer.json": string(specSeeds(t)[0]), "tokenizer_config.json": config, "generation_config.json": generation} {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if tok, err := Load(dir); err == nil {
			tok.EOS()
			tok.Close()
		}
	})
}
