package chat

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"unicode/utf8"

	"github.com/dpo-ort/dpo-ort/internal/golden"
)

type conversationCase struct {
	Template, Said, Error, Message, SHA256 string
	Told                                   json.RawMessage
	Tools, Prompt                          bool
	Text                                   *string
	Generated                              [][2]int // in characters
}

type conversationFile struct {
	Said   map[string]json.RawMessage
	Tools  json.RawMessage
	Tokens map[string]map[string]string
	Cases  []conversationCase
}

// TestConversations holds that templates in the styles of Llama 3, Gemma 3, Mistral, Phi-3, ChatML and Zephyr, one with macros, and Qwen3's own write
// 18 conversations, with and without tools and the beginning of an answer, as transformers 5.23 does, to the byte, with the same generation
// blocks and refusals (scripts/golden/make_chat.py).
func TestConversations(t *testing.T) {
	var file conversationFile
	golden.JSON(t, golden.Testdata(t, "golden", "chat-conversations.json"), &file)
	templates := map[string]*Template{}
	for _, c := range file.Cases {
		if templates[c.Template] == nil {
			templates[c.Template] = nil
		}
	}
	for name := range templates {
		t.Run(name, func(t *testing.T) {
			tpl, err := Parse(templateSource(t, name))
			if err != nil {
				t.Fatal(err)
			}
			n := 0
			for _, c := range file.Cases {
				if c.Template == name {
					n++
					file.check(t, tpl, c)
				}
			}
			if n < 54 {
				t.Errorf("%d cases, want 54 at least", n)
			}
		})
	}
}

func templateSource(t *testing.T, name string) string {
	t.Helper()
	if name != "qwen3" {
		text, err := os.ReadFile(filepath.Join("testdata", name+".jinja"))
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	var config struct {
		Template string `json:"chat_template"`
	}
	golden.JSON(t, golden.Shared(t, "tok/qwen3.tokenizer_config.json"), &config)
	return config.Template
}

// conversation gives a case as it is rendered.
func (f *conversationFile) conversation(t *testing.T, c conversationCase) Conversation {
	t.Helper()
	out := Conversation{Messages: values(t, f.Said[c.Said]), GenerationPrompt: c.Prompt, Tokens: f.Tokens[c.Template], More: map[string]any{}}
	if c.Tools {
		out.Tools = values(t, f.Tools)
	}
	told := values(t, c.Told).(*Dict)
	for i, k := range told.keys {
		out.More[k.(string)] = told.values[i]
	}
	return out
}

func (f *conversationFile) check(t *testing.T, tpl *Template, c conversationCase) {
	t.Helper()
	at := c
	at.Text = nil
	got, err := tpl.Render(f.conversation(t, c).Variables(), Options{})
	var e *Error
	sum := sha256.Sum256([]byte(got.Text))
	switch {
	case err != nil && !errors.As(err, &e):
		t.Errorf("%+v: %v", at, err)
	case c.Error != "" && err == nil:
		t.Errorf("%+v: gives %q", at, got.Text)
	case c.Error == "TemplateError" && (e.Kind != Raised || e.Message != c.Message):
		t.Errorf("%+v: %v", at, err)
	case c.Error == "" && err != nil:
		t.Errorf("%+v: %v", at, err)
	case c.Text != nil && got.Text != *c.Text:
		t.Errorf("%+v:\n got %q\nwant %q", at, got.Text, *c.Text)
	case c.SHA256 != "" && hex.EncodeToString(sum[:]) != c.SHA256:
		t.Errorf("%+v: gives another text: %q", at, got.Text)
	case !slices.Equal(inCharacters(got), c.Generated):
		t.Errorf("%+v: generated %v, want %v", at, inCharacters(got), c.Generated)
	}
}

func inCharacters(out Output) (spans [][2]int) {
	for _, s := range out.Generated {
		spans = append(spans, [2]int{utf8.RuneCountInString(out.Text[:s[0]]), utf8.RuneCountInString(out.Text[:s[1]])})
	}
	return spans
}

func values(t testing.TB, text []byte) any {
	t.Helper()
	v, err := Values(text)
	if err != nil {
		t.Fatal(err)
	}
	return v
}
