package datasets

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"unicode/utf8"
)

// text reads a column that holds a string or a list of messages.
func (r row) text(column string) (Text, error) {
	t, err := asText(r.value(column), func() json.RawMessage { return r.rec.json(r.columns[column]) })
	if err != nil {
		return Text{}, fmt.Errorf("column %s: %w", column, err)
	}
	return t, nil
}

// asText reads a value; ordered gives its JSON, with the fields of objects in the file's order.
func asText(v any, ordered func() json.RawMessage) (Text, error) {
	switch v := v.(type) {
	case string:
		return Text{String: v}, checkText(v)
	case []any:
		messages := make([]Message, len(v))
		for i, m := range v {
			var err error
			if messages[i], err = asMessage(m); err != nil {
				return Text{}, fmt.Errorf("message %d: %w", i, err)
			}
		}
		if slices.ContainsFunc(v, func(m any) bool { return !isPlainTurn(m) }) {
			for i, raw := range elements(ordered()) {
				if err := messages[i].setFields(raw); err != nil {
					return Text{}, fmt.Errorf("message %d: %w", i, err)
				}
			}
		}
		return Text{Messages: messages}, nil
	}
	return Text{}, fmt.Errorf("it holds %s: a string, or a list of {role, content} messages, is needed", describe(v))
}

func asMessage(v any) (Message, error) {
	fields, ok := v.(map[string]any)
	if !ok {
		return Message{}, fmt.Errorf("it is %s: an object with role and content is needed", describe(v))
	}
	role, ok := fields["role"].(string)
	switch {
	case fields["role"] == nil:
		return Message{}, fmt.Errorf("it is %s: role and content are needed", describe(v))
	case !ok:
		return Message{}, fmt.Errorf("its role is %s: a string is needed, such as user or assistant", describe(fields["role"]))
	}
	content, err := asContent(fields["content"])
	if err == nil {
		err = errors.Join(checkText(role), checkText(content))
	}
	return Message{Role: role, Content: content}, err
}

// checkText refuses text that a tokenizer would not take as it is.
func checkText(s string) error {
	if i := strings.IndexByte(s, 0); i >= 0 {
		return fmt.Errorf("its text has a NUL byte at offset %d, where a tokenizer would cut it: remove it", i)
	}
	if !utf8.ValidString(s) {
		return errors.New("its text is not valid UTF-8: convert it to UTF-8")
	}
	return nil
}

// asContent reads the content of a message: a string, nothing (a turn that only calls
// tools), or a list of parts, of which only those of type text have a meaning here.
func asContent(v any) (string, error) {
	switch v := v.(type) {
	case nil:
		return "", nil
	case string:
		return v, nil
	case []any:
		var b strings.Builder
		for _, part := range v {
			fields, _ := part.(map[string]any)
			text, ok := fields["text"].(string)
			if !ok {
				text, ok = fields["value"].(string) // as LLaMA-Factory has it
			}
			if kind, _ := fields["type"].(string); !ok || kind != "text" {
				return "", fmt.Errorf("content holds %s: only parts {type: text, text: ...} can be read", describe(part))
			}
			b.WriteString(text)
		}
		return b.String(), nil
	}
	return "", fmt.Errorf("content is %s: a string is needed", describe(v))
}

// number reads a finite number, or returns otherwise where there is none.
func (r row) number(column string, otherwise float64) (float64, error) {
	switch v := r.value(column).(type) {
	case nil:
		return otherwise, nil
	case float64:
		return v, checkFinite(column, v)
	default:
		return 0, fmt.Errorf("column %s holds %s: a number is needed", column, describe(v))
	}
}

// numbers reads a list of n finite numbers, nil where there is none. Where it may be partial, NaN is a null in it.
func (r row) numbers(column string, n int, partial bool) ([]float64, error) {
	v := r.value(column)
	if v == nil {
		return nil, nil
	}
	list, ok := v.([]any)
	if !ok {
		return nil, fmt.Errorf("column %s holds %s: a list of numbers is needed", column, describe(v))
	}
	if len(list) != n {
		return nil, fmt.Errorf("column %s has %d entries for %d answers", column, len(list), n)
	}
	out := make([]float64, n)
	for i, v := range list {
		if v == nil && partial {
			out[i] = math.NaN()
			continue
		}
		if out[i], ok = v.(float64); !ok {
			return nil, fmt.Errorf("column %s holds a list with %s: numbers are needed", column, describe(v))
		}
		if err := checkFinite(column, out[i]); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// describe names a value in an error message.
func describe(v any) string {
	switch v := v.(type) {
	case nil:
		return "null"
	case string:
		return "a string"
	case bool:
		return "a boolean"
	case float64:
		return "a number"
	case []any:
		if len(v) == 0 {
			return "an empty list"
		}
		return "a list of " + strings.TrimPrefix(strings.TrimPrefix(describe(v[0]), "an "), "a ")
	case map[string]any:
		var names []string
		for name := range v {
			names = append(names, name)
		}
		slices.Sort(names)
		return "an object with " + strings.Join(names, ", ")
	}
	return fmt.Sprintf("a %T", v)
}
