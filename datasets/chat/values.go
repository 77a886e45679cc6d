package chat

import (
	"cmp"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// A value is nil (none), bool, int64, float64, string, or one of the types below. Nothing changes one after it was made, but for
// namespaces, generators, cyclers and joiners.
type (
	list  []any
	tuple []any

	// longInt is a whole number beyond 64 bits, by its digits. It can be written and compared, and not be computed with.
	longInt string

	// Dict is an object whose keys have an order: strings, and in templates numbers, booleans and none too.
	Dict struct {
		keys, values []any
		place        map[any]int
	}

	// view is what keys(), values() and items() give: it has a length, and no subscripts.
	view struct {
		name  string
		items []any
	}

	// generator is what filters such as map and select give: it is true, and is gone through once.
	generator struct{ items []any }

	// markup is text that the filters safe and escape marked.
	markup string

	// missing is Jinja's undefined: text without letters, false, an empty list; anything else is an error.
	missing struct {
		why  string
		kind Kind // of the error that its use is; "" is Undefined
	}

	namespace struct{ vars map[string]any }

	function struct {
		name string
		call func(m *machine, a arguments) any
	}
)

// Set puts a value under a key, at its place if the key is there, else at the end.
func (d *Dict) Set(key string, value any) { d.set(key, value) }

func (d *Dict) set(key, value any) {
	k := hashable(key)
	if d.place == nil {
		d.place = map[any]int{}
	}
	if i, ok := d.place[k]; ok {
		d.values[i] = value
		return
	}
	d.place[k] = len(d.keys)
	d.keys, d.values = append(d.keys, key), append(d.values, value)
}

func (d *Dict) get(key any) (any, bool) {
	i, ok := d.place[hashable(key)]
	if !ok {
		return nil, false
	}
	return d.values[i], true
}

func (d *Dict) items() []any {
	pairs := make([]any, len(d.keys))
	for i, k := range d.keys {
		pairs[i] = tuple{k, d.values[i]}
	}
	return pairs
}

// hashable is a key as Python compares keys: 1, 1.0 and true are one.
func hashable(key any) any {
	switch k := key.(type) {
	case bool:
		return toInt(k)
	case float64:
		if i := int64(k); float64(i) == k {
			return i
		}
		return k
	case nil, int64, string:
		return k
	case markup:
		return string(k)
	}
	if _, long := key.(longInt); long {
		overflow()
	}
	fail(Type, "%s cannot be a key: strings, numbers, booleans and none can", kindOf(key))
	return nil
}

// canBeKey tells whether hashable takes a value.
func canBeKey(v any) bool {
	switch v.(type) {
	case nil, bool, int64, float64, string, markup:
		return true
	}
	return false
}

func toInt(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

// kindOf names the type of a value as Python does.
func kindOf(v any) string {
	switch v := v.(type) {
	case nil:
		return "None"
	case bool:
		return "bool"
	case int64, longInt:
		return "int"
	case float64:
		return "float"
	case string:
		return "str"
	case markup:
		return "Markup"
	case list:
		return "list"
	case tuple:
		return "tuple"
	case *Dict:
		return "dict"
	case *view:
		return v.name
	case *generator:
		return "generator"
	case missing:
		return "Undefined"
	case *namespace:
		return "namespace"
	case *loopState:
		return "loop"
	}
	return "function"
}

// truth is what if makes of a value.
func truth(v any) bool {
	switch v := v.(type) {
	case nil, missing:
		return false
	case bool:
		return v
	case int64:
		return v != 0
	case float64:
		return v != 0
	case string:
		return v != ""
	case markup:
		return v != ""
	case list:
		return len(v) > 0
	case tuple:
		return len(v) > 0
	case *Dict:
		return len(v.keys) > 0
	case *view:
		return len(v.items) > 0
	}
	return true
}

// elements are what a loop goes through.
func (m *machine) elements(v any) []any {
	items, ok := m.iterate(v)
	if !ok {
		fail(Type, "%s cannot be gone through: a list, an object or a string is needed", kindOf(v))
	}
	return items
}

func (m *machine) iterate(v any) ([]any, bool) {
	switch v := v.(type) {
	case missing:
		return nil, true
	case string:
		m.spend(len(v))
		out := make([]any, 0, len(v))
		for _, r := range v {
			out = append(out, string(r))
		}
		return out, true
	case list:
		return v, true
	case tuple:
		return v, true
	case *Dict:
		return v.keys, true
	case *view:
		return v.items, true
	case *generator:
		items := v.items
		v.items = nil
		return items, true
	}
	return nil, false
}

// length is Python's len; of a string it counts characters.
func length(v any) (int, bool) {
	switch v := v.(type) {
	case string:
		return utf8.RuneCountInString(v), true
	case markup:
		return utf8.RuneCountInString(string(v)), true
	case list:
		return len(v), true
	case tuple:
		return len(v), true
	case *Dict:
		return len(v.keys), true
	case *view:
		return len(v.items), true
	case missing:
		return 0, true
	}
	return 0, false
}

// str is Python's str: what is printed of a value.
func (m *machine) str(v any) string {
	switch v := v.(type) {
	case string:
		return v
	case markup:
		return string(v)
	case missing:
		return ""
	}
	var b strings.Builder
	m.repr(&b, v)
	return b.String()
}

// repr is Python's repr.
func (m *machine) repr(b *strings.Builder, v any) {
	defer m.deeper()()
	m.spend(1)
	m.bound(b.Len())
	switch v := v.(type) {
	case nil:
		b.WriteString("None")
	case bool:
		b.WriteString(map[bool]string{true: "True", false: "False"}[v])
	case int64:
		b.WriteString(strconv.FormatInt(v, 10))
	case longInt:
		m.spend(len(v) / bytesPerStep)
		b.WriteString(string(v))
	case float64:
		b.WriteString(formatFloat(v))
	case string:
		m.spend(len(v) / bytesPerStep)
		quote(b, v)
	case missing:
		b.WriteString("Undefined")
	case list:
		m.reprAll(b, "[", v, "]")
	case tuple:
		if len(v) == 1 {
			m.reprAll(b, "(", v, ",)")
			return
		}
		m.reprAll(b, "(", v, ")")
	case *view:
		m.reprAll(b, v.name+"([", v.items, "])")
	case *Dict:
		b.WriteString("{")
		for i, k := range v.keys {
			if i > 0 {
				b.WriteString(", ")
			}
			m.repr(b, k)
			b.WriteString(": ")
			m.repr(b, v.values[i])
		}
		b.WriteString("}")
	case *loopState:
		b.WriteString("<LoopContext " + strconv.Itoa(v.at+1) + "/" + strconv.Itoa(len(v.items)) + ">")
	default:
		fail(Unsupported, "%s has no text of its own: it cannot be printed", kindOf(v))
	}
}

func (m *machine) reprAll(b *strings.Builder, open string, items []any, end string) {
	b.WriteString(open)
	for i, item := range items {
		if i > 0 {
			b.WriteString(", ")
		}
		m.repr(b, item)
	}
	b.WriteString(end)
}

// formatFloat is Python's repr of a float: the shortest digits that give it back.
func formatFloat(f float64) string {
	switch {
	case math.IsNaN(f):
		return "nan"
	case math.IsInf(f, 0):
		return strings.TrimPrefix(strings.ToLower(strconv.FormatFloat(f, 'g', -1, 64)), "+")
	}
	if a := math.Abs(f); a != 0 && (a < 1e-4 || a >= 1e16) {
		return strconv.FormatFloat(f, 'e', -1, 64)
	}
	s := strconv.FormatFloat(f, 'f', -1, 64)
	if !strings.Contains(s, ".") {
		s += ".0"
	}
	return s
}

// quote writes a string as Python's repr.
func quote(b *strings.Builder, s string) {
	q := '\''
	if strings.Contains(s, "'") && !strings.Contains(s, `"`) {
		q = '"'
	}
	b.WriteRune(q)
	for _, r := range s {
		switch {
		case r == q || r == '\\':
			b.WriteRune('\\')
			b.WriteRune(r)
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\r':
			b.WriteString(`\r`)
		case r == '\t':
			b.WriteString(`\t`)
		case unicode.IsPrint(r):
			b.WriteRune(r)
		case r < 0x100:
			b.WriteString(`\x` + hexDigits(r, 2))
		case r < 0x10000:
			b.WriteString(`\u` + hexDigits(r, 4))
		default:
			b.WriteString(`\U` + hexDigits(r, 8))
		}
	}
	b.WriteRune(q)
}

func hexDigits(r rune, digits int) string {
	s := strconv.FormatInt(int64(r), 16)
	return strings.Repeat("0", digits-len(s)) + s
}

// number gives the value of a number, whether it is whole, and whether it is one; booleans are.
func number(v any) (i int64, f float64, whole, ok bool) {
	switch v := v.(type) {
	case bool:
		return toInt(v), float64(toInt(v)), true, true
	case int64:
		return v, float64(v), true, true
	case float64:
		return 0, v, false, true
	case longInt:
		overflow()
	}
	return 0, 0, false, false
}

func isLong(v any) bool {
	_, long := v.(longInt)
	return long
}

// equal is Python's ==.
func (m *machine) equal(a, b any) bool {
	defer m.deeper()()
	m.spend(1)
	m.read(a)
	if isLong(a) || isLong(b) {
		return a == b
	}
	if i, f, whole, ok := number(a); ok {
		j, g, whole2, ok := number(b)
		return ok && (whole && whole2 && i == j || (!whole || !whole2) && f == g)
	}
	switch a := a.(type) {
	case nil:
		return b == nil
	case string, markup:
		if kind := kindOf(b); kind != "str" && kind != "Markup" {
			return false
		}
		return m.str(a) == m.str(b)
	case missing:
		_, ok := b.(missing)
		return ok
	case list:
		b, ok := b.(list)
		return ok && slices.EqualFunc(a, b, m.equal)
	case tuple:
		b, ok := b.(tuple)
		return ok && slices.EqualFunc(a, b, m.equal)
	case *Dict:
		b, ok := b.(*Dict)
		if !ok || len(a.keys) != len(b.keys) {
			return false
		}
		for i, k := range a.keys {
			if v, ok := b.get(k); !ok || !m.equal(a.values[i], v) {
				return false
			}
		}
		return true
	}
	return same(a, b)
}

// same tells whether two values are one and the same, of those that Python tells apart by where they lie.
func same(a, b any) bool {
	switch a.(type) {
	case list, tuple:
		return false
	}
	switch b.(type) {
	case list, tuple:
		return false
	}
	return a == b
}

// less is Python's <, of numbers, strings, and lists of them.
func (m *machine) less(a, b any) bool {
	defer m.deeper()()
	m.spend(1)
	m.read(a)
	if i, f, whole, ok := number(a); ok {
		if j, g, whole2, ok := number(b); ok {
			return whole && whole2 && i < j || (!whole || !whole2) && f < g
		}
	}
	switch x := a.(type) {
	case string:
		if y, ok := b.(string); ok {
			return x < y
		}
	case list:
		if y, ok := b.(list); ok {
			return m.lessAll(x, y)
		}
	case tuple:
		if y, ok := b.(tuple); ok {
			return m.lessAll(x, y)
		}
	case missing:
		x.use()
	}
	if u, ok := b.(missing); ok {
		u.use()
	}
	fail(Type, "%s and %s have no order", kindOf(a), kindOf(b))
	return false
}

func (m *machine) lessAll(a, b []any) bool {
	for i := range min(len(a), len(b)) {
		if !m.equal(a[i], b[i]) {
			return m.less(a[i], b[i])
		}
	}
	return len(a) < len(b)
}

// use ends the work where something undefined is used otherwise than as text.
func (u missing) use() {
	fail(cmp.Or(u.kind, Undefined), "%s", u.why)
}
