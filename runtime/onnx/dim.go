package onnx

import (
	"fmt"
	"sort"
	"strconv"
	"strings"
)

// Dim is the size of one dimension: a polynomial with integer coefficients over named symbols, so that the
// concatenation of P prompt and C completion keys has the size "C+P" and folding heads into rows "3*P".
// A symbol never stands for 1: which dimensions are 1 is known statically. The zero Dim is the constant 0.
type Dim struct{ terms []term }

// term is coef · Π symbols; symbols are sorted, and empty for the constant term.
type term struct {
	coef    int64
	symbols string // joined by "*"
}

// Const is a fixed size.
func Const(n int64) Dim {
	if n == 0 {
		return Dim{}
	}
	return Dim{[]term{{coef: n}}}
}

// Sym is a size known by name only until a graph runs.
func Sym(name string) Dim { return Dim{[]term{{coef: 1, symbols: name}}} }

// Const returns the size where it is fixed.
func (d Dim) Const() (n int64, ok bool) {
	switch {
	case len(d.terms) == 0:
		return 0, true
	case len(d.terms) == 1 && d.terms[0].symbols == "":
		return d.terms[0].coef, true
	}
	return 0, false
}

// Is reports whether d is the constant n.
func (d Dim) Is(n int64) bool {
	v, ok := d.Const()
	return ok && v == n
}

// Equal reports whether both are the same polynomial.
func (d Dim) Equal(e Dim) bool { return d.String() == e.String() }

// Add is d + e.
func (d Dim) Add(e Dim) Dim { return collect(append(append([]term{}, d.terms...), e.terms...)) }

// Sub is d − e.
func (d Dim) Sub(e Dim) Dim { return d.Add(e.Mul(Const(-1))) }

// Mul is d · e.
func (d Dim) Mul(e Dim) Dim {
	var out []term
	for _, a := range d.terms {
		for _, b := range e.terms {
			out = append(out, term{a.coef * b.coef, joinSymbols(a.symbols, b.symbols)})
		}
	}
	return collect(out)
}

// Div is d / e where e is a single term that divides every term of d, or d itself.
func (d Dim) Div(e Dim) (Dim, bool) {
	if len(e.terms) != 1 {
		return Const(1), len(e.terms) > 0 && d.Equal(e)
	}
	by := e.terms[0]
	var out []term
	for _, t := range d.terms {
		rest, ok := removeSymbols(t.symbols, by.symbols)
		if !ok || t.coef%by.coef != 0 {
			return Dim{}, false
		}
		out = append(out, term{t.coef / by.coef, rest})
	}
	return collect(out), true
}

// nonzero reports a size that is surely not 0, as sizes that symbols stand for are positive.
func (d Dim) nonzero() bool {
	positive := 0
	for _, t := range d.terms {
		if t.coef > 0 {
			positive++
		}
	}
	return len(d.terms) > 0 && !d.Unknown() && (positive == 0 || positive == len(d.terms))
}

// least is what d is at least, as each symbol stands for 1 or more; 0 where that is not known.
func (d Dim) least() (n int64) {
	for _, t := range d.terms {
		if t.coef < 0 || d.Unknown() {
			return 0
		}
		n += t.coef
	}
	return n
}

// negative reports what is surely below 0, such as −S.
func (d Dim) negative() bool { return d.nonzero() && d.terms[0].coef < 0 }

// Unknown reports a size that only the run will tell: nothing is known of it, not even that it is not 1.
func (d Dim) Unknown() bool { return strings.Contains(d.String(), "?") }

// Symbols lists the names in d, sorted, each once.
func (d Dim) Symbols() []string {
	seen := map[string]bool{}
	var names []string
	for _, t := range d.terms {
		for _, s := range splitSymbols(t.symbols) {
			if !seen[s] {
				seen[s] = true
				names = append(names, s)
			}
		}
	}
	sort.Strings(names)
	return names
}

// Eval is the size once every symbol has a value.
func (d Dim) Eval(sizes map[string]int64) (int64, error) {
	var sum int64
	for _, t := range d.terms {
		v := t.coef
		for _, s := range splitSymbols(t.symbols) {
			n, ok := sizes[s]
			if !ok {
				return 0, fmt.Errorf("size of dimension %s: no value for symbol %q", d, s)
			}
			v *= n
		}
		sum += v
	}
	return sum, nil
}

