package datasets

import (
	"bytes"
	"encoding/json"
	"strconv"

	"github.com/parquet-go/parquet-go"
)

// shredder takes a JSON row apart into Parquet values, the reverse of node: Melnik et al.
// 2010, "Dremel", section 4.2.
type shredder struct{ columns [][]parquet.Value }

// put adds the value of a shape, nil if it is missing, at a repetition and definition level;
// deepest is the repetition level of the lists around it.
func (r *shredder) put(s *shape, raw json.RawMessage, repetition, definition, deepest int) {
	if raw == nil || raw[0] == 'n' {
		r.putNulls(s, repetition, definition)
		return
	}
	switch s.kind {
	case kindList:
		list := elements(raw)
		if len(list) == 0 {
			r.putNulls(s, repetition, definition+1)
		}
		for i, e := range list {
			if i > 0 {
				repetition = deepest + 1
			}
			r.put(s.element, e, repetition, definition+2, deepest+1)
		}
	case kindObject:
		o, _ := parseObject(raw) // as it could be before, when the shape was made
		for _, name := range s.names {
			r.put(s.fields[name], o.raw[name], repetition, definition+1, deepest)
		}
	default:
		r.add(s, scalar(s.kind, raw), repetition, definition+1)
	}
}

// putNulls says for all leaves of a shape that there is nothing from a definition level on.
func (r *shredder) putNulls(s *shape, repetition, definition int) {
	switch s.kind {
	case kindList:
		r.putNulls(s.element, repetition, definition)
	case kindObject:
		for _, name := range s.names {
			r.putNulls(s.fields[name], repetition, definition)
		}
	default:
		r.add(s, parquet.NullValue(), repetition, definition)
	}
}

func (r *shredder) add(s *shape, v parquet.Value, repetition, definition int) {
	r.columns[s.column] = append(r.columns[s.column], v.Level(repetition, definition, s.column))
}

func scalar(k kind, raw json.RawMessage) parquet.Value {
	switch k {
	case kindBool:
		return parquet.BooleanValue(raw[0] == 't')
	case kindInteger:
		n, _ := strconv.ParseInt(string(raw), 10, 64)
		return parquet.Int64Value(n)
	case kindNumber:
		f, _ := strconv.ParseFloat(string(raw), 64)
		return parquet.DoubleValue(f)
	case kindString:
		var s string
		_ = json.Unmarshal(raw, &s) // it was decoded before
		return parquet.ByteArrayValue([]byte(s))
	}
	var b bytes.Buffer
	_ = json.Compact(&b, raw)
	return parquet.ByteArrayValue(b.Bytes())
}

// row returns the values of a whole row.
func (s *shape) row(o object, leaves int) parquet.Row {
	r := shredder{columns: make([][]parquet.Value, leaves)}
	for _, name := range s.names {
		r.put(s.fields[name], o.raw[name], 0, 0, 0)
	}
	var row parquet.Row
	for _, values := range r.columns {
		row = append(row, values...)
	}
	return row
}
