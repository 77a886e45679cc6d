package chat

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/dpo-ort/dpo-ort/datasets"
)

// TestRenderer holds which template of a model writes a conversation, in each form that files have them.
func TestRenderer(t *testing.T) {
	hi := datasets.Conversation{Messages: []datasets.Message{{Role: "user", Content: `a "b" ü`}}}
	tooled := hi
	tooled.Tools = `[{"b":1,"a":2}]`
	list := `[{"name":"default","template":"d {{ messages[0].content }}"},{"name":"tool_use","template":"t {{ tools|tojson }}{{ messages[1:]|join }}"}]`
	for name, c := range map[string]struct {
		text     string
		of       datasets.Conversation
		want     string
		err      string
		fatality bool
	}{
		"Jinja":               {"{{ bos_token }}{{ messages[0].content }}", hi, `<s>a "b" ü`, "", false},
		"a string of JSON":    {`"x\n{{ messages[0].role }}"`, hi, "x\nuser", "", false},
		"a list":              {list, hi, `d a "b" ü`, "", false},
		"a list, with tools":  {list, tooled, `t [{"b": 1, "a": 2}]`, "", false},
		"an object":           {`{"default":"{{ messages|length }}"}`, hi, "1", "", false},
		"a number":            {"7", hi, "", "a string is needed", true},
		"a list of numbers":   {"[7]", hi, "", "a string is needed", true},
		"no default":          {`[{"name":"rag","template":"x"}]`, hi, "", "there is no chat template", true},
		"broken":              {"a\n{% if %}", hi, "", "the chat template of m cannot be used: line 2: unexpected %}", true},
		"a filter not known":  {"{{ messages|nosuch }}", hi, "", "the filter nosuch is not known", true},
		"no messages":         {"{{ bos_token }}", hi, "", "the chat template of m cannot be used: it does not name messages, so it writes nothing of them: give another", true},
		"nothing":             {"", hi, "", "it does not name messages", true},
		"no end":              {"{{ messages }}{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}", hi, "", "the chat template of m cannot be used: line 1: calls or values nest more than 200 deep", true},
		"the time":            {"{{ messages }}{{ strftime_now('%Y') }}", hi, "", "cannot be used: line 1: strftime_now is not there", true},
		"tools unknown to it": {"{{ messages }}", tooled, "", "does not know any", false},
		"it refuses":          {"{{ raise_exception('no ' ~ messages[0].role) }}", hi, "", "the chat template refuses the messages (line 1): no user", false},
	} {
		r := NewRenderer("m", []byte(c.text), map[string]string{"bos_token": "<s>"})
		got, err := r.Render(c.of)
		if got.Text != c.want || (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) || errors.Is(err, datasets.ErrMessages) != c.fatality {
			t.Errorf("%s: %q, %v; want %q, %q", name, got, err, c.want, c.err)
		}
	}
	if _, err := NewRenderer("m", nil, nil).Render(hi); !errors.Is(err, datasets.ErrMessages) {
		t.Errorf("without a template: %v", err)
	}
}

// TestClock holds what strftime_now shows of a time that is given, by Python's directives, and that there is none without it.
func TestClock(t *testing.T) {
	tpl, err := Parse("{{ strftime_now('%d %b %Y|%B %A %a|%H:%M:%S|%I %p|%j|%-d %-m|%y|%%|%F|%e') if strftime_now is defined else 'no clock' }}")
	if err != nil {
		t.Fatal(err)
	}
	now := time.Date(2026, time.March, 5, 16, 7, 9, 0, time.UTC)
	// datetime(2026, 3, 5, 16, 7, 9).strftime(...)
	const want = "05 Mar 2026|March Thursday Thu|16:07:09|04 PM|064|5 3|26|%|2026-03-05| 5"
	if out, err := tpl.Render(nil, Options{Now: now}); err != nil || out.Text != want {
		t.Errorf("%q, %v; want %q", out.Text, err, want)
	}
	if out, err := tpl.Render(nil, Options{}); err != nil || out.Text != "no clock" {
		t.Errorf("%q, %v", out.Text, err)
	}
}

// TestLines holds that errors name the line of the template.
func TestLines(t *testing.T) {
	for source, line := range map[string]int{
		"a\n\n{{ x.y }}\n": 3,
		"{% set a = 1 %}\n{% if a %}\n{{ a | nosuch }}":         3,
		"a\n{# c\n\n #}\n{% nosuch %}":                          5,
		"a\n{{ 'x\n\ny' }}{{ 1 + }}":                            4,
		"{% for x in [1] %}\n\n{{ x.a.b }}{% endfor %}":         3,
		"{% macro m() %}\n{{ 1 / 0 }}{% endmacro %}\n{{ m() }}": 2,
		"{%- if true -%}\n\n  x\n{% endfor %}":                  4,
	} {
		_, err := render(source, nil)
		var e *Error
		if !errors.As(err, &e) || e.Line != line {
			t.Errorf("%q: %v, want line %d", source, err, line)
		}
	}
}
