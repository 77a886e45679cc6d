package chat

import (
	"errors"
	"maps"
	"math"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

type filterFunc = func(m *machine, v any, a arguments) any

// filters are Jinja's, by name; those of sequences are in sequences.go. The ones that look into values, draw by chance or make
// pages of the web are left out.
var filters map[string]filterFunc

func init() {
	filters = map[string]filterFunc{
		"default": defaulted, "d": defaulted,
		"string": func(m *machine, v any, a arguments) any {
			a.take("string")
			if s, ok := v.(markup); ok {
				return s
			}
			return m.str(v)
		},
		"safe":   func(m *machine, v any, a arguments) any { a.take("safe"); return markup(m.str(v)) },
		"escape": escape, "e": escape, "forceescape": escape,
		"trim": func(m *machine, v any, a arguments) any {
			chars := or(a.take("trim", "chars")[0], nil)
			return methods["str"]["strip"](m, m.str(v), arguments{positional: []any{chars}})
		},
		"upper":      changed(upper),
		"lower":      changed(strings.ToLower),
		"capitalize": changed(capitalize),
		"title":      changed(title),
		"replace": func(m *machine, v any, a arguments) any {
			args := a.take("replace", "old", "new", "count")
			count := int64(-1)
			if c := or(args[2], nil); c != nil {
				count = index(c, -1)
			}
			return m.replaced(m.str(v), m.str(needed("replace", args[0])), m.str(needed("replace", args[1])), count)
		},
		"indent": indent,
		"center": func(m *machine, v any, a arguments) any {
			return m.padded(m.str(v), index(or(a.take("center", "width")[0], int64(80)), 80), '^', ' ')
		},
		"format": func(m *machine, v any, a arguments) any {
			if len(a.names) > 0 {
				fail(Unsupported, "the filter format is not known with names")
			}
			return m.percent(m.str(v), tuple(a.positional))
		},
		"wordcount": func(m *machine, v any, a arguments) any {
			a.take("wordcount")
			m.grown(len(m.str(v)))
			word := func(r rune) bool { return r != '_' && !unicode.IsLetter(r) && !unicode.IsNumber(r) }
			return int64(len(strings.FieldsFunc(m.str(v), word)))
		},
		"truncate":  truncate,
		"urlencode": func(m *machine, v any, a arguments) any { a.take("urlencode"); return quoteURL(m.str(v)) },
		"int":       toInteger,
		"float":     toFloat,
		"abs": func(_ *machine, v any, a arguments) any {
			a.take("abs")
			if i, f, whole, ok := number(v); ok && (whole && i < 0 || !whole && f < 0) {
				return negate("-", v)
			}
			return negate("+", v)
		},
		"round":  round,
		"tojson": toJSON,
		"attr": func(*machine, any, arguments) any {
			fail(Security, "the filter attr is not allowed: write the attribute behind a point")
			return nil
		},
	}
	maps.Copy(filters, sequenceFilters())
}

func changed(change func(string) string) filterFunc {
	return func(m *machine, v any, a arguments) any {
		a.take("a filter of letters")
		s := m.str(v)
		m.grown(len(s))
		return change(s)
	}
}

// defaulted gives another value for one that is undefined, or with a second argument for any that is false.
func defaulted(_ *machine, v any, a arguments) any {
	args := a.take("default", "default_value", "boolean")
	if _, undefined := v.(missing); undefined || truth(or(args[1], false)) && !truth(v) {
		return or(args[0], "")
	}
	return v
}

func escape(m *machine, v any, a arguments) any {
	a.take("escape")
	if s, ok := v.(markup); ok {
		return s
	}
	s := m.str(v)
	m.grown(5 * len(s))
	return markup(strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", "'", "&#39;", `"`, "&#34;").Replace(s))
}

// title makes the first letter of each word large; words begin behind white space, hyphens and opening brackets.
func title(s string) string {
	var b strings.Builder
	first := true
	for _, r := range s {
		if first {
			b.WriteString(upper(string(r)))
		} else {
			b.WriteRune(unicode.ToLower(r))
		}
		first = isSpace(r) || strings.ContainsRune("-({[<", r)
	}
	return b.String()
}

func indent(m *machine, v any, a arguments) any {
	args := a.take("indent", "width", "first", "blank")
	by, ok := or(args[0], int64(4)).(string)
	if !ok {
		by = m.repeat(" ", index(or(args[0], nil), 4)).(string)
	}
	text := m.str(v)
	m.grown(len(text))
	parts := lines(text+"\n", false)
	for i := range parts {
		if i > 0 && (parts[i] != "" || truth(or(args[2], false))) || i == 0 && truth(or(args[1], false)) {
			m.grown(len(by) + len(parts[i]))
			parts[i] = by + parts[i]
		}
	}
	return m.joined(parts, "\n")
}

func truncate(m *machine, v any, a arguments) any {
	args := a.take("truncate", "length", "killwords", "end", "leeway")
	s, end := []rune(m.str(v)), m.str(or(args[2], "..."))
	most, leeway := index(or(args[0], int64(255)), 255), index(or(args[3], int64(5)), 5)
	m.grown(4 * len(s))
	tail := int64(utf8.RuneCountInString(end))
	switch {
	case most < tail || leeway < 0:
		fail(Type, "truncate: the length is to be that of its end at least")
	case int64(len(s)) <= most+leeway:
		return string(s)
	}
	kept := string(s[:most-tail])
	if !truth(or(args[1], false)) {
		if i := strings.LastIndexByte(kept, ' '); i >= 0 {
			kept = kept[:i]
		}
	}
	return kept + end
}

func quoteURL(s string) string {
	return strings.NewReplacer("+", "%20", "%2F", "/", "%7E", "~").Replace(url.QueryEscape(s))
}

// underscores are those between two digits, which Python reads over.
var underscores = regexp.MustCompile(`([0-9a-zA-Z])_([0-9a-zA-Z])`)

func toInteger(m *machine, v any, a arguments) any {
	args := a.take("int", "default", "base")
	if isLong(v) {
		return v
	}
	if i, f, whole, ok := number(v); ok {
		switch {
		case whole:
			return i
		case f != f || math.IsInf(f, 0):
			return or(args[0], int64(0))
		}
		return truncated(f)
	}
	base := index(or(args[1], int64(10)), 10)
	if s, ok := v.(string); ok {
		s = strings.TrimFunc(s, isSpace)
		digits := s
		if prefix := map[int64]string{2: "0b", 8: "0o", 16: "0x"}[base]; prefix != "" {
			digits = strings.TrimPrefix(strings.ToLower(s), prefix)
		}
		if i, err := strconv.ParseInt(underscores.ReplaceAllString(digits, "$1$2"), int(base), 64); err == nil {
			return i
		}
		if f, ok := parseFloat(s); ok && !math.IsNaN(f) && !math.IsInf(f, 0) {
			return truncated(f)
		}
	}
	return or(args[0], int64(0))
}

// parseFloat reads what Python's float does.
func parseFloat(s string) (float64, bool) {
	s = strings.TrimFunc(s, isSpace)
	if strings.ContainsAny(s, "xXpP_") {
		return 0, false
	}
	f, err := strconv.ParseFloat(s, 64)
	return f, err == nil || errors.Is(err, strconv.ErrRange)
}

func toFloat(_ *machine, v any, a arguments) any {
	args := a.take("float", "default")
	if _, f, _, ok := number(v); ok {
		return f
	}
	if s, ok := v.(string); ok {
		if f, ok := parseFloat(s); ok {
			return f
		}
	}
	return or(args[0], 0.0)
}

func round(_ *machine, v any, a arguments) any {
	args := a.take("round", "precision", "method")
	i, f, whole, ok := number(v)
	if !ok {
		fail(Type, "round needs a number, not %s", kindOf(v))
	}
	digits := index(or(args[0], int64(0)), 0)
	if digits > 300 || digits < -300 {
		fail(Limit, "round: %d digits are too many", digits)
	}
	switch method := or(args[1], "common"); method {
	case "common":
		switch {
		case whole && digits >= 0:
			return i
		case digits < 0:
			scale := math.Pow(10, float64(-digits))
			f = math.RoundToEven(f/scale) * scale
			if whole {
				return truncated(f)
			}
			return f
		}
		// Python rounds the decimal number that the float stands for, ties to even.
		f, _ = strconv.ParseFloat(strconv.FormatFloat(f, 'f', int(digits), 64), 64)
		return f
	case "ceil", "floor":
		scale := math.Pow(10, float64(digits))
		if method == "ceil" {
			return math.Ceil(f*scale) / scale
		}
		return math.Floor(f*scale) / scale
	}
	fail(Type, "round: the method is to be common, ceil or floor")
	return nil
}

// testNames are Jinja's names of a comparison.
var comparisons = map[string]string{
	"==": "==", "eq": "==", "equalto": "==", "!=": "!=", "ne": "!=", "<": "<", "lt": "<", "lessthan": "<", "<=": "<=", "le": "<=",
	">": ">", "gt": ">", "greaterthan": ">", ">=": ">=", "ge": ">=", "in": "in",
}

// tests are what follows is.
var tests map[string]func(m *machine, v any, a arguments) bool

func init() {
	tests = map[string]func(m *machine, v any, a arguments) bool{
		"divisibleby": func(m *machine, v any, a arguments) bool {
			by := needed("divisibleby", a.take("divisibleby", "num")[0])
			return m.equal(m.operate("%", v, by), int64(0))
		},
		"sameas": func(m *machine, v any, a arguments) bool {
			other := needed("sameas", a.take("sameas", "other")[0])
			return kindOf(v) == kindOf(other) && m.equal(v, other)
		},
	}
	for name, op := range comparisons {
		tests[name] = func(m *machine, v any, a arguments) bool {
			return m.compare(op, v, needed(name, a.take(name, "other")[0]))
		}
	}
	for name, is := range plainTests {
		tests[name] = func(m *machine, v any, a arguments) bool {
			a.take(name)
			return is(m, v)
		}
	}
}

func kinds(names ...string) func(*machine, any) bool {
	return func(_ *machine, v any) bool { return slices.Contains(names, kindOf(v)) }
}

// plainTests ask without an argument.
var plainTests = map[string]func(m *machine, v any) bool{
	"defined":   func(_ *machine, v any) bool { return kindOf(v) != "Undefined" },
	"undefined": kinds("Undefined"),
	"none":      kinds("None"),
	"boolean":   kinds("bool"),
	"true":      func(_ *machine, v any) bool { b, ok := v.(bool); return ok && b },
	"false":     func(_ *machine, v any) bool { b, ok := v.(bool); return ok && !b },
	"integer":   kinds("int"),
	"float":     kinds("float"),
	"number":    kinds("int", "float", "bool"),
	"string":    kinds("str", "Markup"),
	"mapping":   kinds("dict"),
	"sequence":  kinds("str", "Markup", "list", "tuple", "dict"),
	"iterable":  kinds("str", "Markup", "list", "tuple", "dict", "dict_items", "dict_keys", "dict_values", "generator", "Undefined", "loop"),
	"callable":  kinds("function"),
	"escaped":   kinds("Markup"),
	"odd":       func(m *machine, v any) bool { return m.equal(m.operate("%", v, int64(2)), int64(1)) },
	"even":      func(m *machine, v any) bool { return m.equal(m.operate("%", v, int64(2)), int64(0)) },
	"lower":     func(m *machine, v any) bool { return isLower(m.str(v)) },
	"upper":     func(m *machine, v any) bool { return isUpper(m.str(v)) },
	"filter":    func(m *machine, v any) bool { _, ok := filters[m.str(v)]; return ok },
	"test":      func(m *machine, v any) bool { _, ok := tests[m.str(v)]; return ok },
}
