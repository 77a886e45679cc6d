package chat

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/dpo-ort/dpo-ort/datasets"
)

// Renderer writes conversations by the chat templates of a model; it is a datasets.Renderer.
type Renderer struct {
	// Source tells in errors where the templates come from; Tokens are those that templates ask for by name: bos_token, eos_token.
	Source string
	Tokens map[string]string

	named map[string]*Template
	err   error // why none can be used
}

// NewRenderer reads templates as the files of a model have them: Jinja, or JSON of a string, of a list of objects with name and template, or of an
// object of names; nil is none. A template that cannot be read is told of when the first conversation is to be written, for a model may be used without it.
func NewRenderer(source string, text []byte, tokens map[string]string) *Renderer {
	r := &Renderer{Source: source, Tokens: tokens, named: map[string]*Template{}}
	if text == nil {
		return r
	}
	sources, err := templatesIn(text)
	for name, t := range sources {
		if err == nil {
			r.named[name], err = Parse(t)
		}
	}
	if err != nil {
		r.err = &unusableError{r.Source, err}
	}
	return r
}

// templatesIn gives templates by name; the only one is "default". What is no JSON is Jinja.
func templatesIn(text []byte) (map[string]string, error) {
	var one string
	var list []struct{ Name, Template string }
	all := map[string]string{}
	switch {
	case !json.Valid(text):
		all["default"] = string(text)
	case json.Unmarshal(text, &one) == nil:
		all["default"] = one
	case json.Unmarshal(text, &list) == nil:
		for _, t := range list {
			all[t.Name] = t.Template
		}
	case json.Unmarshal(text, &all) != nil:
		return nil, errors.New("a string is needed, or a list of objects with name and template")
	}
	return all, nil
}

// unusableError is a template that can write no conversation.
type unusableError struct {
	source string
	err    error
}

func (e *unusableError) Error() string {
	why := e.err.Error()
	var at *Error
	if errors.As(e.err, &at) {
		why = at.place()
	}
	return fmt.Sprintf("the chat template of %s cannot be used: %s: give another (--chat-template FILE), or prompt and answers as strings", e.source, why)
}

// Is makes it one of datasets.ErrMessages.
func (e *unusableError) Is(target error) bool { return target == datasets.ErrMessages }

func (e *unusableError) Unwrap() error { return e.err }

// Render writes a conversation. Where there are several templates, tool_use is for those with tools, as in transformers. A template that
// comes to a limit is one that cannot be used, for it would take as long of each row.
func (r *Renderer) Render(c datasets.Conversation) (datasets.Writing, error) {
	if r.err != nil {
		return datasets.Writing{}, r.err
	}
	t := r.named["default"]
	if tools := r.named["tool_use"]; tools != nil && c.Tools != "" {
		t = tools
	}
	if t == nil {
		return datasets.Writing{}, datasets.ErrMessages
	}
	if !t.Mentions("messages") {
		return datasets.Writing{}, &unusableError{r.Source, errors.New("it does not name messages, so it writes nothing of them")}
	}
	vars, err := r.variables(t, c)
	if err != nil {
		return datasets.Writing{}, err
	}
	out, err := t.Render(vars, Options{})
	var e *Error
	if errors.As(err, &e) && (e.Kind == Unsupported || e.Kind == Security || e.Kind == Limit) {
		err = &unusableError{r.Source, err}
	}
	return datasets.Writing{Text: out.Text, Said: out.Generated}, err
}

// variables are what the template finds, if it can write all that the conversation has.
func (r *Renderer) variables(t *Template, c datasets.Conversation) (map[string]any, error) {
	is := Conversation{GenerationPrompt: c.GenerationPrompt, Tokens: r.Tokens}
	text := []byte{'['}
	for i, m := range c.Messages {
		if bytes.Contains([]byte(m.Fields), []byte(`"tool_calls":`)) && !t.Mentions("tool_calls") {
			return nil, fmt.Errorf("message %d calls tools (tool_calls), and the chat template of %s does not know that: leave such rows out, or give a template that does (--chat-template FILE)", i, r.Source)
		}
		if i > 0 {
			text = append(text, ',')
		}
		text = append(text, m.JSON()...)
	}
	var err error
	if is.Messages, err = Values(append(text, ']')); err != nil {
		return nil, err
	}
	if c.Tools != "" {
		if !t.Mentions("tools") {
			return nil, fmt.Errorf("the row offers tools, and the chat template of %s does not know any: leave the column tools out, or give a template that does (--chat-template FILE)", r.Source)
		}
		if is.Tools, err = Values([]byte(c.Tools)); err != nil {
			return nil, err
		}
	}
	return is.Variables(), nil
}
