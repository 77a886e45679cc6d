package chat

import (
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/dpo-ort/dpo-ort/internal/golden"
)

// beyond are templates that Jinja renders and this package refuses, with the reason.
var beyond = map[string]string{
	"{{ '{a.b}'.format(a=d) }}": "format: the field a.b reaches into its value",
	"{{ n.real }}":              "real of int is not known",
	"{{ s.encode('utf-8') }}":   "encode of str is not known",
	"{{ n.bit_length() }}":      "bit_length of int is not known",
	"{{ xs[] }}":                "a subscript is empty",
	"{{ long + 1 }}":            "a whole number is beyond 64 bits",
	"{{ long < n }}":            "a whole number is beyond 64 bits",
	"{{ {long: 1} }}":           "a whole number is beyond 64 bits",
}

// TestConstructs holds that small templates of one construct each give what Jinja 3.1.6 gives, as transformers 5.23 sets it up, to the byte
// (scripts/golden/make_chat.py), and that what fails there fails here.
func TestConstructs(t *testing.T) {
	var file struct {
		Vars  json.RawMessage
		Cases []struct {
			Template, Error, Message string
			Text                     *string
		}
	}
	golden.JSON(t, golden.Testdata(t, "golden", "chat-constructs.json"), &file)
	vars, err := Values(file.Vars)
	if err != nil {
		t.Fatal(err)
	}
	d := vars.(*Dict)
	given := map[string]any{}
	for i, k := range d.keys {
		given[k.(string)] = d.values[i]
	}
	if len(file.Cases) < 700 {
		t.Errorf("%d cases", len(file.Cases))
	}
	for _, c := range file.Cases {
		got, err := render(c.Template, given)
		why, skip := beyond[c.Template]
		var e *Error
		switch {
		case err != nil && !errors.As(err, &e):
			t.Errorf("%q: %v is no *Error", c.Template, err)
		case skip:
			if err == nil || e.Message != why {
				t.Errorf("%q: gives %q, %v; it was said to fail with %s", c.Template, got, err, why)
			}
		case c.Text != nil && err != nil:
			t.Errorf("%q: %v, want %q", c.Template, err, *c.Text)
		case c.Text != nil && got != *c.Text:
			t.Errorf("%q:\n got %q\nwant %q", c.Template, got, *c.Text)
		case c.Text == nil && err == nil:
			t.Errorf("%q: gives %q, want %s: %s", c.Template, got, c.Error, c.Message)
		case c.Text == nil && (c.Error == "TemplateError") != (e.Kind == Raised), e != nil && e.Kind == Raised && e.Message != c.Message:
			t.Errorf("%q: %v, want %s: %s", c.Template, err, c.Error, c.Message)
		}
	}
}

func render(source string, vars map[string]any) (string, error) {
	tpl, err := Parse(source)
	if err != nil {
		return "", err
	}
	out, err := tpl.Render(vars, Options{Now: time.Unix(0, 0)})
	return out.Text, err
}
