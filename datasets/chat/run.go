package chat

import "strings"

// block runs statements until one leaves the loop around them.
func (m *machine) block(body []statement, s *scope) signal {
	for _, st := range body {
		m.spend(1)
		if sig := st.run(m, s); sig != goOn {
			return sig
		}
	}
	return goOn
}

func (t text) run(m *machine, _ *scope) signal {
	m.write(string(t))
	return goOn
}

func (o *output) run(m *machine, s *scope) signal {
	v := o.of.eval(m, s)
	m.step(o.at)
	m.write(m.str(v))
	return goOn
}

func (b *branch) run(m *machine, s *scope) signal {
	for i, test := range b.tests {
		if truth(test.eval(m, s)) {
			return m.block(b.bodies[i], s)
		}
	}
	if len(b.bodies) > len(b.tests) {
		return m.block(b.bodies[len(b.tests)], s)
	}
	return goOn
}

// assign gives names their values.
func (m *machine) assign(target expression, v any, s *scope) {
	switch t := target.(type) {
	case *name:
		s.set(t.text, v)
	case *attribute:
		m.line = int(t.at)
		ns, ok := t.of.eval(m, s).(*namespace)
		if !ok {
			fail(Type, "%s is no namespace: only a namespace's attributes can be set", t.of.(*name).text)
		}
		ns.set(t.name, v)
	case *sequence:
		m.line = int(t.at)
		items := m.elements(v)
		if len(items) != len(t.items) {
			fail(Type, "%d values for %d names", len(items), len(t.items))
		}
		for i, item := range t.items {
			m.assign(item, items[i], s)
		}
	}
}

func (n *namespace) set(name string, v any) {
	if strings.HasPrefix(name, "_") {
		fail(Security, "a namespace cannot have the attribute %s, which begins with an underscore", name)
	}
	n.vars[name] = v
}

func (a *assignment) run(m *machine, s *scope) signal {
	v := a.value.eval(m, s)
	m.step(a.at)
	m.assign(a.target, v, s)
	return goOn
}

func (c *captured) run(m *machine, s *scope) signal {
	m.step(c.at)
	var v any = m.capture(func() { m.block(c.body, s.inner()) })
	if c.filter != nil {
		v = m.chain(c.filter, v, s)
	}
	m.assign(c.target, v, s)
	return goOn
}

// chain applies the filters of a block, of which the innermost has nothing before it.
func (m *machine) chain(filter expression, v any, s *scope) any {
	f := filter.(*filtered)
	if f.of != nil {
		v = m.chain(f.of, v, s)
	}
	return f.apply(m, s, v)
}

func (f *filterBlock) run(m *machine, s *scope) signal {
	m.step(f.at)
	held := m.capture(func() { m.block(f.body, s.inner()) })
	m.write(m.str(m.chain(f.filter, held, s)))
	return goOn
}

func (w *withBlock) run(m *machine, s *scope) signal {
	m.step(w.at)
	in := s.inner()
	for i, target := range w.targets {
		m.assign(target, w.values[i].eval(m, s), in)
	}
	return m.block(w.body, in)
}

func (g *generation) run(m *machine, s *scope) signal {
	m.step(g.at)
	if m.captures > 0 {
		fail(Unsupported, "a generation block within a macro, or a set block, cannot be found in the text")
	}
	start := m.out.Len()
	m.block(g.body, s.inner())
	m.generated = append(m.generated, [2]int{start, m.out.Len()})
	return goOn
}

func (j *jump) run(*machine, *scope) signal { return j.to }

// loopState is the variable loop.
type loopState struct {
	of      *loop
	scope   *scope
	items   []any
	at      int
	depth   int
	changed []any
	seen    bool
}

func (l *loop) run(m *machine, s *scope) signal {
	over := l.over.eval(m, s)
	m.step(l.at)
	l.through(m, s, over, 0)
	return goOn
}

// through runs the loop's body over elements.
func (l *loop) through(m *machine, s *scope, over any, depth int) {
	defer m.deeper()()
	items := m.elements(over)
	if l.filter != nil {
		items = l.kept(m, s, items)
	}
	state := &loopState{of: l, scope: s, items: items, depth: depth}
	for i, item := range items {
		state.at = i
		in := s.inner()
		in.set("loop", state)
		m.step(l.at)
		m.assign(l.target, item, in)
		if m.block(l.body, in) == leave {
			return
		}
	}
	if len(items) == 0 {
		m.block(l.otherwise, s.inner())
	}
}

func (l *loop) kept(m *machine, s *scope, items []any) (kept []any) {
	for _, item := range items {
		in := s.inner()
		m.step(l.at)
		m.assign(l.target, item, in)
		if truth(l.filter.eval(m, in)) {
			kept = append(kept, item)
		}
	}
	return kept
}

// again is loop(...): the same loop over other elements, one level deeper.
func (l *loopState) again(m *machine, a arguments) any {
	if !l.of.recursive {
		fail(Type, "loop is called in a loop that is not recursive")
	}
	over := a.take("loop", "iterable")[0]
	if isAbsent(over) {
		fail(Type, "loop takes the elements to go through")
	}
	return m.capture(func() { l.of.through(m, l.scope, over, l.depth+1) })
}

// attribute gives what a template knows of its loop.
func (l *loopState) attribute(name string) (any, bool) {
	n, i := len(l.items), l.at
	switch name {
	case "index":
		return int64(i + 1), true
	case "index0":
		return int64(i), true
	case "revindex":
		return int64(n - i), true
	case "revindex0":
		return int64(n - i - 1), true
	case "first":
		return i == 0, true
	case "last":
		return i == n-1, true
	case "length":
		return int64(n), true
	case "depth":
		return int64(l.depth + 1), true
	case "depth0":
		return int64(l.depth), true
	case "previtem":
		if i > 0 {
			return l.items[i-1], true
		}
		return missing{why: "there is no previous item"}, true
	case "nextitem":
		if i+1 < n {
			return l.items[i+1], true
		}
		return missing{why: "there is no next item"}, true
	case "cycle":
		return &function{"cycle", func(_ *machine, a arguments) any {
			if len(a.positional) == 0 {
				fail(Type, "cycle needs values to go through")
			}
			return a.positional[i%len(a.positional)]
		}}, true
	case "changed":
		return &function{"changed", func(m *machine, a arguments) any {
			differs := !l.seen || !m.equal(list(l.changed), list(a.positional))
			l.changed, l.seen = a.positional, true
			return differs
		}}, true
	}
	return nil, false
}
