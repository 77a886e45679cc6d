package datasets

import (
	"bytes"
	"encoding/json"
	"slices"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/format"

	"github.com/dpo-ort/dpo-ort/internal/plainjson"
)

// isJSON tells whether a column, or one below it, is of Parquet's type JSON, whose text is the value.
func isJSON(c *parquet.Column) bool {
	if c.Leaf() {
		_, is := logical(c.Type()).(*format.JsonType)
		return is
	}
	return slices.ContainsFunc(c.Columns(), isJSON)
}

// jsonValue gives a text of a column of JSON as JSON; what is none is a string.
func jsonValue(v parquet.Value) any {
	text := v.ByteArray()
	var compact bytes.Buffer
	if json.Compact(&compact, text) != nil || plainjson.HalfPair(text) != "" || plainjson.Duplicates(text) != nil {
		return string(text)
	}
	return json.RawMessage(compact.Bytes())
}

// plainValues are a row's values as record has them, of those that nodes have read.
func plainValues(nodes []*node, values map[string]any) map[string]any {
	if !slices.ContainsFunc(nodes, func(n *node) bool { return n.json }) {
		return values
	}
	return plainValue(values).(map[string]any) // a copy: the JSON is still to be asked for
}

func plainValue(v any) any {
	switch v := v.(type) {
	case json.RawMessage:
		var out any
		if json.Unmarshal(v, &out) != nil { // a number that is too large
			return string(v)
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i := range v {
			out[i] = plainValue(v[i])
		}
		return out
	case map[string]any:
		out := make(map[string]any, len(v))
		for name := range v {
			out[name] = plainValue(v[name])
		}
		return out
	}
	return v
}
