package wording

import "testing"

func TestListsAreWrittenAsInASentence(t *testing.T) {
	for _, c := range []struct {
		names   []string
		and, or string
	}{{nil, "", ""}, {[]string{"a"}, "a", "a"}, {[]string{"a", "b"}, "a and b", "a or b"}, {[]string{"a", "b", "c"}, "a, b and c", "a, b or c"}} {
		if and, or := And(c.names), Or(c.names); and != c.and || or != c.or {
			t.Errorf("%v: %q and %q, want %q and %q", c.names, and, or, c.and, c.or)
		}
	}
}
