package chat

import (
	"slices"
	"strings"
)

// A parser reads tokens; each of its methods follows a rule of Jinja's grammar, in its order of precedence.
type parser struct {
	tokens []token
	pos    int
	depth  int // of what is being read within each other
	loops  int // around the statement, within one macro
	line   int
}

const (
	maxNesting = 100  // how deep expressions and statements nest
	maxChain   = 1000 // links of one chain: a + b + c, a.b.c, a|b|c
)

func (p *parser) fail(format string, args ...any) {
	p.line = p.peek().line
	fail(Syntax, format, args...)
}

func (p *parser) peek() token { return p.tokens[p.pos] }

func (p *parser) next() token {
	t := p.tokens[p.pos]
	p.line = t.line
	if t.kind != tokenEOF {
		p.pos++
	}
	return t
}

func (p *parser) here() at { return at(p.peek().line) }

func (p *parser) isOp(ops ...string) bool {
	t := p.peek()
	return t.kind == tokenOperator && slices.Contains(ops, t.text)
}

func (p *parser) isName(names ...string) bool {
	t := p.peek()
	return t.kind == tokenName && slices.Contains(names, t.text)
}

func (p *parser) skipOp(op string) bool {
	if p.isOp(op) {
		p.next()
		return true
	}
	return false
}

func (p *parser) skipName(name string) bool {
	if p.isName(name) {
		p.next()
		return true
	}
	return false
}

func (p *parser) expectOp(op string) {
	if !p.skipOp(op) {
		p.fail("expected %s, found %s", op, p.peek())
	}
}

func (p *parser) expectName() string {
	if p.peek().kind != tokenName {
		p.fail("expected a name, found %s", p.peek())
	}
	return p.next().text
}

func (p *parser) deeper() func() {
	if p.depth++; p.depth > maxNesting {
		p.line = p.peek().line
		fail(Limit, "what it holds nests more than %d deep", maxNesting)
	}
	return func() { p.depth-- }
}

// link counts the links of a chain.
func (p *parser) link(n *int) {
	if *n++; *n > maxChain {
		fail(Limit, "an expression chains more than %d operations", maxChain)
	}
}

func (p *parser) expression() expression { return p.conditional(true) }

func (p *parser) conditional(withIf bool) expression {
	defer p.deeper()()
	line, e := p.here(), p.or()
	for n := 0; withIf && p.isName("if"); p.link(&n) {
		p.next()
		c := &conditional{at: line, then: e, test: p.or()}
		if p.skipName("else") {
			c.otherwise = p.conditional(true)
		}
		e = c
	}
	return e
}

func (p *parser) or() expression {
	e := p.and()
	for n := 0; p.isName("or"); p.link(&n) {
		line := p.here()
		p.next()
		e = &logical{line, true, e, p.and()}
	}
	return e
}

func (p *parser) and() expression {
	e := p.not()
	for n := 0; p.isName("and"); p.link(&n) {
		line := p.here()
		p.next()
		e = &logical{line, false, e, p.not()}
	}
	return e
}

func (p *parser) not() expression {
	if line := p.here(); p.skipName("not") {
		defer p.deeper()()
		return &unary{line, "not", p.not()}
	}
	return p.compare()
}

func (p *parser) compare() expression {
	line := p.here()
	e := p.sum()
	c := &comparison{at: line, first: e}
	for n := 0; ; p.link(&n) {
		switch {
		case p.isOp("==", "!=", "<", "<=", ">", ">="):
			c.ops = append(c.ops, p.next().text)
		case p.skipName("in"):
			c.ops = append(c.ops, "in")
		case p.isName("not") && p.tokens[p.pos+1].kind == tokenName && p.tokens[p.pos+1].text == "in":
			p.pos += 2
			c.ops = append(c.ops, "not in")
		case c.ops == nil:
			return e
		default:
			return c
		}
		c.rest = append(c.rest, p.sum())
	}
}

