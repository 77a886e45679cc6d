package plainjson

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

func TestUnmarshal(t *testing.T) {
	type inner struct {
		B []int `json:"b"`
	}
	var v struct {
		A string `json:"a"`
		C inner  `json:"c"`
	}
	if err := UnmarshalStrict([]byte(" {\"a\":\"\\ud83d\\ude00 \\\\ud83d\", \"c\":{\"b\":[1, 2]}}\n"), &v); err != nil || v.A != "😀 \\ud83d" || len(v.C.B) != 2 {
		t.Errorf("%+v, %v", v, err)
	}
	var many strings.Builder
	for i := range 20 {
		fmt.Fprintf(&many, `"f%d":0,`, i)
	}
	for text, want := range map[string]string{
		``:                               "it is empty",
		` `:                              "it is empty",
		`[]`:                             "it is a list, where an object {...} is needed",
		`null`:                           "it is null, where an object",
		`7`:                              "it is a number, where",
		`{"a":`:                          "it ends in the middle",
		"{\"a\":\n}":                     "line 2: it is no JSON: invalid character '}'",
		`{} {}`:                          "line 1: it is no JSON: invalid character '{' after top-level value",
		"{\n\"a\":\"\xff\"}":             "line 2: it is not valid UTF-8",
		"{\"a\":\"\",\n\"a\":\"\"}":      `line 2: the name "a" comes twice`,
		`{"a":"","\u0061":""}`:           `the name "a" comes twice`,
		`{"c":{"b":[], "b":[]}}`:         `the name "b" comes twice`,
		"{" + many.String() + `"f3":0}`:  `the name "f3" comes twice`,
		"{" + many.String() + `"f19":0}`: `the name "f19" comes twice`,
		`{"a":"\ud83d"}`:                 `\ud83d is half of a surrogate pair`,
		`{"\udc00":"b"}`:                 `\udc00 is half of a surrogate pair`,
		`{"a":7}`:                        "line 1: field a is a number, where a string is needed",
		"{\"c\":{\"b\":\n[\"1\"]}}":      "line 2: field c.b is a string, where a whole number",
		`{"d":1}`:                        `unknown field "d"`,
		strings.Repeat("[", 513):         "values nest deeper than 512",
		`{"a":"` + strings.Repeat("[", 600) + `"`: "it ends in the middle",
	} {
		if err := UnmarshalStrict([]byte(text), &v); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.60q: %v, want %q", text, err, want)
		}
	}
}

// FuzzCheck holds that what is accepted is valid JSON, which encoding/json reads as it stands.
func FuzzCheck(f *testing.F) {
	for _, text := range []string{`{"a":[1,-2.5e3,true,null,{"b":"\u00e9"}]}`, `[]`, ` "x" `, `{"a":1,"a":2}`, `["\ud83d"]`} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		if err := Check(text); err != nil {
			return
		}
		if !json.Valid(text) {
			t.Fatalf("%q is no JSON", text)
		}
		var m map[string]any
		_ = Unmarshal(text, &m)
	})
}
