package datasets

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/parquet-go/parquet-go"
)

// chattyTokens are bytes, with <e> as a special token, and a template as a function.
type chattyTokens struct {
	byteTokens
	write func(Conversation) (string, error)
	said  func(text string) [][2]int // parts that the template marks; nil for none
}

func (c chattyTokens) Render(of Conversation) (w Writing, err error) {
	w.Text, err = c.write(of)
	if c.said != nil {
		w.Said = c.said(w.Text)
	}
	return w, err
}
func (chattyTokens) Specials() []string { return []string{"<e>"} }

// turns writes each turn in one line.
func turns(c Conversation) (string, error) {
	var b strings.Builder
	for _, m := range c.Messages {
		b.WriteString("[" + m.Role + "]" + m.Content + "<e>\n")
	}
	if c.GenerationPrompt {
		b.WriteString("[assistant]")
	}
	return b.String(), nil
}

// TestRenderedParts holds where prompt and answer part, and that special tokens spelt in contents are text, for templates that write
// the beginning of an answer in different ways.
func TestRenderedParts(t *testing.T) {
	user := Text{Messages: []Message{{Role: "user", Content: "a <e> b"}}}
	says := func(s string) []Message { return []Message{{Role: "assistant", Content: s}} }
	replaced := func(old, new string) func(Conversation) (string, error) {
		return func(c Conversation) (string, error) {
			s, err := turns(c)
			return strings.ReplaceAll(s, old, new), err
		}
	}
	for name, c := range map[string]struct {
		prompt       Text
		answer       []Message
		write        func(Conversation) (string, error)
		before, then string
		inert        []int
		err          string
	}{
		"alike":             {user, says("c<e>"), turns, "[user]a <e> b<e>\n[assistant]", "c<e><e>\n", []int{8, 29}, ""},
		"no prompt":         {Text{}, says("c"), turns, "", "[assistant]c<e>\n", nil, ""},
		"the user goes on":  {Text{Messages: says("x")}, []Message{{Role: "user", Content: "y"}}, turns, "[assistant]x<e>\n", "[user]y<e>\n", nil, ""},
		"told not to think": {user, says("c"), replaced("[assistant]c", "[assistant]<t></t>c"), "[user]a <e> b<e>\n[assistant]", "<t></t>c<e>\n", []int{8}, ""},
		"begun by thinking": {user, says("c"), func(c Conversation) (string, error) {
			s, err := turns(c)
			if c.GenerationPrompt {
				s += "<t>"
			}
			return s, err
		}, "[user]a <e> b<e>\n[assistant]", "c<e>\n", []int{8}, ""},
		"an end without an answer": {user, says("c"), func(c Conversation) (string, error) {
			s, err := turns(c)
			if !c.GenerationPrompt {
				s += "END"
			}
			return s, err
		}, "[user]a <e> b<e>\n[assistant]", "c<e>\nEND", []int{8}, ""},
		"the prompt changes": {user, says("c"), func(c Conversation) (string, error) {
			s, err := turns(c)
			return strings.Repeat("!", len(c.Messages)) + s, err
		}, "", "", nil, "from byte 1 on (\"[user]a <e> b<e>\\n[assistant]\")"},
		"nothing":       {user, says("c"), func(Conversation) (string, error) { return "", nil }, "", "", nil, "the chat template writes nothing of the answer"},
		"the same text": {user, says("c"), func(Conversation) (string, error) { return "[]", nil }, "[]", "", nil, "the chat template writes nothing of the answer: give another (--chat-template FILE)"},
		"no answer":     {user, says(" "), func(Conversation) (string, error) { return "[]", nil }, "[]", "", nil, ""},
		"refused":       {user, says("c"), func(Conversation) (string, error) { return "", errors.New("no") }, "", "", nil, "no"},
	} {
		w, err := rendered(chattyTokens{write: c.write}, c.prompt, c.answer)
		if (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
			t.Errorf("%s: %v, want %q", name, err, c.err)
		}
		if err == nil && (w.text[:w.begin] != c.before || w.text[w.begin:] != c.then || !slices.Equal(w.inert, c.inert)) {
			t.Errorf("%s: %q from %d, %v; want %q, %q, %v", name, w.text, w.begin, w.inert, c.before, c.then, c.inert)
		}
	}
}

// TestEncodePromptOfMessages holds that a prompt of messages is written with the beginning of the answer, and what is refused.
func TestEncodePromptOfMessages(t *testing.T) {
	tok := chattyTokens{write: turns}
	ids, err := EncodePrompt(tok, Text{Messages: []Message{{Role: "user", Content: "a"}}})
	if err != nil || len(ids) != len("[user]a<e>\n[assistant]") {
		t.Errorf("%d ids, %v", len(ids), err)
	}
	for name, c := range map[string]struct {
		tok  Tokenizer
		of   []Message
		want string
	}{
		"no template": {byteTokens{}, []Message{{Role: "user", Content: "a"}}, "there is no chat template"},
		"answered":    {tok, []Message{{Role: "user", Content: "a"}, {Role: "assistant", Content: "b"}}, "ends with the assistant's turn"},
		"nobody":      {tok, []Message{}, "no messages"},
	} {
		if _, err := EncodePrompt(c.tok, Text{Messages: c.of}); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %s", name, err, c.want)
		}
	}
}

