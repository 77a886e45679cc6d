package chat

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

// padded brings a string to a width in characters: to the left (<), the right (>), the middle (^), or behind its sign (=).
func (m *machine) padded(s string, width int64, align, fill rune) string {
	n := width - int64(utf8.RuneCountInString(s))
	if n <= 0 {
		return s
	}
	if n > int64(m.limits.Output) {
		m.bound(m.limits.Output + 1)
	}
	m.grown(len(s) + int(n)*utf8.RuneLen(fill))
	pad := func(n int64) string { return strings.Repeat(string(fill), int(n)) }
	switch align {
	case '<':
		return s + pad(n)
	case '^':
		// Python's str.center puts the odd one to the left where the width is odd.
		left := n/2 + n&width&1
		return pad(left) + s + pad(n-left)
	case '=':
		if s != "" && (s[0] == '-' || s[0] == '+') {
			return s[:1] + pad(n) + s[1:]
		}
	}
	return pad(n) + s
}

// percent is a string % values, of the conversions s, r, d, i, f and x.
func (m *machine) percent(s string, v any) string {
	values, ok := v.(tuple)
	if !ok {
		values = tuple{v}
	}
	m.read(s)
	var b strings.Builder
	used := 0
	for {
		before, after, found := strings.Cut(s, "%")
		b.WriteString(before)
		if !found {
			break
		}
		end := strings.IndexFunc(after, func(r rune) bool { return !strings.ContainsRune("-+ 0123456789.", r) })
		if end < 0 {
			fail(Type, "a conversion behind %% is not ended")
		}
		spec, kind := after[:end], after[end]
		s = after[end+1:]
		if kind == '%' {
			b.WriteByte('%')
			continue
		}
		if used == len(values) {
			fail(Type, "there are fewer values than conversions behind %%")
		}
		text := m.converted(spec, kind, values[used])
		m.grown(len(text))
		m.bound(b.Len() + len(text))
		b.WriteString(text)
		used++
	}
	if _, isDict := v.(*Dict); used < len(values) && !isDict {
		fail(Type, "there are more values than conversions behind %%")
	}
	return b.String()
}

// converted writes one value of a conversion: flags, width and precision, and its letter.
func (m *machine) converted(spec string, kind byte, v any) string {
	flags := spec[:len(spec)-len(strings.TrimLeft(spec, "-+ 0"))]
	width, precision, hasPrecision := strings.Cut(spec[len(flags):], ".")
	digits := sized(precision)
	var text string
	switch kind {
	case 's', 'r':
		if text = m.str(v); kind == 'r' {
			var b strings.Builder
			m.repr(&b, v)
			text = b.String()
		}
		if hasPrecision {
			text = string(cut(m, []rune(text), [3]any{nil, digits, nil}))
		}
	case 'd', 'i', 'x', 'f':
		if !hasPrecision {
			digits = 6
		}
		text = plainNumber(v, kind, digits)
		if strings.Contains(flags, "+") && text[0] != '-' {
			text = "+" + text
		}
	default:
		fail(Unsupported, "the conversion %%%c is not known", kind)
	}
	switch {
	case strings.Contains(flags, "-"):
		return m.padded(text, sized(width), '<', ' ')
	case strings.Contains(flags, "0") && kind != 's' && kind != 'r':
		return m.padded(text, sized(width), '=', '0')
	}
	return m.padded(text, sized(width), '>', ' ')
}

func sized(digits string) int64 {
	if digits == "" {
		return 0
	}
	n, err := strconv.ParseInt(digits, 10, 32)
	if err != nil {
		fail(Limit, "a width of %s is too large", digits)
	}
	return n
}

func plainNumber(v any, kind byte, digits int64) string {
	i, f, whole, ok := number(v)
	switch {
	case !ok:
		if u, ok := v.(missing); ok {
			u.use()
		}
		fail(Type, "%%%c needs a number, not %s", kind, kindOf(v))
	case kind == 'f':
		if digits > 100 {
			fail(Limit, "%d digits behind the point are too many", digits)
		}
		return strconv.FormatFloat(f, 'f', int(digits), 64)
	case kind == 'x' && !whole:
		fail(Type, "%%x needs a whole number")
	case kind == 'x':
		return strconv.FormatInt(i, 16)
	case !whole:
		i = truncated(f)
	}
	return strconv.FormatInt(i, 10)
}

func truncated(f float64) int64 {
	if f != f || f >= 1<<63 || f < -1<<63 {
		overflow()
	}
	return int64(f)
}

// format is str.format with fields by place and name; none may reach into its value.
func (m *machine) format(s string, a arguments) string {
	var b strings.Builder
	auto := 0
	for s != "" {
		i := strings.IndexAny(s, "{}")
		if i < 0 {
			b.WriteString(s)
			break
		}
		b.WriteString(s[:i])
		if strings.HasPrefix(s[i+1:], s[i:i+1]) {
			b.WriteByte(s[i])
			s = s[i+2:]
			continue
		}
		end := strings.IndexByte(s[i:], '}')
		if s[i] == '}' || end < 0 {
			fail(Type, "format: a brace stands alone")
		}
		name, spec, _ := strings.Cut(s[i+1:i+end], ":")
		b.WriteString(m.spelled(m.field(name, a, &auto), spec))
		m.grown(b.Len())
		s = s[i+end+1:]
	}
	return b.String()
}

func (m *machine) field(name string, a arguments, auto *int) any {
	place := *auto
	if name == "" {
		*auto++
	} else if n, err := strconv.Atoi(name); err == nil {
		place = n
	} else {
		if strings.ContainsAny(name, ".[!") {
			fail(Security, "format: the field %s reaches into its value", name)
		}
		for k, given := range a.names {
			if given == name {
				return a.named[k]
			}
		}
		fail(Type, "format: the field %s is not given", name)
	}
	if place < 0 || place >= len(a.positional) {
		fail(Type, "format: there are fewer values than fields")
	}
	return a.positional[place]
}

// spelled writes a value by a specification: [[fill]align][0][width][.precision][s|d|f|x].
func (m *machine) spelled(v any, spec string) string {
	fill, align := ' ', rune(0)
	first, size := utf8.DecodeRuneInString(spec)
	if second, n := utf8.DecodeRuneInString(spec[size:]); n > 0 && strings.ContainsRune("<>^=", second) {
		fill, align, spec = first, second, spec[size+n:]
	} else if spec != "" && strings.ContainsRune("<>^=", first) {
		align, spec = first, spec[size:]
	}
	kind := byte('s')
	if n := len(spec); n > 0 && strings.IndexByte("sdfx", spec[n-1]) >= 0 {
		kind, spec = spec[n-1], spec[:n-1]
	}
	if strings.Trim(spec, "0123456789.") != "" {
		fail(Unsupported, "format: the specification %q is not known", spec)
	}
	width, precision, has := strings.Cut(spec, ".")
	_, _, _, isNumber := number(v)
	if strings.HasPrefix(width, "0") && align == 0 {
		fill, align = '0', '='
	}
	if align == 0 {
		align = '<'
		if isNumber {
			align = '>'
		}
	}
	plain := ""
	if has {
		plain = "." + precision
	}
	return m.padded(m.converted(plain, kind, v), sized(width), align, fill)
}