// chain reads operands joined by operators of one precedence, from the left.
func (p *parser) chain(operand func() expression, ops ...string) expression {
	e := operand()
	for n := 0; p.isOp(ops...); p.link(&n) {
		line, op := p.here(), p.next().text
		e = &binary{line, op, e, operand()}
	}
	return e
}

func (p *parser) sum() expression { return p.chain(p.concat, "+", "-") }

func (p *parser) concat() expression {
	line, e := p.here(), p.product()
	if !p.isOp("~") {
		return e
	}
	c := &concat{line, []expression{e}}
	for p.skipOp("~") {
		c.parts = append(c.parts, p.product())
	}
	return c
}

func (p *parser) product() expression { return p.chain(p.power, "*", "/", "//", "%") }
func (p *parser) power() expression {
	return p.chain(func() expression { return p.unary(true) }, "**")
}

func (p *parser) unary(withFilters bool) expression {
	defer p.deeper()()
	line := p.here()
	var e expression
	if p.isOp("-", "+") {
		op := p.next().text
		e = &unary{line, op, p.unary(false)}
	} else {
		e = p.primary()
	}
	e = p.postfix(e)
	if withFilters {
		e = p.filters(e)
	}
	return e
}

func (p *parser) primary() expression {
	line, t := p.here(), p.peek()
	switch {
	case t.kind == tokenName:
		p.next()
		switch t.text {
		case "true", "True":
			return constant{true}
		case "false", "False":
			return constant{false}
		case "none", "None":
			return constant{nil}
		}
		return &name{line, t.text}
	case t.kind == tokenString:
		var s strings.Builder
		for p.peek().kind == tokenString {
			s.WriteString(p.next().text)
		}
		return constant{s.String()}
	case t.kind == tokenInteger || t.kind == tokenFloat:
		p.next()
		return constant{t.number}
	case p.skipOp("("):
		e := p.tuple(true, true, nil)
		p.expectOp(")")
		return e
	case p.isOp("["):
		return p.list()
	case p.isOp("{"):
		return p.dict()
	}
	p.fail("unexpected %s where a value is needed", t)
	return nil
}

func (p *parser) list() expression {
	s := &sequence{at: p.here()}
	p.next()
	for !p.isOp("]") {
		if len(s.items) > 0 {
			p.expectOp(",")
			if p.isOp("]") {
				break
			}
		}
		s.items = append(s.items, p.expression())
	}
	p.next()
	return s
}

func (p *parser) dict() expression {
	d := &dictionary{at: p.here()}
	p.next()
	for !p.isOp("}") {
		if len(d.keys) > 0 {
			p.expectOp(",")
			if p.isOp("}") {
				break
			}
		}
		d.keys = append(d.keys, p.expression())
		p.expectOp(":")
		d.values = append(d.values, p.expression())
	}
	p.next()
	return d
}

// tuple reads one expression, or several with commas between them; ends are names that end it too.
func (p *parser) tuple(parenthesized, withIf bool, ends []string) expression {
	return p.tupleOf(func() expression { return p.conditional(withIf) }, parenthesized, ends)
}

func (p *parser) tupleOf(item func() expression, parenthesized bool, ends []string) expression {
	s, comma := &sequence{at: p.here(), tuple: true}, false
	for len(s.items) == 0 || p.skipOp(",") {
		comma = comma || len(s.items) > 0
		if k := p.peek().kind; k == tokenVariableEnd || k == tokenBlockEnd || p.isOp(")") || p.isName(ends...) {
			break
		}
		s.items = append(s.items, item())
	}
	switch {
	case len(s.items) == 1 && !comma:
		return s.items[0]
	case len(s.items) == 0 && !parenthesized:
		p.fail("unexpected %s where a value is needed", p.peek())
	}
	return s
}

func (p *parser) postfix(e expression) expression {
	for n := 0; ; p.link(&n) {
		line := p.here()
		switch {
		case p.skipOp("."):
			t := p.next()
			switch t.kind {
			case tokenName:
				e = &attribute{line, e, t.text}
			case tokenInteger:
				e = &subscript{line, e, constant{t.number}}
			default:
				fail(Syntax, "expected a name or number behind the point, found %s", t)
			}
		case p.skipOp("["):
			e = p.subscript(line, e)
		case p.isOp("("):
			e = &call{line, e, p.arguments()}
		default:
			return e
		}
	}
}

