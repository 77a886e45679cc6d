package settings

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// Values are settings that were given, by name. They are a flag's value, written "name=value,name=value", and a map in YAML.
type Values map[string]string

// Set reads a flag's value. Spaces beside names and values mean nothing.
func (v *Values) Set(text string) error {
	read := Values{}
	for part := range strings.SplitSeq(text, ",") {
		if text == "" {
			break
		}
		name, value, _ := strings.Cut(part, "=")
		name, value = strings.TrimSpace(name), strings.TrimSpace(value)
		if name == "" || value == "" {
			return fmt.Errorf("%q is no setting: write NAME=VALUE, several with commas between them", part)
		}
		if _, twice := read[name]; twice {
			return fmt.Errorf("%s is given twice", name)
		}
		read[name] = value
	}
	*v = read
	return nil
}

// String writes the values as Set reads them, sorted by name. However a number was written, it is written here in one way, so that equal
// settings have equal texts.
func (v Values) String() string {
	parts := make([]string, 0, len(v))
	for _, name := range slices.Sorted(maps.Keys(v)) {
		value := v[name]
		if x, err := strconv.ParseFloat(value, 64); err == nil {
			value = fmt.Sprint(x)
		}
		parts = append(parts, name+"="+value)
	}
	return strings.Join(parts, ",")
}

// Type is the word for a value in a flag's help.
func (v Values) Type() string { return "name=value,..." }
