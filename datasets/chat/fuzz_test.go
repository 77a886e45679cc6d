package chat

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"
	"unicode/utf8"
)

// FuzzRender holds that no template, over no values, panics, runs long, or gives more than its limit; and that the same template and
// values give the same text again. The corpus is the templates of testdata and the hostile ones.
func FuzzRender(f *testing.F) {
	files, err := filepath.Glob(filepath.Join("testdata", "*.jinja"))
	if err != nil || len(files) == 0 {
		f.Fatal("no templates in testdata: ", err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(text), `[{"role":"user","content":"a"},{"role":"assistant","content":"b","tool_calls":[{"id":"abcdefgh1","function":{"name":"f","arguments":{"x":[1.5,null]}}}]}]`)
	}
	for _, c := range hostile {
		if len(c.source) < 1000 {
			f.Add(c.source, `[]`)
		}
	}
	limits := Limits{Steps: 20_000, Output: 1 << 16, Depth: 50}
	f.Fuzz(func(t *testing.T, source, messages string) {
		v, err := Values([]byte(messages))
		if err != nil {
			v = list{}
		}
		vars := Conversation{Messages: v, GenerationPrompt: true, Tokens: map[string]string{"bos_token": "<s>", "eos_token": "</s>"}}.Variables()
		start := time.Now()
		tpl, err := Parse(source)
		if err != nil {
			mustBeOurs(t, err)
			return
		}
		out, err := tpl.Render(vars, Options{Limits: limits})
		if err != nil {
			mustBeOurs(t, err)
		}
		if took := time.Since(start); took > 5*time.Second {
			t.Errorf("it took %v", took)
		}
		if len(out.Text) > limits.Output || utf8.ValidString(source) && !utf8.ValidString(out.Text) {
			t.Errorf("%d bytes, %q", len(out.Text), out.Text)
		}
		if again, err2 := tpl.Render(vars, Options{Limits: limits}); again.Text != out.Text || (err == nil) != (err2 == nil) {
			t.Errorf("first %q (%v), then %q (%v)", out.Text, err, again.Text, err2)
		}
	})
}

func mustBeOurs(t *testing.T, err error) {
	t.Helper()
	var e *Error
	if !errors.As(err, &e) || e.Line < 1 || e.Message == "" {
		t.Errorf("%v is no *Error with a line", err)
	}
}