func (p *parser) subscript(line at, of expression) expression {
	keys := &sequence{at: line, tuple: true}
	sliced := &slice{at: line, of: of}
	isSlice := false
	for !p.isOp("]") {
		if len(keys.items) > 0 {
			p.expectOp(",")
		}
		parts := [3]expression{}
		k := 0
		for !p.isOp("]", ",") {
			if p.skipOp(":") {
				if k++; k > 2 {
					p.fail("a slice has three parts at most")
				}
				continue
			}
			if parts[k] != nil {
				p.fail("expected ], found %s", p.peek())
			}
			parts[k] = p.expression()
		}
		if k == 0 && parts[0] == nil {
			p.fail("a subscript is empty")
		}
		if k > 0 {
			isSlice = true
			sliced.start, sliced.stop, sliced.step = parts[0], parts[1], parts[2]
		}
		keys.items = append(keys.items, parts[0])
	}
	p.next()
	switch {
	case isSlice && len(keys.items) == 1:
		return sliced
	case isSlice:
		fail(Unsupported, "a subscript of several slices is not known")
	case len(keys.items) == 0:
		fail(Syntax, "a subscript is empty")
	case len(keys.items) == 1:
		return &subscript{line, of, keys.items[0]}
	}
	return &subscript{line, of, keys}
}

func (p *parser) arguments() (a argumentList) {
	p.expectOp("(")
	for first := true; !p.isOp(")"); first = false {
		if !first {
			p.expectOp(",")
			if p.isOp(")") {
				break
			}
		}
		named := p.peek().kind == tokenName && p.tokens[p.pos+1].kind == tokenOperator && p.tokens[p.pos+1].text == "="
		switch {
		case p.isOp("*") && a.star == nil && a.starStar == nil:
			p.next()
			a.star = p.expression()
		case p.isOp("**") && a.starStar == nil:
			p.next()
			a.starStar = p.expression()
		case named && a.starStar == nil:
			a.names = append(a.names, p.next().text)
			p.next()
			a.named = append(a.named, p.expression())
		case !named && a.names == nil && a.star == nil && a.starStar == nil:
			a.positional = append(a.positional, p.expression())
		default:
			p.fail("the arguments of a call are in the wrong order")
		}
	}
	p.next()
	return a
}

// filters reads what follows a value: filters, tests and calls of what they give.
func (p *parser) filters(e expression) expression {
	for n := 0; ; p.link(&n) {
		line := p.here()
		switch {
		case p.isOp("|"):
			e = p.filter(e)
		case p.isName("is"):
			e = p.test(e)
		case p.isOp("("):
			e = &call{line, e, p.arguments()}
		default:
			return e
		}
	}
}

// filter reads |name or |name(arguments).
func (p *parser) filter(of expression) expression {
	f := &filtered{at: p.here(), of: of}
	p.expectOp("|")
	f.name = p.dotted()
	if p.isOp("(") {
		f.argumentList = p.arguments()
	}
	return f
}

func (p *parser) dotted() string {
	names := []string{p.expectName()}
	for p.skipOp(".") {
		names = append(names, p.expectName())
	}
	return strings.Join(names, ".")
}

func (p *parser) test(of expression) expression {
	t := &tested{at: p.here(), of: of}
	p.next()
	t.not = p.skipName("not")
	t.name = p.dotted()
	switch k := p.peek().kind; {
	case p.isOp("("):
		t.argumentList = p.arguments()
	case p.isName("else", "or", "and"):
	case p.isName("is"):
		p.fail("tests with is cannot be chained")
	case k == tokenName || k == tokenString || k == tokenInteger || k == tokenFloat || p.isOp("[", "{"):
		t.positional = []expression{p.postfix(p.primary())}
	}
	return t
}
