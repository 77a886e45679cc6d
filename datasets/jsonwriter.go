package datasets

import (
	"bufio"
	"encoding/json"
	"fmt"
	"math"
	"strconv"

	"github.com/dpo-ort/dpo-ort/internal/safefile"
)

// jsonWriter writes rows as JSON, one a line.
type jsonWriter struct {
	path                string
	file                *safefile.File
	out                 *bufio.Writer
	begin, between, end string // of the file, of rows, of the file
	rows                int
	line                []byte
}

func (jsonLines) create(path string, _ *Table) (rowWriter, error) {
	return newJSONWriter(path, "", "\n", "\n")
}

func (jsonArray) create(path string, _ *Table) (rowWriter, error) {
	return newJSONWriter(path, "[\n", ",\n", "\n]\n")
}

func newJSONWriter(path, begin, between, end string) (rowWriter, error) {
	f, err := safefile.Create(path)
	if err != nil {
		return nil, fmt.Errorf("writing %s: %w", path, err)
	}
	return &jsonWriter{path: path, file: f, out: bufio.NewWriterSize(f, 1<<20), begin: begin, between: between, end: end}, nil
}

func (w *jsonWriter) add(t *Table, row Row) error {
	before := w.between
	if w.rows == 0 {
		before = w.begin
	}
	var err error
	if w.line, err = t.appendJSON(append(w.line[:0], before...), row); err != nil {
		return fmt.Errorf("writing %s: row %d of %s: %w", w.path, row.Group.Row, t.File, err)
	}
	w.rows++
	if _, err := w.out.Write(w.line); err != nil {
		return fmt.Errorf("writing %s: %w", w.path, err)
	}
	return nil
}

func (w *jsonWriter) Close() error {
	end := w.end
	switch {
	case w.rows == 0 && w.begin == "":
		end = ""
	case w.rows == 0:
		end = "[]\n"
	}
	_, err := w.out.WriteString(end)
	if err == nil {
		err = w.out.Flush()
	}
	return place(w.file, w.path, err)
}

func (w *jsonWriter) Abort() error { return w.file.Abort() }

// appendJSON writes a value that the node has read, of leaves that are json.RawMessage. An element of a repeated node is one of
// the values that it has read.
func (n *node) appendJSON(b []byte, v any, element bool) []byte {
	switch v := v.(type) {
	case json.RawMessage:
		return append(b, v...)
	case string:
		return appendQuoted(b, v)
	case bool:
		return strconv.AppendBool(b, v)
	case float64:
		return appendNumber(b, v, n.double)
	case map[string]any:
		b = append(b, '{')
		for i, c := range n.children {
			if i > 0 {
				b = append(b, ',')
			}
			b = append(appendQuoted(b, c.name), ':')
			b = c.appendJSON(b, v[c.name], false)
		}
		return append(b, '}')
	case []any:
		item, element := n.item(element)
		b = append(b, '[')
		for i, e := range v {
			if i > 0 {
				b = append(b, ',')
			}
			b = item.appendJSON(b, e, element)
		}
		return append(b, ']')
	}
	return append(b, "null"...)
}

// appendNumber writes a number, whole ones of up to 53 bits as such, or of a column of doubles as 1.0; one that JSON does not know is null.
func appendNumber(b []byte, f float64, double bool) []byte {
	switch {
	case math.IsNaN(f) || math.IsInf(f, 0):
		return append(b, "null"...)
	case f == math.Trunc(f) && math.Abs(f) < 1<<53:
		b = strconv.AppendInt(b, int64(f), 10)
		if double {
			b = append(b, ".0"...)
		}
		return b
	}
	return strconv.AppendFloat(b, f, 'g', -1, 64)
}

// orderedBy gives values that nodes have read as JSON, in the order of the file's schema.
func orderedBy(nodes []*node, values map[string]any) func(column string) json.RawMessage {
	return func(column string) json.RawMessage {
		for _, n := range nodes {
			if n.name == column {
				return n.appendJSON(nil, values[column], false)
			}
		}
		return nil
	}
}

// item is the node of the values in a list that the node has read, or, of an element, in a list that it is.
func (n *node) item(element bool) (item *node, isElement bool) {
	switch {
	case n.repeated && !element:
		return n, true
	case n.unwrap:
		return n.children[0].children[0], false
	}
	return n.children[0], true
}

// appendQuoted writes a JSON string.
func appendQuoted(b []byte, s string) []byte {
	b = append(b, '"')
	from := 0
	for i := range len(s) {
		c := s[i]
		if c >= ' ' && c != '"' && c != '\\' {
			continue
		}
		b = append(b, s[from:i]...)
		switch c {
		case '"', '\\':
			b = append(b, '\\', c)
		case '\n':
			b = append(b, `\n`...)
		case '\r':
			b = append(b, `\r`...)
		case '\t':
			b = append(b, `\t`...)
		default:
			b = fmt.Appendf(b, `\u%04x`, c)
		}
		from = i + 1
	}
	return append(append(b, s[from:]...), '"')
}
