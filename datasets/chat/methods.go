package chat

import (
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// methods are all that a template may call of a value: a row a name, of the type's name in Python.
var methods map[string]map[string]func(m *machine, of any, a arguments) any

// changing are methods of Python that change a value, which the sandbox refuses as transformers does.
var changing = map[string][]string{
	"list": {"append", "clear", "pop", "reverse", "insert", "sort", "extend", "remove"},
	"dict": {"clear", "pop", "popitem", "setdefault", "update"},
}

// unknown are attributes that Python has and no template needs. Elsewhere an attribute that is not there is undefined, so they are named.
var unknown = map[string][]string{
	"str":   {"encode", "expandtabs", "format_map", "isascii", "isidentifier", "isprintable", "istitle", "maketrans", "translate"},
	"int":   {"as_integer_ratio", "bit_count", "bit_length", "conjugate", "denominator", "from_bytes", "imag", "is_integer", "numerator", "real", "to_bytes"},
	"bool":  {"as_integer_ratio", "bit_count", "bit_length", "conjugate", "denominator", "from_bytes", "imag", "is_integer", "numerator", "real", "to_bytes"},
	"float": {"as_integer_ratio", "conjugate", "fromhex", "hex", "imag", "is_integer", "real"},
	"dict":  {"fromkeys"},
}

// method gives a method of a value, bound to it, or what stands for one that is not allowed.
func (m *machine) method(of any, name string) (any, bool) {
	switch of := of.(type) {
	case *loopState:
		if v, ok := of.attribute(name); ok {
			return v, true
		}
	case *namespace:
		if v, ok := of.vars[name]; ok {
			return v, true
		}
	}
	kind := kindOf(of)
	if strings.HasPrefix(name, "__") && strings.HasSuffix(name, "__") || slices.Contains(changing[kind], name) {
		return missing{why: "access to attribute '" + name + "' of '" + kind + "' object is unsafe: a template may neither change values nor look behind them", kind: Security}, true
	}
	call, ok := methods[kind][name]
	if !ok {
		if slices.Contains(unknown[kind], name) {
			fail(Unsupported, "%s of %s is not known", name, kind)
		}
		return nil, false
	}
	return &function{name, func(m *machine, a arguments) any {
		m.read(of)
		return call(m, of, a)
	}}, true
}

func init() {
	methods = map[string]map[string]func(m *machine, of any, a arguments) any{
		"str":      stringMethods(),
		"dict":     dictMethods,
		"list":     listMethods,
		"tuple":    listMethods,
		"function": nil,
	}
}

var dictMethods = map[string]func(m *machine, of any, a arguments) any{
	"get": func(_ *machine, of any, a arguments) any {
		args := a.take("get", "key", "default")
		if v, ok := of.(*Dict).get(needed("get", args[0])); ok {
			return v
		}
		return or(args[1], nil)
	},
	"items": func(m *machine, of any, a arguments) any {
		a.take("items")
		m.spend(2 * len(of.(*Dict).keys)) // each a list of two
		return &view{"dict_items", of.(*Dict).items()}
	},
	"keys": func(_ *machine, of any, a arguments) any {
		a.take("keys")
		return &view{"dict_keys", of.(*Dict).keys}
	},
	"values": func(_ *machine, of any, a arguments) any {
		a.take("values")
		return &view{"dict_values", of.(*Dict).values}
	},
	"copy": func(_ *machine, of any, a arguments) any {
		a.take("copy")
		return of
	},
}

var listMethods = map[string]func(m *machine, of any, a arguments) any{
	"index": func(m *machine, of any, a arguments) any {
		v := needed("index", a.take("index", "value")[0])
		i := slices.IndexFunc(m.elements(of), func(item any) bool { return m.equal(item, v) })
		if i < 0 {
			fail(Type, "index: the list does not have the value")
		}
		return int64(i)
	},
	"count": func(m *machine, of any, a arguments) any {
		v, n := needed("count", a.take("count", "value")[0]), int64(0)
		for _, item := range m.elements(of) {
			if m.equal(item, v) {
				n++
			}
		}
		return n
	},
	"copy": func(_ *machine, of any, a arguments) any {
		a.take("copy")
		return of
	},
}

func needed(of string, v any) any {
	if isAbsent(v) {
		fail(Type, "%s is called without an argument that it needs", of)
	}
	return v
}

// or gives a value, or another where it is absent.
func or(v, otherwise any) any {
	if isAbsent(v) {
		return otherwise
	}
	return v
}

func textOf(of string, v any) string {
	switch v := v.(type) {
	case string:
		return v
	case markup:
		return string(v)
	case missing:
		v.use()
	}
	fail(Type, "%s needs a string, not %s", of, kindOf(v))
	return ""
}

type stringMethod = func(m *machine, of any, a arguments) any

func stringMethods() map[string]stringMethod {
	table := map[string]stringMethod{
		"strip": strip(strings.TrimLeftFunc, strings.TrimRightFunc), "lstrip": strip(strings.TrimLeftFunc), "rstrip": strip(strings.TrimRightFunc),
		"startswith": affix(strings.HasPrefix), "endswith": affix(strings.HasSuffix),
		"find": place(strings.Index, false), "rfind": place(strings.LastIndex, false), "index": place(strings.Index, true), "rindex": place(strings.LastIndex, true),
		"split": split(false), "rsplit": split(true), "splitlines": splitLines,
		"partition": partition(strings.Index, false), "rpartition": partition(strings.LastIndex, true),
		"removeprefix": func(_ *machine, of any, a arguments) any {
			return strings.TrimPrefix(of.(string), textOf("removeprefix", needed("removeprefix", a.take("removeprefix", "prefix")[0])))
		},
		"removesuffix": func(_ *machine, of any, a arguments) any {
			return strings.TrimSuffix(of.(string), textOf("removesuffix", needed("removesuffix", a.take("removesuffix", "suffix")[0])))
		},
		"replace": func(m *machine, of any, a arguments) any {
			args := a.take("replace", "old", "new", "count")
			return m.replaced(of.(string), textOf("replace", needed("replace", args[0])), textOf("replace", needed("replace", args[1])), index(or(args[2], int64(-1)), -1))
		},
		"count": func(m *machine, of any, a arguments) any {
			m.spend(len(of.(string)) / bytesPerStep)
			return int64(strings.Count(of.(string), textOf("count", needed("count", a.take("count", "sub")[0]))))
		},
		"join": func(m *machine, of any, a arguments) any {
			var parts []string
			for _, item := range m.elements(needed("join", a.take("join", "iterable")[0])) {
				parts = append(parts, textOf("join", item))
			}
			return m.joined(parts, of.(string))
		},
		"format": func(m *machine, of any, a arguments) any { return m.format(of.(string), a) },
		"zfill": func(m *machine, of any, a arguments) any {
			return m.padded(of.(string), index(needed("zfill", a.take("zfill", "width")[0]), 0), '=', '0')
		},
	}
	for name, align := range map[string]rune{"ljust": '<', "rjust": '>', "center": '^'} {
		table[name] = func(m *machine, of any, a arguments) any {
			args := a.take(name, "width", "fillchar")
			fill, _ := utf8.DecodeRuneInString(textOf(name, or(args[1], " ")))
			return m.padded(of.(string), index(needed(name, args[0]), 0), align, fill)
		}
	}
	for name, change := range map[string]func(string) string{"upper": upper, "lower": strings.ToLower, "casefold": strings.ToLower, "title": titleWords,
		"capitalize": capitalize, "swapcase": swapCase} {
		table[name] = func(m *machine, of any, a arguments) any {
			a.take(name)
			m.grown(len(of.(string)))
			return change(of.(string))
		}
	}
	for name, is := range map[string]func(string) bool{"isdigit": all(unicode.IsDigit), "isnumeric": all(unicode.IsNumber), "isdecimal": all(unicode.IsDigit),
		"isalpha": all(unicode.IsLetter), "isspace": all(isSpace), "isupper": isUpper, "islower": isLower,
		"isalnum": all(func(r rune) bool { return unicode.IsLetter(r) || unicode.IsNumber(r) })} {
		table[name] = func(m *machine, of any, a arguments) any {
			a.take(name)
			m.spend(len(of.(string)) / bytesPerStep)
			return is(of.(string))
		}
	}
	return table
}

// strip takes characters off the sides that the functions stand for: white space, or those given.
func strip(sides ...func(string, func(rune) bool) string) stringMethod {
	return func(m *machine, of any, a arguments) any {
		s, drop := of.(string), isSpace
		if chars := or(a.take("strip", "chars")[0], nil); chars != nil {
			given := textOf("strip", chars)
			drop = func(r rune) bool { return strings.ContainsRune(given, r) }
		}
		m.spend(len(s) / bytesPerStep)
		for _, side := range sides {
			s = side(s, drop)
		}
		return s
	}
}

// affix tells whether a string has one of the beginnings or ends given.
func affix(has func(s, part string) bool) stringMethod {
	return func(_ *machine, of any, a arguments) any {
		v := needed("startswith or endswith", a.take("startswith or endswith", "part")[0])
		if parts, ok := v.(tuple); ok {
			return slices.ContainsFunc(parts, func(p any) bool { return has(of.(string), textOf("startswith or endswith", p)) })
		}
		return has(of.(string), textOf("startswith or endswith", v))
	}
}

// place finds a part, counted in characters; −1, or an error, if it is not there.
func place(find func(s, part string) int, must bool) stringMethod {
	return func(m *machine, of any, a arguments) any {
		s := of.(string)
		m.spend(len(s) / bytesPerStep)
		i := find(s, textOf("find", needed("find", a.take("find", "sub")[0])))
		if i < 0 {
			if must {
				fail(Type, "index: the string does not have the part")
			}
			return int64(-1)
		}
		return int64(utf8.RuneCountInString(s[:i]))
	}
}

func partition(find func(s, part string) int, right bool) stringMethod {
	return func(m *machine, of any, a arguments) any {
		s, sep := of.(string), textOf("partition", needed("partition", a.take("partition", "sep")[0]))
		if sep == "" {
			fail(Type, "partition: the separator is empty")
		}
		m.grown(len(s))
		i := find(s, sep)
		switch {
		case i >= 0:
			return tuple{s[:i], sep, s[i+len(sep):]}
		case right:
			return tuple{"", "", s}
		}
		return tuple{s, "", ""}
	}
}

// split cuts a string at a separator, or at white space; from the right if there is a bound on cuts that counts from there.
func split(right bool) stringMethod {
	return func(m *machine, of any, a arguments) any {
		args := a.take("split", "sep", "maxsplit")
		s, most := of.(string), int(index(or(args[1], int64(-1)), -1))
		var parts []string
		switch sep := or(args[0], nil); {
		case sep == nil:
			parts = fields(s, most, right)
		case textOf("split", sep) == "":
			fail(Type, "split: the separator is empty")
		case right && most >= 0:
			parts = splitRight(s, textOf("split", sep), most)
		case most >= 0:
			parts = strings.SplitN(s, textOf("split", sep), most+1)
		default:
			parts = strings.Split(s, textOf("split", sep))
		}
		m.grown(len(s))
		return m.strings(parts)
	}
}

func (m *machine) strings(parts []string) list {
	m.spend(len(parts))
	out := make(list, len(parts))
	for i, p := range parts {
		out[i] = p
	}
	return out
}

func splitRight(s, sep string, most int) (parts []string) {
	for range most {
		i := strings.LastIndex(s, sep)
		if i < 0 {
			break
		}
		parts = append(parts, s[i+len(sep):])
		s = s[:i]
	}
	parts = append(parts, s)
	slices.Reverse(parts)
	return parts
}

// fields cuts at runs of white space, most times at most.
func fields(s string, most int, right bool) []string {
	if most < 0 {
		return strings.FieldsFunc(s, isSpace)
	}
	var parts []string
	trim, find := strings.TrimLeftFunc, strings.IndexFunc
	if right {
		trim, find = strings.TrimRightFunc, strings.LastIndexFunc
	}
	for s = trim(s, isSpace); s != ""; s = trim(s, isSpace) {
		i := find(s, isSpace)
		if len(parts) == most || i < 0 {
			parts = append(parts, s)
			break
		}
		if right {
			_, size := utf8.DecodeRuneInString(s[i:])
			parts, s = append(parts, s[i+size:]), s[:i]
			continue
		}
		parts, s = append(parts, s[:i]), s[i:]
	}
	if right {
		slices.Reverse(parts)
	}
	return parts
}

func splitLines(m *machine, of any, a arguments) any {
	keep := truth(or(a.take("splitlines", "keepends")[0], false))
	m.grown(len(of.(string)))
	return m.strings(lines(of.(string), keep))
}

// lines is Python's splitlines.
func lines(s string, keepEnds bool) (out []string) {
	for s != "" {
		i := strings.IndexFunc(s, func(r rune) bool { return strings.ContainsRune("\n\r\v\f\x1c\x1d\x1e\u0085\u2028\u2029", r) })
		if i < 0 {
			return append(out, s)
		}
		_, size := utf8.DecodeRuneInString(s[i:])
		if strings.HasPrefix(s[i:], "\r\n") {
			size = 2
		}
		end := i
		if keepEnds {
			end += size
		}
		out, s = append(out, s[:end]), s[i+size:]
	}
	return out
}

// replaced counts what a replacement makes before it is made.
func (m *machine) replaced(s, old, new string, most int64) string {
	m.spend(len(s) / bytesPerStep)
	n := int64(strings.Count(s, old))
	if most >= 0 {
		n = min(n, most)
	}
	grow := int64(len(new)-len(old)) * n
	if grow > int64(m.limits.Output) {
		m.bound(m.limits.Output + 1)
	}
	m.grown(len(s) + int(grow))
	return strings.Replace(s, old, new, int(most))
}

func (m *machine) joined(parts []string, sep string) string {
	size := max(len(parts)-1, 0) * len(sep)
	for _, p := range parts {
		size += len(p)
	}
	m.spend(len(parts))
	m.grown(size)
	return strings.Join(parts, sep)
}

func upper(s string) string { return strings.ReplaceAll(strings.ToUpper(s), "ß", "SS") }

func capitalize(s string) string {
	_, n := utf8.DecodeRuneInString(s)
	return upper(s[:n]) + strings.ToLower(s[n:])
}

// titleWords is str.title: a letter is large where none comes before it.
func titleWords(s string) string {
	before := false
	return strings.Map(func(r rune) rune {
		cased := unicode.IsLetter(r)
		switch {
		case cased && before:
			r = unicode.ToLower(r)
		case cased:
			r = unicode.ToTitle(r)
		}
		before = cased
		return r
	}, s)
}

func swapCase(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsUpper(r) {
			return unicode.ToLower(r)
		}
		return unicode.ToUpper(r)
	}, s)
}

func all(is func(rune) bool) func(string) bool {
	return func(s string) bool { return s != "" && strings.IndexFunc(s, func(r rune) bool { return !is(r) }) < 0 }
}

func isUpper(s string) bool { return upper(s) == s && strings.ToLower(s) != s }
func isLower(s string) bool { return strings.ToLower(s) == s && upper(s) != s }
