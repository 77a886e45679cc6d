package datasets

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Message is one turn of a conversation.
type Message struct {
	Role, Content string
	// Fields are the turn's other fields as a JSON object in the file's order, such as tool_calls and reasoning_content; "" if there are none. One
	// that is null is left out, as transformers does. Content is among them where it is no string: a list of parts, or null where there is none.
	Fields string
}

// JSON is the message as an object, with its fields in order.
func (m Message) JSON() json.RawMessage {
	b := append(appendQuoted([]byte(`{"role":`), m.Role), `,"content":`...)
	b = appendQuoted(b, m.Content)
	if m.Fields == "" {
		return append(b, '}')
	}
	if strings.HasPrefix(m.Fields, `{"content":`) {
		b = appendQuoted([]byte(`{"role":`), m.Role)
	}
	return append(append(b, ','), m.Fields[1:]...)
}

// said tells whether the turn says or calls anything.
func (m Message) said() bool { return m.Content != "" || strings.Contains(m.Fields, `"tool_calls":`) }

// setFields takes a message's other fields from its JSON.
func (m *Message) setFields(raw json.RawMessage) error {
	o, err := parseObject(raw)
	if err != nil {
		return err
	}
	var b []byte
	add := func(name string, value []byte) {
		b = append(append(appendQuoted(append(b, ','), name), ':'), value...)
	}
	switch content := o.raw["content"]; {
	case len(content) == 0 || string(content) == "null":
		add("content", []byte("null"))
	case content[0] != '"':
		if err := addCompact(add, "content", content); err != nil {
			return err
		}
	}
	for _, name := range o.names {
		if name == "role" || name == "content" || string(o.raw[name]) == "null" {
			continue
		}
		if err := addCompact(add, name, o.raw[name]); err != nil {
			return err
		}
	}
	if b != nil {
		b[0] = '{'
		m.Fields = string(append(b, '}'))
	}
	return nil
}

func addCompact(add func(string, []byte), name string, value []byte) error {
	var compact bytes.Buffer
	if err := json.Compact(&compact, value); err != nil {
		return fmt.Errorf("field %s: %w", name, err)
	}
	add(name, compact.Bytes())
	return nil
}

// isPlainTurn tells whether a message is a role and a string.
func isPlainTurn(v any) bool {
	fields, _ := v.(map[string]any)
	_, isString := fields["content"].(string)
	for name, value := range fields {
		if name != "role" && name != "content" && value != nil {
			return false
		}
	}
	return isString
}

// toolsOf reads the column of tools: a list of JSON schemas, or a string that holds one.
func (r row) toolsOf() (string, error) {
	v := r.value("tools")
	var text []byte
	switch v := v.(type) {
	case nil:
		return "", nil
	case string:
		if strings.TrimSpace(v) == "" {
			return "", nil
		}
		text = []byte(v)
	case []any:
		text = r.rec.json(r.columns["tools"])
	}
	var list []map[string]any
	if err := json.Unmarshal(text, &list); err != nil {
		return "", fmt.Errorf("column tools holds %s: a list of JSON schemas is needed, or a string with one", describe(v))
	}
	if len(list) == 0 {
		return "", nil
	}
	var compact bytes.Buffer
	err := json.Compact(&compact, text)
	return compact.String(), err
}

// beside reads into a group what stands beside its turns, in columns of its own: the tools that the row offers, and the system's words.
func (r row) beside(g Group, err error) (Group, error) {
	if err == nil {
		g.Prompt.Tools, err = r.toolsOf()
	}
	if err != nil {
		return g, err
	}
	talks := g.Prompt.Messages != nil || len(g.Completions) > 0 && g.Completions[0].Messages != nil
	system, isString := r.value("system").(string)
	switch {
	case !talks:
		if system != "" || g.Prompt.Tools != "" {
			g.Notes |= NoteAside
		}
		return g, nil
	case !isString && r.value("system") != nil:
		return g, fmt.Errorf("column system holds %s: a string is needed (--columns system= has the column ignored)", describe(r.value("system")))
	case system != "":
		return g, g.Prompt.begin(system)
	}
	return g, nil
}

// begin puts the system's turn before the messages. Where they have one themselves it is to say the same.
func (t *Text) begin(system string) error {
	if err := checkText(system); err != nil {
		return fmt.Errorf("column system: %w", err)
	}
	first := Message{Role: "system", Content: system}
	switch {
	case len(t.Messages) == 0 || t.Messages[0].Role != "system":
		t.Messages = slices.Concat([]Message{first}, t.Messages)
	case t.Messages[0] != first:
		return errors.New("column system says one thing and the conversation's turn of the system another: leave one out (--columns system= has the column ignored)")
	}
	return nil
}

// talk is a whole conversation, whose last turn is the answer.
func (r row) talk() (Group, error) {
	text, err := r.text("messages")
	if err != nil {
		return Group{}, err
	}
	last := len(text.Messages) - 1
	if last < 1 || text.Messages[last].Role != "assistant" {
		return Group{}, errors.New("column messages: a conversation whose last turn is the assistant's is needed, with a turn before it")
	}
	g := Group{Talk: true, Prompt: Text{Messages: text.Messages[:last:last]}, Completions: []Text{{Messages: text.Messages[last:]}}}
	g.Cut, err = r.cut(1, "finish_reason")
	return g, err
}

// lastOfTalk is an answer and what was said before it, where the row does not tell a prompt from the rest.
func (r row) lastOfTalk() (Group, error) {
	g, err := r.single()
	g.Talk = true
	return g, err
}
