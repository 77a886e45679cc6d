package chat

import (
	"strings"
	"unicode/utf8"
)

// step counts a node, and remembers its line for errors.
func (m *machine) step(line at) {
	m.line = int(line)
	m.spend(1)
}

func (c constant) eval(m *machine, _ *scope) any {
	m.spend(1) // a list may have thousands, in a loop
	return c.value
}

func (n *name) eval(m *machine, s *scope) any {
	m.step(n.at)
	v, around := s.get(n.text)
	m.spend(around / namesPerStep)
	return v
}

func (q *sequence) eval(m *machine, s *scope) any {
	m.step(q.at)
	items := m.all(q.items, s)
	if q.tuple {
		return tuple(items)
	}
	return list(items)
}

func (m *machine) all(of []expression, s *scope) []any {
	out := make([]any, len(of))
	for i, e := range of {
		out[i] = e.eval(m, s)
	}
	return out
}

func (d *dictionary) eval(m *machine, s *scope) any {
	m.step(d.at)
	out := &Dict{}
	for i, k := range d.keys {
		key := k.eval(m, s)
		out.set(key, d.values[i].eval(m, s))
	}
	return out
}

func (u *unary) eval(m *machine, s *scope) any {
	v := u.of.eval(m, s)
	m.step(u.at)
	if u.op == "not" {
		return !truth(v)
	}
	return negate(u.op, v)
}

func (b *binary) eval(m *machine, s *scope) any {
	x := b.a.eval(m, s)
	y := b.b.eval(m, s)
	m.step(b.at)
	return m.operate(b.op, x, y)
}

func (l *logical) eval(m *machine, s *scope) any {
	v := l.a.eval(m, s)
	m.step(l.at)
	if truth(v) == l.or {
		return v
	}
	return l.b.eval(m, s)
}

func (c *concat) eval(m *machine, s *scope) any {
	var b strings.Builder
	for _, p := range c.parts {
		text := m.str(p.eval(m, s))
		m.step(c.at)
		m.bound(b.Len() + len(text))
		m.grown(len(text))
		b.WriteString(text)
	}
	return b.String()
}

func (c *comparison) eval(m *machine, s *scope) any {
	left := c.first.eval(m, s)
	for i, op := range c.ops {
		right := c.rest[i].eval(m, s)
		m.step(c.at)
		if !m.compare(op, left, right) {
			return false
		}
		left = right
	}
	return true
}

func (c *conditional) eval(m *machine, s *scope) any {
	if truth(c.test.eval(m, s)) {
		return c.then.eval(m, s)
	}
	if c.otherwise == nil {
		return missing{why: "the inline if has no else, and its condition is false"}
	}
	return c.otherwise.eval(m, s)
}

func (a *attribute) eval(m *machine, s *scope) any {
	of := a.of.eval(m, s)
	m.step(a.at)
	return m.attribute(of, a.name)
}

func (x *subscript) eval(m *machine, s *scope) any {
	of := x.of.eval(m, s)
	key := x.key.eval(m, s)
	m.step(x.at)
	return m.item(of, key)
}

func (l *slice) eval(m *machine, s *scope) any {
	of := l.of.eval(m, s)
	bounds := [3]any{}
	for i, e := range []expression{l.start, l.stop, l.step} {
		if e != nil {
			bounds[i] = e.eval(m, s)
		}
	}
	m.line = int(l.at)
	m.spend(1)
	switch of := of.(type) {
	case list:
		return list(cut(m, of, bounds))
	case tuple:
		return tuple(cut(m, of, bounds))
	case string:
		m.grown(len(of))
		var b strings.Builder
		for _, r := range cut(m, []rune(of), bounds) {
			b.WriteRune(r)
		}
		return b.String()
	case missing:
		of.use()
	}
	fail(Type, "%s cannot be sliced", kindOf(of))
	return nil
}

// cut is Python's slice of start, stop and step.
func cut[T any](m *machine, of []T, bounds [3]any) []T {
	n := int64(len(of))
	step := index(bounds[2], 1)
	if step == 0 {
		fail(Type, "the step of a slice is 0")
	}
	low, high := int64(0), n
	if step < 0 {
		low, high = -1, n-1
	}
	place := func(v any, otherwise int64) int64 {
		i := index(v, otherwise)
		if v != nil && i < 0 {
			i += n
		}
		return min(max(i, low), high)
	}
	start, stop := place(bounds[0], low), place(bounds[1], high)
	if step < 0 {
		start, stop = place(bounds[0], high), place(bounds[1], low)
	}
	var out []T
	for i := start; step > 0 && i < stop || step < 0 && i > stop; {
		m.spend(1)
		out = append(out, of[i])
		if step > n || step < -n {
			break
		}
		i += step
	}
	return out
}

func index(v any, otherwise int64) int64 {
	if v == nil {
		return otherwise
	}
	i, _, whole, ok := number(v)
	if !ok || !whole {
		if u, ok := v.(missing); ok {
			u.use()
		}
		fail(Type, "a whole number is needed, not %s", kindOf(v))
	}
	return i
}