// TestMarkJSON holds that special tokens in strings of JSON are marked, whatever stands beside them.
func TestMarkJSON(t *testing.T) {
	specials := []string{"<e>", `"`}
	for text, want := range map[string]string{
		``:                                  ``,
		`{"a":[1,"x<e>y",null,"\u003ce>"]}`: `{"a":[1,"x<` + string(mark) + `e>y",null,"<` + string(mark) + `e>"]}`,
		`["\"","\\"]`:                       `["\"` + string(mark) + `","\\"]`,
	} {
		if got := markJSON(text, specials); got != want {
			t.Errorf("%s: %s, want %s", text, got, want)
		}
	}
}

// TestMessagesKeepTheirFields holds that the fields of messages beside role and content, and tools, are read in the file's order, of each format; and that
// what is null is left out.
func TestMessagesKeepTheirFields(t *testing.T) {
	want := []string{
		`{"role":"user","content":"q"}`,
		`{"role":"assistant","content":null,"tool_calls":[{"name":"f","arguments":{"z":1,"a":"x","d":1.0}}]}`,
		`{"role":"tool","content":"r","x":true,"id":"7"}`,
		`{"role":"assistant","content":"done"}`,
	}
	const tools = `[{"type":"function","name":"f"}]`
	rows := `{"messages": [{"content": "q", "role": "user", "name": null}, {"role": "assistant", "tool_calls": [{"name": "f", "arguments": {"z": 1, "a": "x", "d": 1.0}}]}, ` +
		`{"role": "tool", "content": "r", "x": true, "id": "7"}, {"role": "assistant", "content": "done"}], "tools": ` + tools + "}\n"
	dir := t.TempDir()
	for _, file := range []struct{ name, text string }{
		{"a.jsonl", rows}, {"a.json", "[" + rows + "]"}, {"b.jsonl", strings.Replace(rows, tools, `"[{\"type\":\"function\",\"name\":\"f\"}]"`, 1)},
	} {
		path := filepath.Join(dir, file.name)
		if err := os.WriteFile(path, []byte(file.text), 0o600); err != nil {
			t.Fatal(err)
		}
		checkFields(t, path, want, tools)
	}
	type arguments struct {
		Z int64   `parquet:"z"`
		A string  `parquet:"a"`
		D float64 `parquet:"d"`
	}
	type called struct {
		Name      string    `parquet:"name"`
		Arguments arguments `parquet:"arguments"`
	}
	type turn struct {
		Role    string   `parquet:"role"`
		Content *string  `parquet:"content,optional"`
		Calls   []called `parquet:"tool_calls,optional,list"`
		X       *bool    `parquet:"x,optional"`
		ID      *string  `parquet:"id,optional"`
	}
	type schema struct {
		Type string `parquet:"type"`
		Name string `parquet:"name"`
	}
	type row struct {
		Messages []turn   `parquet:"messages,list"`
		Tools    []schema `parquet:"tools,list"`
	}
	s, yes := func(s string) *string { return &s }, true
	path := filepath.Join(dir, "a.parquet")
	if err := parquet.WriteFile(path, []row{{[]turn{{"user", s("q"), nil, nil, nil}, {"assistant", nil, []called{{"f", arguments{1, "x", 1}}}, nil, nil},
		{"tool", s("r"), nil, &yes, s("7")}, {"assistant", s("done"), nil, nil, nil}}, []schema{{"function", "f"}}}}); err != nil {
		t.Fatal(err)
	}
	checkFields(t, path, want, tools)
}

func checkFields(t *testing.T, path string, want []string, tools string) {
	t.Helper()
	table, err := OpenTable(path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer table.Close()
	var groups []Group
	for g, err := range Read([]string{path}, Options{}) {
		if err != nil {
			t.Fatal(err)
		}
		groups = append(groups, g)
	}
	for row, err := range table.Rows(0) {
		if err != nil || row.Err != nil {
			t.Fatal(err, row.Err)
		}
		groups = append(groups, row.Group)
	}
	if len(groups) != 2 {
		t.Fatalf("%s: %d groups", path, len(groups))
	}
	for _, g := range groups {
		var got []string
		for _, m := range slices.Concat(g.Prompt.Messages, g.Completions[0].Messages) {
			got = append(got, string(m.JSON()))
		}
		if !slices.Equal(got, want) || g.Prompt.Tools != tools || len(g.Completions[0].Messages) != 1 {
			t.Errorf("%s:\n got %q, tools %s\nwant %q, tools %s", path, got, g.Prompt.Tools, want, tools)
		}
	}
}
