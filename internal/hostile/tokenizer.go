package hostile

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"strings"
)

func init() {
	register("tokenizer", tokenizerCases)
	register("tokenizer-config", func() []Case {
		l := list{file: "tokenizer_config.json", beside: map[string][]byte{"tokenizer.json": object(bpe, nil)}}
		for _, f := range [][2]string{
			{"a list", `[]`}, {"empty", ``}, {"cut", `{"eos_token":"</`}, {"null", `null`}, {"HTML", `<html>`},
			{"eos is a number", `{"eos_token":1}`},
			{"eos is a list", `{"eos_token":["</s>"]}`},
			{"eos is an object with a number", `{"eos_token":{"content":1}}`},
			{"eos is an object without content", `{"eos_token":{"lstrip":false}}`},
			{"eos is no token", `{"eos_token":"<eos>"}`},
			{"eos is no token, as an object", `{"eos_token":{"content":"<eos>"}}`},
			{"eos is half a character", `{"eos_token":"\ud83d"}`},
			{"eos twice", `{"eos_token":"</s>","eos_token":"a"}`},
			{"no UTF-8", "{\"eos_token\":\"</s>\xff\"}"},
		} {
			l.text(f[0], f[1])
		}
		with := func(name, file, text string) { l.with(name, []byte(`{}`), map[string][]byte{file: []byte(text)}) }
		with("special tokens: a list", "special_tokens_map.json", `[]`)
		with("special tokens: eos is no token", "special_tokens_map.json", `{"eos_token":"<eos>"}`)
		with("generation: eos is text", "generation_config.json", `{"eos_token_id":"1"}`)
		with("generation: eos outside the vocabulary", "generation_config.json", `{"eos_token_id":4}`)
		with("generation: eos is negative", "generation_config.json", `{"eos_token_id":-1}`)
		with("generation: eos of 2 to the 31", "generation_config.json", `{"eos_token_id":2147483648}`)
		with("generation: eos list holds text", "generation_config.json", `{"eos_token_id":["1"]}`)
		with("model: eos outside the vocabulary", "config.json", `{"eos_token_id":[77,1]}`)
		with("model: cut", "config.json", `{"eos_token_id":[77`)
		with("chat template: cut", "chat_template.json", `{"chat_template":"`)
		return l.cases
	})
}

func raw(text string) json.RawMessage { return json.RawMessage(text) }

// bpe, unigram, wordPiece and wordLevel are each a tokenizer.json that is as it should be.
var (
	endToken = `[{"id":3,"content":"</s>","special":true,"single_word":false,"lstrip":false,"rstrip":false,"normalized":false}]`

	bpe = fields{"version": "1.0", "truncation": nil, "padding": nil, "added_tokens": raw(endToken), "normalizer": raw(`null`),
		"pre_tokenizer": raw(`{"type":"ByteLevel","add_prefix_space":false,"trim_offsets":true,"use_regex":true}`), "post_processor": raw(`null`),
		"decoder": raw(`{"type":"ByteLevel","add_prefix_space":true,"trim_offsets":true,"use_regex":true}`),
		"model":   raw(`{"type":"BPE","vocab":{"a":0,"b":1,"ab":2},"merges":["a b"]}`)}
)

