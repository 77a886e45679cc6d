package chat

import (
	"slices"
	"strings"
	"time"
)

// Limits bound what rendering may take; 0 is the default.
type Limits struct {
	Steps  int // pieces of work: nodes that are run, values that are made, 64 bytes of text (1 million)
	Output int // bytes of the text, and of any string on the way to it (16 MiB)
	Depth  int // calls, loops and values within each other (200)
}

const (
	maxSource    = 256 << 10 // bytes of a template, which are read within a tenth of a second; the longest that models come with have a tenth of that
	bytesPerStep = 64
	namesPerStep = 16
)

// Template is a chat template that was read. It can be rendered by several goroutines at once.
type Template struct {
	body     []statement
	mentions map[string]bool
}

// Options are what a rendering may be given beside its variables.
type Options struct {
	Limits Limits
	// Now is the time that strftime_now shows. Without it there is no such function: a template that needs it fails, one that
	// asks whether it is defined writes what it has instead, and the same messages give the same text tomorrow.
	Now time.Time
}

// Output is what a template wrote.
type Output struct {
	Text string
	// Generated are the parts of the text that {% generation %} blocks hold, as offsets of first byte and end, in order.
	Generated [][2]int
}

// Parse reads a template. Its errors are of type *Error.
func Parse(source string) (t *Template, err error) {
	line := 1
	defer caught(&err, &line)
	if len(source) > maxSource {
		fail(Limit, "the template has %d bytes, %d are the most", len(source), maxSource)
	}
	p := &parser{tokens: lex(source, &line)}
	defer func() { line = max(p.line, 1) }()
	body, _ := p.statements("")
	t = &Template{body: body, mentions: map[string]bool{}}
	for _, tok := range p.tokens {
		if tok.kind == tokenName || tok.kind == tokenString {
			t.mentions[tok.text] = true
		}
	}
	return t, nil
}

// Mentions tells whether the template's code has a word, as a name or as a whole string.
func (t *Template) Mentions(word string) bool { return t.mentions[word] }

// Render writes the text of a template. Variables are values as [Values] makes them. Its errors are of type *Error.
func (t *Template) Render(vars map[string]any, o Options) (out Output, err error) {
	m := newMachine(o)
	line := 0
	defer caught(&err, &line)
	defer func() { line = max(m.line, 1) }()
	given := &scope{vars: vars, up: &scope{vars: m.globals()}}
	m.block(t.body, given.inner())
	return Output{m.out.String(), m.generated}, nil
}

// A machine renders a template once.
type machine struct {
	limits      Limits
	steps       int
	depth, line int
	now         time.Time
	out         *strings.Builder
	captures    int // outputs that are being collected for a value, not for the text
	generated   [][2]int
}

func newMachine(o Options) *machine {
	l := o.Limits
	for _, d := range []struct {
		to    *int
		value int
	}{{&l.Steps, 1_000_000}, {&l.Output, 16 << 20}, {&l.Depth, 200}} {
		if *d.to <= 0 {
			*d.to = d.value
		}
	}
	return &machine{limits: l, now: o.Now, out: new(strings.Builder)}
}

// spend counts work.
func (m *machine) spend(steps int) {
	if m.steps += steps; m.steps > m.limits.Steps || m.steps < 0 {
		fail(Limit, "rendering takes more than %d steps: the template loops too long, or its messages are too many", m.limits.Steps)
	}
}

// read counts the work of going through a string once.
func (m *machine) read(v any) {
	switch s := v.(type) {
	case string:
		m.spend(len(s) / bytesPerStep)
	case markup:
		m.spend(len(s) / bytesPerStep)
	}
}

// bound refuses a string of more bytes than the output may have.
func (m *machine) bound(bytes int) {
	if bytes > m.limits.Output || bytes < 0 {
		fail(Limit, "a text grows beyond %d bytes", m.limits.Output)
	}
}

// grown counts a new string, and refuses one that is too long; call it before the string is made where its length can be told.
func (m *machine) grown(bytes int) {
	m.bound(bytes)
	m.spend(1 + bytes/bytesPerStep)
}

// deeper counts what lies within each other; the function that it gives ends that.
func (m *machine) deeper() func() {
	if m.depth++; m.depth > m.limits.Depth {
		fail(Limit, "calls or values nest more than %d deep: does a macro call itself?", m.limits.Depth)
	}
	return m.shallower
}

func (m *machine) shallower() { m.depth-- }

func (m *machine) write(s string) {
	m.grown(len(s))
	m.bound(m.out.Len() + len(s))
	m.out.WriteString(s)
}

// capture collects what a function writes.
func (m *machine) capture(f func()) string {
	before := m.out
	m.out = new(strings.Builder)
	m.captures++
	f()
	s := m.out.String()
	m.out = before
	m.captures--
	return s
}

// A scope holds the names of a block; what it does not have is looked for in the one around it. There are few names in most.
type scope struct {
	names  []string
	values []any
	place  map[string]int // of names, where there are many
	vars   map[string]any // of the outermost
	up     *scope
}

const manyNames = 16

// inner is a scope within one.
func (s *scope) inner() *scope { return &scope{up: s} }

// find is a name's place in the scope itself, −1 where it has none.
func (s *scope) find(name string) int {
	if s.place == nil {
		return slices.Index(s.names, name)
	}
	if i, ok := s.place[name]; ok {
		return i
	}
	return -1
}

func (s *scope) set(name string, v any) {
	if i := s.find(name); i >= 0 {
		s.values[i] = v
		return
	}
	s.names, s.values = append(s.names, name), append(s.values, v)
	switch n := len(s.names); {
	case n == manyNames:
		s.place = map[string]int{}
		for i, name := range s.names {
			s.place[name] = i
		}
	case n > manyNames:
		s.place[name] = n - 1
	}
}

// get gives the value of a name, and in how many scopes it was looked for.
func (s *scope) get(name string) (v any, around int) {
	for ; s != nil; s = s.up {
		around++
		if i := s.find(name); i >= 0 {
			return s.values[i], around
		}
		if v, ok := s.vars[name]; ok {
			return v, around
		}
	}
	if name == "strftime_now" {
		return missing{why: "strftime_now is not there, for the same messages are to give the same text tomorrow: write a date into a copy of the template", kind: Unsupported}, around
	}
	return missing{why: "'" + name + "' is undefined"}, around
}
