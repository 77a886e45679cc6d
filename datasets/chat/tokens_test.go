package chat_test

import (
	"compress/gzip"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/dpo-ort/dpo-ort/datasets"
	"github.com/dpo-ort/dpo-ort/datasets/chat"
	"github.com/dpo-ort/dpo-ort/datasets/tokenizer"
	"github.com/dpo-ort/dpo-ort/internal/golden"
)

// chatting is a tokenizer with a chat template.
type chatting struct {
	*tokenizer.Tokenizer
	*chat.Renderer
}

// refused are conversations that transformers writes and we do not take: of Mistral's style, since it leaves the system's words out
// as soon as the user's are answered; of others, since tool calls vanish.
var refused = map[string]string{
	"mistral, system":           "the chat template writes the prompt otherwise when an answer follows, from byte 11 on",
	"chatml-generation, called": "message 2 calls tools (tool_calls), and the chat template of chatml-generation does not know that",
	"zephyr, called":            "message 2 calls tools (tool_calls), and the chat template of zephyr does not know that",
}

// TestTokens holds that conversations become the token ids that transformers' apply_chat_template(tokenize=True) gives them, by Qwen3's
// tokenizer and a small one: what the template writes, and no token beside it; and special tokens spelt in messages as text
// (there: sanitize_control_tokens=True). The Encoder's prompt and answer are the same ids, parted. Where all turns of the assistant are scored these are
// the tokens of return_assistant_tokens_mask=True.
func TestTokens(t *testing.T) {
	var file struct {
		Cases []struct {
			Tokenizer, Template, Said string
			Tools                     bool
			IDs                       []int32
			Assistant                 []int // 1 where a token is the assistant's; nil where the template marks nothing
		}
	}
	var said struct {
		Said  map[string]json.RawMessage
		Tools json.RawMessage
	}
	golden.JSON(t, golden.Testdata(t, "golden", "chat-tokens.json"), &file)
	golden.JSON(t, golden.Testdata(t, "golden", "chat-conversations.json"), &said)
	for _, name := range []string{"qwen3", "tiny-llama"} {
		t.Run(name, func(t *testing.T) {
			tok := open(t, name)
			n, masked := 0, 0
			for _, c := range file.Cases {
				if c.Tokenizer != name {
					continue
				}
				n++
				r := &chatting{tok, chat.NewRenderer(c.Template, template(t, c.Template, tok), tok.SpecialTokens())}
				row := map[string]any{"messages": said.Said[c.Said]}
				if c.Tools {
					row["tools"] = said.Tools
				}
				g := read(t, row)
				x, err := (&datasets.Encoder{Tokenizer: r}).Encode(g)
				if why := refused[c.Template+", "+c.Said]; why != "" || err != nil {
					if err == nil || why == "" || !strings.Contains(err.Error(), why) {
						t.Errorf("%s, %s: %v, want %q", c.Template, c.Said, err, why)
					}
					continue
				}
				if got := slices.Concat(x.Prompt, x.Completions[0].IDs); !slices.Equal(got, c.IDs) {
					t.Errorf("%s, %s:\n got %v\nwant %v", c.Template, c.Said, got, c.IDs)
				}
				if c.Assistant != nil {
					masked++
					x, err := (&datasets.Encoder{Tokenizer: r, Turns: datasets.TurnsAll}).Encode(g)
					if got := mask(x); err != nil || !slices.Equal(slices.Concat(x.Prompt, x.Completions[0].IDs), c.IDs) || !slices.Equal(got, c.Assistant) {
						t.Errorf("%s, %s, all turns (%v):\n got %v\nwant %v", c.Template, c.Said, err, got, c.Assistant)
					}
				}
				prompt, err := datasets.EncodePrompt(r, g.Prompt)
				if err != nil || !slices.Equal(prompt, c.IDs[:len(prompt)]) && c.Template != "zephyr" {
					t.Errorf("%s, %s: prompt alone %v (%v), want the beginning of %v", c.Template, c.Said, prompt, err, c.IDs)
				}
			}
			if n < 10 || masked < 4 {
				t.Errorf("%d cases, %d masks", n, masked)
			}
		})
	}
}

// mask has 1 for each token that is scored.
func mask(x datasets.Example) (ones []int) {
	ones = make([]int, len(x.Prompt))
	for _, c := range x.Completions {
		for i := range c.IDs {
			if ones = append(ones, 0); c.Scores(i) {
				ones[len(ones)-1] = 1
			}
		}
	}
	return ones
}

// read makes a group of a row.
func read(t *testing.T, row any) (g datasets.Group) {
	t.Helper()
	text, err := json.Marshal(row)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "rows.jsonl")
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	for g, err := range datasets.Read([]string{path}, datasets.Options{}) {
		if err != nil {
			t.Fatal(err)
		}
		return g
	}
	return g
}

func open(t *testing.T, name string) *tokenizer.Tokenizer {
	t.Helper()
	dir := golden.Testdata(t, "models", "tiny-llama")
	if name == "qwen3" {
		dir = qwen3(t)
	}
	tok, err := tokenizer.Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { tok.Close() })
	return tok
}

// qwen3 is a folder with Qwen3's tokenizer and its configuration.
func qwen3(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	f, err := os.Open(golden.Shared(t, "tok/qwen3.tokenizer.json.gz"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	config, err := os.ReadFile(golden.Shared(t, "tok/qwen3.tokenizer_config.json"))
	if err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string][]byte{"tokenizer.json": text, "tokenizer_config.json": config} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// template is one of testdata, or the model's own.
func template(t *testing.T, name string, tok *tokenizer.Tokenizer) []byte {
	t.Helper()
	if name == "qwen3" {
		return tok.Template()
	}
	text, err := os.ReadFile(filepath.Join("testdata", name+".jinja"))
	if err != nil {
		t.Fatal(err)
	}
	return text
}
