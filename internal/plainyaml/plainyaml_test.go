package plainyaml

import (
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
)

type settings struct {
	A int       `yaml:"a"`
	B []string  `yaml:"b"`
	C *settings `yaml:"c"`
}

func TestUnmarshal(t *testing.T) {
	var s settings
	if err := Unmarshal([]byte("--- # settings\na: 1\nb: [x, 'it''s [', \"[\"]\nc: {a: 2}\n"), &s, yaml.Strict()); err != nil || s.A != 1 || len(s.B) != 3 || s.C.A != 2 {
		t.Errorf("%+v, %v", s, err)
	}
	for text, want := range map[string]string{
		"a: \xff":                              "line 1 is not valid UTF-8",
		"b:\n- \x00":                           "line 2 has a NUL byte",
		strings.Repeat("a", maxBytes+1):        "more than the 1048576 of settings",
		"a: &x 1":                              "line 1 has an anchor",
		"b: [a]\na: *x":                        "line 2 has an alias",
		"a: !!int 1":                           "line 1 has a tag",
		"<<: {a: 1}":                           "line 1 has a merge key",
		"%YAML 1.2\n---\na: 1":                 "line 1 has a directive",
		"a: 1\n---\na: 2":                      "line 2 has a second document",
		"b: " + strings.Repeat("[", 65):        "line 1 nests deeper than 64",
		"b: " + strings.Repeat("{a: ", 400_00): "line 1 nests deeper than 64",
		strings.Repeat("- ", 100):              "line 1 nests deeper than 64",
		strings.Repeat("? ", 100):              "line 1 nests deeper than 64",
		"a: 1\na: 2":                           `[2:1] mapping key "a" already defined`,
		"a: 1.5":                               "a is 1.5: a whole number is needed",
		"a: 18446744073709551616":              "a is 18446744073709551616: a whole number of at most 64 bits",
		"c: {a: 0.5}":                          "c.a is 0.5: a whole number is needed",
		"d: 1":                                 `[1:1] unknown field "d"`,
		"a: [1]":                               "[1:4]",
	} {
		if err := Unmarshal([]byte(text), &settings{}, yaml.Strict()); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.60q: %v, want %q", text, err, want)
		}
	}
}

// FuzzUnmarshal holds that no text panics, or fills the stack.
func FuzzUnmarshal(f *testing.F) {
	for _, text := range []string{"a: 1\nb: [x, {y: z}]\n", "model: $\ndata: !000 ", "- - - a\n", "? [a]\n: b\n", "a: |\n  text\n", "a: >-\n text\n\n more\n", "\"a\": 'b'\n...\n"} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		var s settings
		_ = Unmarshal(text, &s, yaml.Strict())
		var tree yaml.MapSlice
		_ = Unmarshal(text, &tree, yaml.UseOrderedMap())
	})
}
