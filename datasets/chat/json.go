package chat

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
)

// Values makes a value of JSON: objects keep the order of their keys, whole numbers stay whole, of any length.
func Values(text []byte) (any, error) {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	v, err := decode(d, 0)
	if err == nil {
		if _, more := d.Token(); more != io.EOF {
			err = errors.New("something follows the value")
		}
	}
	if err != nil {
		return nil, fmt.Errorf("reading values for a chat template: %w", err)
	}
	return v, nil
}

func decode(d *json.Decoder, depth int) (any, error) {
	t, err := d.Token()
	if err != nil {
		return nil, err
	}
	if depth > maxNesting {
		return nil, fmt.Errorf("values nest more than %d deep", maxNesting)
	}
	switch t := t.(type) {
	case json.Number:
		return decodeNumber(t)
	case json.Delim:
		if t == '[' {
			return decodeList(d, depth)
		}
		return decodeObject(d, depth)
	}
	return t, nil // a string, a boolean or nil
}

func decodeNumber(n json.Number) (any, error) {
	if !strings.ContainsAny(string(n), ".eE") {
		if whole, err := n.Int64(); err == nil {
			return whole, nil
		}
		return longInt(n), nil
	}
	return n.Float64()
}

func decodeList(d *json.Decoder, depth int) (any, error) {
	out := list{}
	for d.More() {
		v, err := decode(d, depth+1)
		if err != nil {
			return nil, err
		}
		out = append(out, v)
	}
	_, err := d.Token()
	return out, err
}

func decodeObject(d *json.Decoder, depth int) (any, error) {
	out := &Dict{}
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return nil, err
		}
		v, err := decode(d, depth+1)
		if err != nil {
			return nil, err
		}
		out.set(key, v)
	}
	_, err := d.Token()
	return out, err
}

// toJSON is json.dumps with the settings of transformers: other alphabets stay as they are, and nothing is escaped for HTML.
func toJSON(m *machine, v any, a arguments) any {
	args := a.take("tojson", "ensure_ascii", "indent", "separators", "sort_keys")
	w := &jsonWriter{m: m, ascii: truth(or(args[0], false)), sort: truth(or(args[3], false)), comma: ", ", colon: ": "}
	if by := or(args[1], nil); by != nil {
		s, ok := by.(string)
		if !ok {
			s = m.repeat(" ", index(by, 0)).(string)
		}
		w.indent, w.pretty, w.comma = s, true, ","
	}
	if seps := or(args[2], nil); seps != nil {
		two := m.elements(seps)
		if len(two) != 2 {
			fail(Type, "tojson: separators are two strings")
		}
		w.comma, w.colon = textOf("tojson", two[0]), textOf("tojson", two[1])
	}
	w.value(v, 0)
	return w.b.String()
}

type jsonWriter struct {
	m                    *machine
	b                    strings.Builder
	ascii, sort, pretty  bool
	indent, comma, colon string
}

func (w *jsonWriter) add(s string) {
	w.m.grown(len(s))
	w.m.bound(w.b.Len() + len(s))
	w.b.WriteString(s)
}

func (w *jsonWriter) value(v any, depth int) {
	defer w.m.deeper()()
	switch v := v.(type) {
	case nil:
		w.add("null")
	case bool:
		w.add(strconv.FormatBool(v))
	case int64:
		w.add(strconv.FormatInt(v, 10))
	case longInt:
		w.add(string(v))
	case float64:
		w.add(jsonFloat(v))
	case string:
		w.string(v)
	case markup:
		w.string(string(v))
	case list:
		w.list(v, depth)
	case tuple:
		w.list(v, depth)
	case *Dict:
		w.object(v, depth)
	default:
		fail(Type, "tojson cannot write %s", kindOf(v))
	}
}

func jsonFloat(f float64) string {
	switch {
	case math.IsNaN(f):
		return "NaN"
	case math.IsInf(f, 1):
		return "Infinity"
	case math.IsInf(f, -1):
		return "-Infinity"
	}
	return formatFloat(f)
}

// line begins a new line, where lines are asked for.
func (w *jsonWriter) line(depth int) {
	if w.pretty {
		w.m.bound(w.b.Len() + depth*len(w.indent))
		w.add("\n" + strings.Repeat(w.indent, depth))
	}
}

func (w *jsonWriter) list(items []any, depth int) {
	if len(items) == 0 {
		w.add("[]")
		return
	}
	w.add("[")
	for i, item := range items {
		if i > 0 {
			w.add(w.comma)
		}
		w.line(depth + 1)
		w.value(item, depth+1)
	}
	w.line(depth)
	w.add("]")
}

func (w *jsonWriter) object(d *Dict, depth int) {
	if len(d.keys) == 0 {
		w.add("{}")
		return
	}
	pairs := d.items()
	if w.sort {
		pairs = slices.Clone(pairs)
		w.m.sortBy(pairs, false, func(p any) any { return p.(tuple)[0] })
	}
	w.add("{")
	for i, p := range pairs {
		if i > 0 {
			w.add(w.comma)
		}
		w.line(depth + 1)
		w.key(p.(tuple)[0])
		w.add(w.colon)
		w.value(p.(tuple)[1], depth+1)
	}
	w.line(depth)
	w.add("}")
}

// key writes a key, of which JSON knows only strings.
func (w *jsonWriter) key(k any) {
	switch k := k.(type) {
	case string:
		w.string(k)
	case nil:
		w.string("null")
	case bool:
		w.string(strconv.FormatBool(k))
	case int64:
		w.string(strconv.FormatInt(k, 10))
	case float64:
		w.string(jsonFloat(k))
	default:
		fail(Type, "tojson cannot write a key that is %s", kindOf(k))
	}
}

func (w *jsonWriter) string(s string) {
	w.m.grown(len(s))
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range s {
		switch i := strings.IndexRune("\"\\\n\r\t\f\b", r); {
		case i >= 0:
			b.WriteByte('\\')
			b.WriteByte(`"\nrtfb`[i])
		case r < 0x20:
			b.WriteString(`\u` + hexDigits(r, 4))
		case w.ascii && r > 0xffff:
			r -= 0x10000
			b.WriteString(`\u` + hexDigits(0xd800+r>>10, 4) + `\u` + hexDigits(0xdc00+r&0x3ff, 4))
		case w.ascii && r > 0x7e:
			b.WriteString(`\u` + hexDigits(r, 4))
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
	w.add(b.String())
}