func tokenizerCases() []Case {
	l := list{file: "tokenizer.json"}
	whole := object(bpe, nil)
	l.cuts(whole, 0, 1, 2, 30, 100, 200, -2, -1)
	set := func(name, field, value string) { l.add(name, object(bpe, fields{field: raw(value)})) }
	model := func(name, value string) {
		l.add(name, object(bpe, fields{"model": raw(value), "added_tokens": raw("[]")}))
	}
	for _, f := range [][2]string{
		{"a list", `[]`}, {"null", `null`}, {"a text", `"tokenizer"`}, {"an empty object", `{}`}, {"HTML", `<!DOCTYPE html>`},
		{"a pointer of Git LFS", "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a21\nsize 12345\n"},
		{"more after the end", string(whole) + `{}`},
		{"a comma too much", strings.TrimSuffix(string(whole), "}") + `,}`},
		{"a comment", "/* */" + string(whole)},
		{"single quotes", strings.ReplaceAll(string(whole), `"`, `'`)},
		{"model twice", strings.TrimSuffix(string(whole), "}") + `,"model":{"type":"WordLevel","unk_token":"a","vocab":{"a":0}}}`},
		{"added tokens twice", strings.TrimSuffix(string(whole), "}") + `,"added_tokens":[]}`},
		{"no UTF-8 in a field's name", "{\"a\xff\":1," + string(whole[1:])},
		{"nests deep", `{"extra":` + deep("[", "", "]", 100_000) + `,` + string(whole[1:])},
		{"normalizer nests deep", string(object(bpe, fields{"normalizer": raw(deep(`{"type":"Sequence","normalizers":[`, "", "]}", 200))}))},
		{"version twice", `{"version":"2.0",` + string(whole[1:])},
	} {
		l.text(f[0], f[1])
	}
	l.add("no model", object(bpe, fields{"model": nil}))
	for _, f := range [][2]string{
		{"model is a list", `[]`}, {"model is null", `null`}, {"model is a text", `"BPE"`}, {"model is empty", `{}`},
		{"model without a vocabulary", `{"type":"BPE","merges":[]}`},
		{"model of an unknown type", `{"type":"BPF","vocab":{"a":0},"merges":[]}`},
		{"model's type is a number", `{"type":7,"vocab":{"a":0},"merges":[]}`},
		{"model's type is null", `{"type":null,"vocab":{"a":0},"merges":[]}`},
		{"model's type twice", `{"type":"BPE","type":"WordLevel","vocab":{"a":0},"merges":[]}`},
		{"vocabulary is empty", `{"type":"BPE","vocab":{},"merges":[]}`},
		{"vocabulary is a number", `{"type":"BPE","vocab":7,"merges":[]}`},
		{"vocabulary is null", `{"type":"BPE","vocab":null,"merges":[]}`},
		{"vocabulary is a list of text", `{"type":"BPE","vocab":["a","b"],"merges":[]}`},
		{"vocabulary for Unigram as a mapping", `{"type":"Unigram","unk_id":0,"vocab":{"a":0}}`},
		{"vocabulary twice", `{"type":"BPE","vocab":{"a":0},"vocab":{"b":0},"merges":[]}`},
		{"a token twice", `{"type":"BPE","vocab":{"a":0,"b":1,"a":2},"merges":[]}`},
		{"a token twice by another spelling", `{"type":"BPE","vocab":{"a":0,"b":1,"\u0061":2},"merges":[]}`},
		{"two tokens of one id", `{"type":"BPE","vocab":{"a":0,"b":1,"c":1},"merges":[]}`},
		{"an id that is negative", `{"type":"BPE","vocab":{"a":-1},"merges":[]}`},
		{"an id of 2 to the 31", `{"type":"BPE","vocab":{"a":2147483648},"merges":[]}`},
		{"an id of 2 to the 32 and one", `{"type":"BPE","vocab":{"a":0,"b":4294967297},"merges":[]}`},
		{"an id of 2 to the 63", `{"type":"BPE","vocab":{"a":9223372036854775808},"merges":[]}`},
		{"an id far above the number of tokens", `{"type":"BPE","vocab":{"a":0,"b":1000000000},"merges":[]}`},
		{"an id that is a fraction", `{"type":"BPE","vocab":{"a":0.5},"merges":[]}`},
		{"an id that is text", `{"type":"BPE","vocab":{"a":"0"},"merges":[]}`},
		{"an id that is null", `{"type":"BPE","vocab":{"a":null},"merges":[]}`},
		{"an id that is a list", `{"type":"BPE","vocab":{"a":[0]},"merges":[]}`},
		{"an id with a leading zero", `{"type":"BPE","vocab":{"a":00},"merges":[]}`},
		{"an id with a plus", `{"type":"BPE","vocab":{"a":+0},"merges":[]}`},
		{"a token of half a character", `{"type":"BPE","vocab":{"\ud83d":0},"merges":[]}`},
		{"a token with a broken escape", `{"type":"BPE","vocab":{"\x":0},"merges":[]}`},
		{"a token with a control character", "{\"type\":\"BPE\",\"vocab\":{\"a\n\":0},\"merges\":[]}"},
		{"a token that is no UTF-8", "{\"type\":\"BPE\",\"vocab\":{\"a\xff\":0},\"merges\":[]}"},
		{"merges are missing", `{"type":"BPE","vocab":{"a":0}}`},
		{"merges are null", `{"type":"BPE","vocab":{"a":0},"merges":null}`},
		{"merges are a text", `{"type":"BPE","vocab":{"a":0},"merges":"a b"}`},
		{"merges are an object", `{"type":"BPE","vocab":{"a":0},"merges":{"a":"b"}}`},
		{"a merge of one token", `{"type":"BPE","vocab":{"a":0,"b":1,"ab":2},"merges":["ab"]}`},
		{"a merge of three tokens", `{"type":"BPE","vocab":{"a":0,"b":1,"ab":2},"merges":[["a","b","c"]]}`},
		{"a merge that is a number", `{"type":"BPE","vocab":{"a":0,"b":1,"ab":2},"merges":[1]}`},
		{"a merge of numbers", `{"type":"BPE","vocab":{"a":0,"b":1,"ab":2},"merges":[[1,2]]}`},
		{"a merge that is null", `{"type":"BPE","vocab":{"a":0,"b":1,"ab":2},"merges":[null]}`},
		{"a merge that is empty", `{"type":"BPE","vocab":{"a":0,"b":1,"ab":2},"merges":[""]}`},
		{"a merge of a token that is not there", `{"type":"BPE","vocab":{"a":0,"b":1,"ab":2},"merges":["a c"]}`},
		{"a merge into a token that is not there", `{"type":"BPE","vocab":{"a":0,"b":1},"merges":["a b"]}`},
		{"a merge twice", `{"type":"BPE","vocab":{"a":0,"b":1,"ab":2},"merges":["a b","a b"]}`},
		{"a merge twice, in both spellings", `{"type":"BPE","vocab":{"a":0,"b":1,"ab":2},"merges":["a b",["a","b"]]}`},
		{"a merge with a NUL", `{"type":"BPE","vocab":{"a":0,"b":1,"ab":2},"merges":["a\u0000 b"]}`},
		{"merges cut in the middle", `{"type":"BPE","vocab":{"a":0,"b":1,"ab":2},"merges":["a b",]}`},
		{"merges lack the prefix of words' parts", `{"type":"BPE","vocab":{"a":0,"b":1,"ab":2},"continuing_subword_prefix":"##","merges":["a b"]}`},
		{"unknown token is a number", `{"type":"BPE","unk_token":1,"vocab":{"a":0},"merges":[]}`},
		{"unknown token is not there", `{"type":"BPE","unk_token":"<unk>","vocab":{"a":0},"merges":[]}`},
		{"unknown token with a NUL", `{"type":"BPE","unk_token":"\u0000","vocab":{"a":0},"merges":[]}`},
		{"byte_fallback is text", `{"type":"BPE","byte_fallback":"yes","vocab":{"a":0},"merges":[]}`},
		{"fuse_unk is a number", `{"type":"BPE","fuse_unk":3,"vocab":{"a":0},"merges":[]}`},
		{"Unigram: unknown id outside the vocabulary", `{"type":"Unigram","unk_id":5,"vocab":[["a",-1.0]]}`},
		{"Unigram: unknown id is negative", `{"type":"Unigram","unk_id":-1,"vocab":[["a",-1.0]]}`},
		{"Unigram: unknown id is text", `{"type":"Unigram","unk_id":"0","vocab":[["a",-1.0]]}`},
		{"Unigram: vocabulary is empty", `{"type":"Unigram","unk_id":null,"vocab":[]}`},
		{"Unigram: an entry of one", `{"type":"Unigram","unk_id":0,"vocab":[["a"]]}`},
		{"Unigram: an entry of three", `{"type":"Unigram","unk_id":0,"vocab":[["a",-1,0]]}`},
		{"Unigram: an entry reversed", `{"type":"Unigram","unk_id":0,"vocab":[[-1,"a"]]}`},
		{"Unigram: an entry that is an object", `{"type":"Unigram","unk_id":0,"vocab":[{"a":-1}]}`},
		{"Unigram: a score of NaN", `{"type":"Unigram","unk_id":0,"vocab":[["a",NaN]]}`},
		{"Unigram: a score too large", `{"type":"Unigram","unk_id":0,"vocab":[["a",-1e999]]}`},
		{"Unigram: a score that is text", `{"type":"Unigram","unk_id":0,"vocab":[["a","-1"]]}`},
		{"Unigram: a token twice", `{"type":"Unigram","unk_id":0,"vocab":[["a",-1.0],["a",-2.0]]}`},
		{"WordPiece: no unknown token", `{"type":"WordPiece","vocab":{"a":0},"continuing_subword_prefix":"##","max_input_chars_per_word":100}`},
		{"WordPiece: longest word of minus one", `{"type":"WordPiece","unk_token":"a","vocab":{"a":0},"continuing_subword_prefix":"##","max_input_chars_per_word":-1}`},
		{"WordPiece: prefix is a number", `{"type":"WordPiece","unk_token":"a","vocab":{"a":0},"continuing_subword_prefix":2,"max_input_chars_per_word":100}`},
		{"WordLevel: unknown token is null", `{"type":"WordLevel","unk_token":null,"vocab":{"a":0}}`},
		{"WordLevel: no vocabulary but merges", `{"type":"WordLevel","unk_token":"a","merges":[]}`},
	} {
		model(f[0], f[1])
	}
	for _, f := range [][3]string{
		{"added tokens are an object", "added_tokens", `{}`},
		{"added tokens hold a text", "added_tokens", `["</s>"]`},
		{"added tokens are a number", "added_tokens", `7`},
		{"an added token without an id", "added_tokens", `[{"content":"x","special":true}]`},
		{"an added token without content", "added_tokens", `[{"id":3,"special":true}]`},
		{"an added token's id is text", "added_tokens", `[{"id":"3","content":"x"}]`},
		{"an added token's id is negative", "added_tokens", `[{"id":-3,"content":"x"}]`},
		{"an added token's id of 2 to the 31", "added_tokens", `[{"id":2147483648,"content":"x"}]`},
		{"an added token's id of 2 to the 63", "added_tokens", `[{"id":9223372036854775808,"content":"x"}]`},
		{"an added token's id far above the others", "added_tokens", `[{"id":1000000000,"content":"x","special":true,"single_word":false,"lstrip":false,"rstrip":false,"normalized":false}]`},
		{"an added token with a NUL", "added_tokens", strings.Replace(endToken, "</s>", `\u0000`, 1)},
		{"an added token that is half a character", "added_tokens", strings.Replace(endToken, "</s>", `\ud83d`, 1)},
		{"an added token of nothing", "added_tokens", strings.Replace(endToken, "</s>", ``, 1)},
		{"two added tokens of one id", "added_tokens", strings.TrimSuffix(endToken, "]") + "," + strings.Replace(endToken[1:], "</s>", "<s>", 1)},
		{"an added token of another's id", "added_tokens", strings.Replace(endToken, `"id":3`, `"id":1`, 1)},
		{"two added tokens of one text", "added_tokens", strings.TrimSuffix(endToken, "]") + "," + strings.Replace(endToken[1:], `"id":3`, `"id":4`, 1)},
		{"special is text", "added_tokens", strings.Replace(endToken, `"special":true`, `"special":"yes"`, 1)},
		{"an added token's id twice", "added_tokens", strings.Replace(endToken, `"id":3`, `"id":3,"id":4`, 1)},
		{"normalizer is a text", "normalizer", `"NFC"`},
		{"normalizer is a list", "normalizer", `[{"type":"NFC"}]`},
		{"normalizer without a type", "normalizer", `{}`},
		{"normalizer of an unknown type", "normalizer", `{"type":"NFX"}`},
		{"normalizer's type is a number", "normalizer", `{"type":1}`},
		{"normalizer's pattern is broken", "normalizer", `{"type":"Replace","pattern":{"Regex":"(["},"content":""}`},
		{"normalizer's pattern is missing", "normalizer", `{"type":"Replace","content":""}`},
		{"normalizer's sequence holds null", "normalizer", `{"type":"Sequence","normalizers":[null]}`},
		{"normalizer's sequence is missing", "normalizer", `{"type":"Sequence"}`},
		{"normalizer with a NUL", "normalizer", `{"type":"Prepend","prepend":"\u0000"}`},
		{"charsmap is missing", "normalizer", `{"type":"Precompiled"}`},
		{"charsmap is a number", "normalizer", `{"type":"Precompiled","precompiled_charsmap":1}`},
		{"charsmap is no base64", "normalizer", `{"type":"Precompiled","precompiled_charsmap":"!!"}`},
		{"charsmap is empty", "normalizer", `{"type":"Precompiled","precompiled_charsmap":""}`},
		{"charsmap is longer than it is", "normalizer", `{"type":"Precompiled","precompiled_charsmap":"` + base64.StdEncoding.EncodeToString([]byte{255, 255, 255, 255, 0, 0, 0, 0}) + `"}`},
		{"charsmap leads out of itself", "normalizer", `{"type":"Precompiled","precompiled_charsmap":"` + base64.StdEncoding.EncodeToString(binary.LittleEndian.AppendUint32([]byte{4, 0, 0, 0}, 0x7ffffc00)) + `"}`},
		{"pre-tokenizer of an unknown type", "pre_tokenizer", `{"type":"Bytes"}`},
		{"pre-tokenizer is a number", "pre_tokenizer", `1`},
		{"pre-tokenizer's pattern is broken", "pre_tokenizer", `{"type":"Split","pattern":{"Regex":"(?<"},"behavior":"Isolated","invert":false}`},
		{"pre-tokenizer's behaviour is unknown", "pre_tokenizer", `{"type":"Split","pattern":{"String":" "},"behavior":"Isolate","invert":false}`},
		{"pre-tokenizer's replacement is a word", "pre_tokenizer", `{"type":"Metaspace","replacement":"ab","prepend_scheme":"always","split":true}`},
		{"pre-tokenizer's scheme is unknown", "pre_tokenizer", `{"type":"Metaspace","replacement":"_","prepend_scheme":"often","split":true}`},
		{"pre-tokenizer's type twice", "pre_tokenizer", `{"type":"Whitespace","type":"ByteLevel"}`},
		{"post-processor of an unknown type", "post_processor", `{"type":"Template"}`},
		{"post-processor refers to a token that is not there", "post_processor", `{"type":"TemplateProcessing","single":[{"SpecialToken":{"id":"<s>","type_id":0}},{"Sequence":{"id":"A","type_id":0}}],"pair":[{"Sequence":{"id":"A","type_id":0}},{"Sequence":{"id":"B","type_id":1}}],"special_tokens":{}}`},
		{"post-processor's token has an id outside the vocabulary", "post_processor", `{"type":"TemplateProcessing","single":[{"SpecialToken":{"id":"<s>","type_id":0}},{"Sequence":{"id":"A","type_id":0}}],"pair":[{"Sequence":{"id":"A","type_id":0}},{"Sequence":{"id":"B","type_id":1}}],"special_tokens":{"<s>":{"id":"<s>","ids":[4000000000],"tokens":["<s>"]}}}`},
		{"post-processor is a list", "post_processor", `[]`},
		{"decoder of an unknown type", "decoder", `{"type":"Bytes"}`},
		{"decoder is a text", "decoder", `"ByteLevel"`},
		{"decoder that strips the end", "decoder", `{"type":"Strip","content":" ","start":0,"stop":1}`},
		{"decoder's sequence is a text", "decoder", `{"type":"Sequence","decoders":"ByteLevel"}`},
		{"version is a number", "version", `1`},
		{"version is unknown", "version", `"9.9"`},
	} {
		set(f[0], f[1], f[2])
	}
	return l.cases
}