// String writes the polynomial in one canonical form, such as "2*C*G+P+1"; ParseDim reads it.
func (d Dim) String() string {
	if len(d.terms) == 0 {
		return "0"
	}
	var b strings.Builder
	for i, t := range d.terms {
		if i > 0 && t.coef >= 0 {
			b.WriteByte('+')
		}
		switch {
		case t.symbols == "":
			b.WriteString(strconv.FormatInt(t.coef, 10))
		case t.coef == 1:
			b.WriteString(t.symbols)
		case t.coef == -1:
			b.WriteString("-" + t.symbols)
		default:
			b.WriteString(strconv.FormatInt(t.coef, 10) + "*" + t.symbols)
		}
	}
	return b.String()
}

// spaced are operators as exporters write them.
var spaced = strings.NewReplacer(" + ", "+", " - ", "-", " * ", "*")

// ParseDim reads what String writes, with spaces around operators or without. Text that is no polynomial becomes one opaque symbol.
func ParseDim(text string) Dim {
	var terms []term
	for _, part := range splitTerms(spaced.Replace(text)) {
		t := term{coef: 1}
		if rest, ok := strings.CutPrefix(part, "-"); ok {
			t.coef, part = -1, rest
		}
		for f := range strings.SplitSeq(strings.TrimPrefix(part, "+"), "*") {
			if n, err := strconv.ParseInt(f, 10, 64); err == nil {
				t.coef *= n
			} else if isSymbol(f) {
				t.symbols = joinSymbols(t.symbols, f)
			} else {
				return Sym(strings.NewReplacer("*", "·", "+", "∔", "-", "−").Replace(text))
			}
		}
		terms = append(terms, t)
	}
	return collect(terms)
}

func isSymbol(s string) bool { return s != "" && !strings.ContainsAny(s, "+-* ") }

// splitTerms cuts before every sign but a leading one.
func splitTerms(text string) []string {
	var parts []string
	start := 0
	for i := 1; i < len(text); i++ {
		if text[i] == '+' || text[i] == '-' {
			parts = append(parts, text[start:i])
			start = i
		}
	}
	return append(parts, text[start:])
}

func splitSymbols(s string) []string {
	if s == "" {
		return nil
	}
	return strings.Split(s, "*")
}

func joinSymbols(a, b string) string {
	all := append(splitSymbols(a), splitSymbols(b)...)
	sort.Strings(all)
	return strings.Join(all, "*")
}

func removeSymbols(from, what string) (string, bool) {
	left := splitSymbols(from)
	for _, s := range splitSymbols(what) {
		i := sort.SearchStrings(left, s)
		if i == len(left) || left[i] != s {
			return "", false
		}
		left = append(append([]string{}, left[:i]...), left[i+1:]...)
	}
	return strings.Join(left, "*"), true
}

// collect adds up like terms and sorts them: symbols first, the constant last.
func collect(terms []term) Dim {
	sum := map[string]int64{}
	for _, t := range terms {
		sum[t.symbols] += t.coef
	}
	var out []term
	for s, c := range sum {
		if c != 0 {
			out = append(out, term{c, s})
		}
	}
	sort.Slice(out, func(i, j int) bool {
		if (out[i].symbols == "") != (out[j].symbols == "") {
			return out[j].symbols == ""
		}
		return out[i].symbols < out[j].symbols
	})
	return Dim{out}
}

// Shape is the size of each dimension; nil means that not even the rank is known, and Shape{} is a scalar.
type Shape []Dim

// Dims is a shape of fixed sizes.
func Dims(n ...int64) Shape {
	s := make(Shape, len(n))
	for i, v := range n {
		s[i] = Const(v)
	}
	return s
}

// Equal reports whether both shapes are known and the same.
func (s Shape) Equal(o Shape) bool {
	if s == nil || o == nil || len(s) != len(o) {
		return false
	}
	for i := range s {
		if !s[i].Equal(o[i]) {
			return false
		}
	}
	return true
}

// Size is the number of elements.
func (s Shape) Size() Dim {
	n := Const(1)
	for _, d := range s {
		n = n.Mul(d)
	}
	return n
}

// Eval is the shape once every symbol has a value.
func (s Shape) Eval(sizes map[string]int64) ([]int64, error) {
	out := make([]int64, len(s))
	for i, d := range s {
		n, err := d.Eval(sizes)
		if err != nil {
			return nil, err
		}
		out[i] = n
	}
	return out, nil
}

// String writes the shape as "[G,P,64]", and "[?]" where the rank is unknown.
func (s Shape) String() string {
	if s == nil {
		return "[?]"
	}
	parts := make([]string, len(s))
	for i, d := range s {
		parts[i] = d.String()
	}
	return "[" + strings.Join(parts, ",") + "]"
}