// item is of[key]: an entry, or else an attribute.
func (m *machine) item(of, key any) any {
	switch of := of.(type) {
	case *Dict:
		if !canBeKey(key) {
			return missing{why: kindOf(key) + " cannot be a key"}
		}
		if v, ok := of.get(key); ok {
			return v
		}
	case list:
		if v, ok := nth(of, key); ok {
			return v
		}
	case tuple:
		if v, ok := nth(of, key); ok {
			return v
		}
	case string:
		m.spend(len(of) / bytesPerStep)
		if v, ok := character(of, key); ok {
			return v
		}
	case missing:
		of.use()
	}
	if name, ok := key.(string); ok {
		if v, ok := m.method(of, name); ok {
			return v
		}
		return missing{why: "'" + kindOf(of) + " object' has no attribute '" + name + "'"}
	}
	return missing{why: kindOf(of) + " has no element " + m.str(key)}
}

func nth(of []any, key any) (any, bool) {
	i, _, whole, ok := number(key)
	if i < 0 {
		i += int64(len(of))
	}
	if !ok || !whole || i < 0 || i >= int64(len(of)) {
		return nil, false
	}
	return of[i], true
}

func character(of string, key any) (any, bool) {
	i, _, whole, ok := number(key)
	if !ok || !whole {
		return nil, false
	}
	if i < 0 {
		i += int64(utf8.RuneCountInString(of))
	}
	for _, r := range of {
		if i == 0 {
			return string(r), true
		}
		i--
	}
	return nil, false
}

// attribute is of.name: a method, or else an entry.
func (m *machine) attribute(of any, name string) any {
	if u, ok := of.(missing); ok {
		u.use()
	}
	if v, ok := m.method(of, name); ok {
		return v
	}
	if d, ok := of.(*Dict); ok {
		if v, ok := d.get(name); ok {
			return v
		}
	}
	return missing{why: "'" + kindOf(of) + " object' has no attribute '" + name + "'"}
}

// arguments are what a function is called with.
type arguments struct {
	positional []any
	names      []string
	named      []any
}

func (l *argumentList) eval(m *machine, s *scope) (a arguments) {
	a.positional = m.all(l.positional, s)
	a.names, a.named = l.names, m.all(l.named, s)
	if l.star != nil {
		a.positional = append(a.positional, m.elements(l.star.eval(m, s))...)
	}
	if l.starStar != nil {
		d, ok := l.starStar.eval(m, s).(*Dict)
		if !ok {
			fail(Type, "what follows ** is to be an object")
		}
		m.spend(2 * len(d.keys)) // beside what every argument costs below
		a.names = append([]string(nil), a.names...)
		for i, k := range d.keys {
			a.names, a.named = append(a.names, m.str(k)), append(a.named, d.values[i])
		}
	}
	m.spend(len(a.positional) + len(a.named))
	return a
}

// absent stands for an argument that was not given.
type absent struct{}

// take puts arguments in the order of parameters; those that are not given are absent.
func (a arguments) take(of string, params ...string) []any {
	if len(a.positional) > len(params) {
		fail(Type, "%s takes %d arguments at most, it is given %d", of, len(params), len(a.positional))
	}
	out := make([]any, len(params))
	for i := range out {
		if out[i] = (absent{}); i < len(a.positional) {
			out[i] = a.positional[i]
		}
	}
next:
	for k, given := range a.names {
		for i, p := range params {
			if p == given {
				if out[i] != (absent{}) {
					fail(Type, "%s is given %s twice", of, p)
				}
				out[i] = a.named[k]
				continue next
			}
		}
		fail(Type, "%s has no parameter %s", of, given)
	}
	return out
}

func isAbsent(v any) bool {
	_, ok := v.(absent)
	return ok
}

func (c *call) eval(m *machine, s *scope) any {
	of := c.of.eval(m, s)
	a := c.argumentList.eval(m, s)
	m.step(c.at)
	return m.invoke(of, a)
}

func (m *machine) invoke(of any, a arguments) any {
	switch of := of.(type) {
	case *function:
		defer m.deeper()()
		return of.call(m, a)
	case *loopState:
		return of.again(m, a)
	case missing:
		of.use()
	}
	fail(Type, "%s is no function: it cannot be called", kindOf(of))
	return nil
}

func (f *filtered) eval(m *machine, s *scope) any { return f.apply(m, s, f.of.eval(m, s)) }

// apply filters a value. A block's filter has none in the chain: it is given.
func (f *filtered) apply(m *machine, s *scope, v any) any {
	a := f.argumentList.eval(m, s)
	m.step(f.at)
	return m.filter(f.name, v, a)
}

func (m *machine) filter(name string, v any, a arguments) any {
	run, ok := filters[name]
	if !ok {
		fail(Unsupported, "the filter %s is not known", name)
	}
	m.read(v)
	return run(m, v, a)
}

func (t *tested) eval(m *machine, s *scope) any {
	v := t.of.eval(m, s)
	a := t.argumentList.eval(m, s)
	m.step(t.at)
	return m.test(t.name, v, a) != t.not
}

func (m *machine) test(name string, v any, a arguments) bool {
	run, ok := tests[name]
	if !ok {
		fail(Unsupported, "the test %s is not known", name)
	}
	m.read(v)
	return run(m, v, a)
}
