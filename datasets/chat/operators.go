package chat

import (
	"math"
	"math/bits"
	"slices"
	"strings"
)

func negate(op string, v any) any {
	i, f, whole, ok := number(v)
	if u, un := v.(missing); un {
		u.use()
	}
	switch {
	case !ok:
		fail(Type, "%s is no number", kindOf(v))
	case op == "+" && whole:
		return i
	case op == "+":
		return f
	case whole && i == math.MinInt64:
		overflow()
	case whole:
		return -i
	}
	return -f
}

func overflow() { fail(Limit, "a whole number is beyond 64 bits") }

// operate is Python's arithmetic.
func (m *machine) operate(op string, a, b any) any {
	for _, v := range []any{a, b} {
		if u, ok := v.(missing); ok && (op != "%" || kindOf(a) != "str") {
			u.use()
		}
	}
	if s, ok := a.(string); ok && op == "%" {
		return m.percent(s, b)
	}
	i, f, whole, ok := number(a)
	j, g, whole2, ok2 := number(b)
	switch {
	case ok && ok2 && whole && whole2 && op != "/":
		return integers64(op, i, j)
	case ok && ok2:
		return floats64(op, f, g)
	case op == "*" && ok2 && whole2:
		return m.repeat(a, j)
	case op == "*" && ok && whole:
		return m.repeat(b, i)
	case op == "+":
		if v, ok := m.join(a, b); ok {
			return v
		}
	}
	fail(Type, "%s is not known of %s and %s", op, kindOf(a), kindOf(b))
	return nil
}

// join is + of two strings or lists.
func (m *machine) join(a, b any) (any, bool) {
	switch a := a.(type) {
	case string:
		if b, ok := b.(string); ok {
			m.grown(len(a) + len(b))
			return a + b, true
		}
	case list:
		if b, ok := b.(list); ok {
			m.spend(len(a) + len(b))
			return slices.Concat(a, b), true
		}
	case tuple:
		if b, ok := b.(tuple); ok {
			m.spend(len(a) + len(b))
			return slices.Concat(a, b), true
		}
	}
	return nil, false
}

// repeat is * of a string or list with a whole number.
func (m *machine) repeat(of any, n int64) any {
	n = max(n, 0)
	size, _ := length(of)
	if s, ok := of.(string); ok {
		size = len(s)
	}
	if high, low := bits.Mul64(uint64(size), uint64(n)); high > 0 || low > uint64(m.limits.Output) {
		fail(Limit, "a value is repeated %d times: it grows beyond %d bytes", n, m.limits.Output)
	}
	switch of := of.(type) {
	case string:
		m.grown(size * int(n))
		return strings.Repeat(of, int(n))
	case list:
		m.spend(size * int(n))
		return slices.Repeat(of, int(n))
	case tuple:
		m.spend(size * int(n))
		return slices.Repeat(of, int(n))
	}
	fail(Type, "* is not known of %s and a number", kindOf(of))
	return nil
}

func integers64(op string, i, j int64) any {
	switch op {
	case "+":
		if s := i + j; (s > i) == (j > 0) {
			return s
		}
	case "-":
		if d := i - j; (d < i) == (j > 0) {
			return d
		}
	case "*":
		if i == 0 || j == 0 {
			return int64(0)
		}
		if p := i * j; p/j == i && (i != -1 || j != math.MinInt64) && (j != -1 || i != math.MinInt64) {
			return p
		}
	case "**":
		return power(i, j)
	default:
		return floorDivide(op, i, j)
	}
	overflow()
	return nil
}

// floorDivide rounds towards minus infinity, as Python does.
func floorDivide(op string, i, j int64) any {
	if j == 0 {
		fail(Type, "a division by zero")
	}
	if i == math.MinInt64 && j == -1 {
		overflow()
	}
	q, r := i/j, i%j
	if r != 0 && (r < 0) != (j < 0) {
		q, r = q-1, r+j
	}
	if op == "//" {
		return q
	}
	return r
}

func power(i, j int64) any {
	if j < 0 {
		return floats64("**", float64(i), float64(j))
	}
	out := int64(1)
	for range min(j, 64) {
		out = integers64("*", out, i).(int64)
	}
	switch {
	case j > 64 && (i > 1 || i < -1):
		overflow()
	case j > 64 && i == -1 && j%2 != 0:
		return int64(-1)
	}
	return out
}

func floats64(op string, f, g float64) any {
	if g == 0 && (op == "/" || op == "//" || op == "%") || op == "**" && f == 0 && g < 0 {
		fail(Type, "a division by zero")
	}
	switch op {
	case "+":
		return f + g
	case "-":
		return f - g
	case "*":
		return f * g
	case "/":
		return f / g
	case "//":
		return math.Floor(f / g)
	case "%":
		r := math.Mod(f, g)
		if r != 0 && (r < 0) != (g < 0) {
			r += g
		}
		return r
	}
	p := math.Pow(f, g)
	if math.IsNaN(p) || math.IsInf(p, 0) && !math.IsInf(f, 0) && !math.IsInf(g, 0) {
		fail(Type, "a power is no finite number")
	}
	return p
}

// compare is one of Python's comparisons.
func (m *machine) compare(op string, a, b any) bool {
	switch op {
	case "==":
		return m.equal(a, b)
	case "!=":
		return !m.equal(a, b)
	case "<":
		return m.less(a, b)
	case ">":
		return m.less(b, a)
	case "<=":
		return m.less(a, b) || m.equal(a, b)
	case ">=":
		return m.less(b, a) || m.equal(a, b)
	case "in":
		return m.contains(b, a)
	}
	return !m.contains(b, a)
}

// contains is Python's in: a part of a string, a key of an object, an element of a list.
func (m *machine) contains(in, v any) bool {
	switch in := in.(type) {
	case string:
		part, ok := v.(string)
		if !ok {
			if u, ok := v.(missing); ok {
				u.use()
			}
			fail(Type, "only a string can be in a string, not %s", kindOf(v))
		}
		m.spend(len(in) / bytesPerStep)
		return strings.Contains(in, part)
	case *Dict:
		_, ok := in.get(v)
		return ok
	}
	items, ok := m.iterate(in)
	if !ok {
		fail(Type, "in needs a string, a list or an object, not %s", kindOf(in))
	}
	return slices.ContainsFunc(items, func(item any) bool { return m.equal(item, v) })
}
