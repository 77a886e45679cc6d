package chat

import "slices"

// statements reads up to a block whose name is one of ends, which it takes; "" is the end of the template.
func (p *parser) statements(ends ...string) (body []statement, end string) {
	defer p.deeper()()
	for {
		switch t := p.next(); t.kind {
		case tokenData:
			body = append(body, text(t.text))
		case tokenVariable:
			body = append(body, &output{at(t.line), p.tuple(false, true, nil)})
			p.endTag(tokenVariableEnd)
		case tokenBlock:
			if p.isName(ends...) {
				return body, p.next().text
			}
			body = append(body, p.statement())
		case tokenEOF:
			if !slices.Contains(ends, "") {
				fail(Syntax, "the template ends where %s is needed", ends[len(ends)-1])
			}
			return body, ""
		}
	}
}

func (p *parser) endTag(kind tokenKind) {
	if t := p.peek(); t.kind != kind {
		p.fail("expected %s, found %s", token{kind: kind}, t)
	}
	p.next()
}

// block reads a body up to its end, and that.
func (p *parser) block(ends ...string) (body []statement, end string) {
	p.endTag(tokenBlockEnd)
	return p.statements(ends...)
}

// whole reads a body that has one end.
func (p *parser) whole(end string) []statement {
	body, _ := p.block(end)
	p.endTag(tokenBlockEnd)
	return body
}

// foreign are statements of Jinja that reach other templates, or have no meaning in one of a chat.
var foreign = []string{"include", "import", "from", "extends", "block", "autoescape", "do", "trans", "debug"}

func (p *parser) statement() statement {
	line := p.here()
	if p.peek().kind != tokenName {
		p.fail("expected the name of a statement, found %s", p.peek())
	}
	switch t := p.next(); t.text {
	case "if":
		return p.branch(line)
	case "for":
		return p.loop(line)
	case "set":
		return p.set(line)
	case "macro":
		m := p.signature(&macroDefinition{at: line, name: p.expectName()})
		p.body(m, "endmacro")
		return m
	case "call":
		return p.callBlock(line)
	case "filter":
		p.pos-- // the filter is read as if a | stood before it
		p.tokens[p.pos] = token{kind: tokenOperator, text: "|", line: int(line)}
		f := p.filters(p.filter(nil))
		return &filterBlock{line, f, p.whole("endfilter")}
	case "with":
		return p.with(line)
	case "generation":
		loops := p.loops
		p.loops = 0
		defer func() { p.loops = loops }()
		return &generation{line, p.whole("endgeneration")}
	case "break", "continue":
		if p.loops == 0 {
			fail(Syntax, "%s stands outside of a loop", t.text)
		}
		p.endTag(tokenBlockEnd)
		return &jump{line, map[string]signal{"break": leave, "continue": repeat}[t.text]}
	default:
		if slices.Contains(foreign, t.text) {
			fail(Unsupported, "the statement %s is not allowed in a chat template", t.text)
		}
		fail(Syntax, "unknown statement %s", t.text)
		return nil
	}
}

func (p *parser) branch(line at) statement {
	b := &branch{at: line}
	for end := "elif"; ; {
		if end == "elif" {
			b.tests = append(b.tests, p.tuple(false, false, nil))
		}
		var body []statement
		if end == "else" {
			body, end = p.block("endif")
		} else {
			body, end = p.block("elif", "else", "endif")
		}
		b.bodies = append(b.bodies, body)
		if end == "endif" {
			p.endTag(tokenBlockEnd)
			return b
		}
	}
}

func (p *parser) loop(line at) statement {
	l := &loop{at: line, target: p.target(false)}
	if assigns(l.target, "loop") {
		fail(Syntax, "loop is the loop's own: it cannot be assigned to")
	}
	if !p.skipName("in") {
		p.fail("expected in, found %s", p.peek())
	}
	l.over = p.tuple(false, false, []string{"recursive"})
	if p.skipName("if") {
		l.filter = p.expression()
	}
	l.recursive = p.skipName("recursive")
	p.loops++
	body, end := p.block("else", "endfor")
	p.loops--
	if l.body = body; end == "else" {
		l.otherwise, _ = p.block("endfor")
	}
	p.endTag(tokenBlockEnd)
	return l
}

// target reads what is assigned to: a name, names in a tuple, or an attribute of a namespace.
func (p *parser) target(namespaces bool) expression {
	item := func() expression {
		line := p.here()
		if p.skipOp("(") {
			e := p.tupleOf(func() expression { return p.assignable(p.here()) }, true, nil)
			p.expectOp(")")
			return e
		}
		return p.assignable(line)
	}
	if namespaces && p.tokens[p.pos+1].kind == tokenOperator && p.tokens[p.pos+1].text == "." {
		line, of := p.here(), p.expectName()
		p.next()
		return &attribute{line, &name{line, of}, p.expectName()}
	}
	return p.tupleOf(item, false, nil)
}

func assigns(target expression, to string) bool {
	switch t := target.(type) {
	case *name:
		return t.text == to
	case *sequence:
		return slices.ContainsFunc(t.items, func(e expression) bool { return assigns(e, to) })
	}
	return false
}

func (p *parser) assignable(line at) expression {
	text := p.expectName()
	if slices.Contains([]string{"true", "True", "false", "False", "none", "None"}, text) {
		fail(Syntax, "%s cannot be assigned to", text)
	}
	return &name{line, text}
}

func (p *parser) set(line at) statement {
	target := p.target(true)
	if p.skipOp("=") {
		s := &assignment{line, target, p.tuple(false, true, nil)}
		p.endTag(tokenBlockEnd)
		return s
	}
	c := &captured{at: line, target: target}
	if p.isOp("|") {
		c.filter = p.filters(p.filter(nil))
	}
	c.body = p.whole("endset")
	return c
}

func (p *parser) with(line at) statement {
	w := &withBlock{at: line}
	for p.peek().kind != tokenBlockEnd {
		if len(w.targets) > 0 {
			p.expectOp(",")
		}
		w.targets = append(w.targets, p.assignable(p.here()))
		p.expectOp("=")
		w.values = append(w.values, p.expression())
	}
	w.body = p.whole("endwith")
	return w
}

// signature reads the parameters of a macro.
func (p *parser) signature(m *macroDefinition) *macroDefinition {
	p.expectOp("(")
	for !p.isOp(")") {
		if len(m.params) > 0 {
			p.expectOp(",")
		}
		m.params = append(m.params, p.assignable(p.here()).(*name).text)
		if p.skipOp("=") {
			m.defaults = append(m.defaults, p.expression())
		} else if len(m.defaults) > 0 {
			p.fail("a parameter without default follows one with a default")
		}
	}
	p.next()
	return m
}

// body reads what a macro holds.
func (p *parser) body(m *macroDefinition, end string) {
	loops, first := p.loops, p.pos
	p.loops = 0
	m.body = p.whole(end)
	p.loops = loops
	for _, t := range p.tokens[first:p.pos] {
		if t.kind == tokenName {
			m.varargs = m.varargs || t.text == "varargs"
			m.kwargs = m.kwargs || t.text == "kwargs"
			m.caller = m.caller || t.text == "caller"
		}
	}
}

func (p *parser) callBlock(line at) statement {
	m := &macroDefinition{at: line, name: "caller"}
	if p.isOp("(") {
		p.signature(m)
	}
	c, ok := p.expression().(*call)
	if !ok {
		fail(Syntax, "a call block is to call a macro")
	}
	p.body(m, "endcall")
	return &callBlock{line, c, m}
}
