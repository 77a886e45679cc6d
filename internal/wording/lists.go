// Package wording writes names into messages: lists of them, and the known name that is near to one that is unknown.
package wording

import "strings"

// And writes a list as in "a, b and c".
func And(names []string) string { return list(names, " and ") }

// Or writes a list as in "a, b or c".
func Or(names []string) string { return list(names, " or ") }

func list(names []string, before string) string {
	if len(names) < 2 {
		return strings.Join(names, "")
	}
	last := len(names) - 1
	return strings.Join(names[:last], ", ") + before + names[last]
}
