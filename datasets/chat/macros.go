package chat

func (d *macroDefinition) run(m *machine, s *scope) signal {
	m.step(d.at)
	s.set(d.name, d.function(s))
	return goOn
}

func (c *callBlock) run(m *machine, s *scope) signal {
	of := c.call.of.eval(m, s)
	a := c.call.argumentList.eval(m, s)
	m.step(c.at)
	a.names = append(append([]string(nil), a.names...), "caller")
	a.named = append(a.named, c.macro.function(s))
	m.write(m.str(m.invoke(of, a)))
	return goOn
}

// function is a macro as a value: called, it gives the text that its body writes.
func (d *macroDefinition) function(s *scope) *function {
	return &function{d.name, func(m *machine, a arguments) any {
		in := d.bind(m, s, a)
		return m.capture(func() { m.block(d.body, in) })
	}}
}

// bind gives a macro's parameters their values.
func (d *macroDefinition) bind(m *machine, s *scope, a arguments) *scope {
	m.spend(len(d.params) * (2 + len(a.names)/namesPerStep))
	in := s.inner()
	given := make([]bool, len(d.params))
	for i, v := range a.positional[:min(len(a.positional), len(d.params))] {
		in.set(d.params[i], v)
		given[i] = true
	}
	rest := d.keywords(in, given, a)
	d.surplus(in, a, rest)
	for i, p := range d.params {
		if given[i] {
			continue
		}
		if k := i - (len(d.params) - len(d.defaults)); k >= 0 {
			in.set(p, d.defaults[k].eval(m, in))
		} else {
			in.set(p, missing{why: "parameter '" + p + "' was not provided"})
		}
	}
	return in
}

// keywords takes the named arguments that are parameters, and gives the others.
func (d *macroDefinition) keywords(in *scope, given []bool, a arguments) *Dict {
	rest := &Dict{}
next:
	for k, name := range a.names {
		for i, p := range d.params {
			if p != name {
				continue
			}
			if given[i] {
				fail(Type, "macro %s is given %s twice", d.name, p)
			}
			given[i] = true
			in.set(p, a.named[k])
			continue next
		}
		rest.set(name, a.named[k])
	}
	return rest
}

// surplus is what is given beyond the parameters: for varargs, kwargs and caller, where the body asks for them.
func (d *macroDefinition) surplus(in *scope, a arguments, rest *Dict) {
	if caller, ok := rest.get("caller"); ok && d.caller {
		in.set("caller", caller)
		rest = rest.without("caller")
	} else if d.caller {
		in.set("caller", missing{why: "no caller defined"})
	}
	if d.kwargs {
		in.set("kwargs", rest)
	} else if len(rest.keys) > 0 {
		fail(Type, "macro %s has no parameter %s", d.name, rest.keys[0])
	}
	extra := a.positional[min(len(a.positional), len(d.params)):]
	if d.varargs {
		in.set("varargs", tuple(extra))
	} else if len(extra) > 0 {
		fail(Type, "macro %s takes %d arguments at most, it is given %d", d.name, len(d.params), len(a.positional))
	}
}

// without is an object less one key.
func (d *Dict) without(key any) *Dict {
	out := &Dict{}
	for i, k := range d.keys {
		if k != key {
			out.set(k, d.values[i])
		}
	}
	return out
}
