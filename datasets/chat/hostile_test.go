package chat

import (
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"
)

// hostile are templates that would run without end, take all memory, or leave the sandbox.
var hostile = map[string]struct {
	source string
	kind   Kind
	says   string
}{
	"loops within loops":      {strings.Repeat("{% for x in range(1000) %}", 6) + "x" + strings.Repeat("{% endfor %}", 6), Limit, "takes more than 1000000 steps"},
	"a loop without text":     {"{% for a in range(99999) %}{% for b in range(99999) %}{% set c = a * b %}{% endfor %}{% endfor %}", Limit, "takes more than 1000000 steps"},
	"a macro that calls":      {"{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}", Limit, "nest more than 200 deep"},
	"macros that fork":        {"{% macro m(n) %}{% if n %}{{ m(n - 1) }}{{ m(n - 1) }}{% endif %}{% endmacro %}{{ m(90) }}", Limit, "takes more than 1000000 steps"},
	"a loop that recurses":    {"{% for x in [1] recursive %}{{ loop([x]) }}{% endfor %}", Limit, "nest more than 200 deep"},
	"a text that doubles":     {"{% set ns = namespace(s='ab') %}{% for i in range(60) %}{% set ns.s = ns.s + ns.s %}{% endfor %}", Limit, "grows beyond 16777216 bytes"},
	"a text that is joined":   {"{% set ns = namespace(s='ab') %}{% for i in range(60) %}{% set ns.s = ns.s ~ ns.s %}{% endfor %}", Limit, "grows beyond 16777216 bytes"},
	"a list that doubles":     {"{% set ns = namespace(s=[1]) %}{% for i in range(60) %}{% set ns.s = ns.s + ns.s %}{% endfor %}", Limit, "takes more than 1000000 steps"},
	"a range of a billion":    {"{% for x in range(10**9) %}{% endfor %}", Limit, "a range has more than 100000 numbers"},
	"a huge repeat":           {"{{ 'a' * 10**9 }}", Limit, "repeated 1000000000 times"},
	"a huge repeated list":    {"{{ [1] * 10**9 }}", Limit, "repeated 1000000000 times"},
	"a repeat that overflows": {"{{ 'ab' * (2**62) }}", Limit, "is repeated"},
	"a tower of powers":       {"{{ 9**9**9 }}", Limit, "beyond 64 bits"},
	"parentheses":             {"{{ " + strings.Repeat("(", 100000) + " }}", Limit, "nest more than 100 deep"},
	"lists in lists":          {"{{ " + strings.Repeat("[", 99) + strings.Repeat("]", 99) + " }}", Limit, "nests more than 100 deep"},
	"nots":                    {"{{ " + strings.Repeat("not ", 50000) + "x }}", Limit, "nests more than 100 deep"},
	"signs":                   {"{{ " + strings.Repeat("-", 100000) + "1 }}", Limit, "nests more than 100 deep"},
	"ifs in ifs":              {strings.Repeat("{% if true %}", 20000), Limit, "nests more than 100 deep"},
	"a long sum":              {"{{ 1" + strings.Repeat("+1", 100000) + " }}", Limit, "chains more than 1000 operations"},
	"a long path":             {"{{ a" + strings.Repeat(".a", 100000) + " }}", Limit, "chains more than 1000 operations"},
	"a row of filters":        {"{{ a" + strings.Repeat("|e", 100000) + " }}", Limit, "chains more than 1000 operations"},
	"a huge template":         {strings.Repeat("a", 2<<20), Limit, "the template has 2097152 bytes"},
	"an indent of tojson":     {"{{ [[[1]]] | tojson(indent=10**8) }}", Limit, "repeated 100000000 times"},
	"indents of tojson":       {"{{ (range(1000) | list) | tojson(indent=100000) }}", Limit, "grows beyond"},
	"a value within itself":   {"{% set ns = namespace(x=[]) %}{% for i in range(9999) %}{% set ns.x = [ns.x] %}{% endfor %}{{ ns.x | tojson }}", Limit, "nest more than 200 deep"},
	"a deep value printed":    {"{% set ns = namespace(x=[]) %}{% for i in range(9999) %}{% set ns.x = [ns.x] %}{% endfor %}{{ ns.x }}", Limit, "nest more than 200 deep"},
	"deep values compared":    {"{% set ns = namespace(x=[], y=[]) %}{% for i in range(9999) %}{% set ns.x = [ns.x] %}{% set ns.y = [ns.y] %}{% endfor %}{{ ns.x == ns.y }}", Limit, "nest more than 200 deep"},
	"a value that forks":      {"{% set ns = namespace(x=[]) %}{% for i in range(60) %}{% set ns.x = [ns.x, ns.x] %}{% endfor %}{{ ns.x }}", Limit, "takes more than 1000000 steps"},
	"forks compared":          {"{% set ns = namespace(x=[], y=[]) %}{% for i in range(60) %}{% set ns.x = [ns.x, ns.x] %}{% set ns.y = [ns.y, ns.y] %}{% endfor %}{{ ns.x == ns.y }}", Limit, "takes more than 1000000 steps"},
	"a replacement":           {"{% set s = 'a' * 10000 %}{{ s.replace('a', s) }}", Limit, "grows beyond"},
	"replacements":            {"{% set ns = namespace(s='aa') %}{% for i in range(60) %}{% set ns.s = ns.s | replace('a', 'aa') %}{% endfor %}", Limit, "takes more than 1000000 steps"},
	"a join":                  {"{% set s = 'a' * 100000 %}{{ range(100000) | join(s) }}", Limit, "grows beyond"},
	"a method join":           {"{% set s = 'a' * 100000 %}{{ s.join(s) }}", Limit, "grows beyond"},
	"an indent":               {"{{ ('a\n' * 100000) | indent(100000) }}", Limit, "more than 1000000 steps"},
	"a width":                 {"{{ 'a'.center(10**9) }}", Limit, "grows beyond"},
	"a width of %":            {"{{ '%999999999d' % 1 }}", Limit, "grows beyond"},
	"a width of format":       {"{{ '{:>999999999}'.format(1) }}", Limit, "grows beyond"},
	"digits of round":         {"{{ 1.5 | round(10**9) }}", Limit, "digits are too many"},
	"batches":                 {"{{ [1] | batch(10**9, 'x') | list }}", Limit, "takes more than 1000000 steps"},
	"slices":                  {"{{ [1] | slice(10**9) | list }}", Limit, "takes more than 1000000 steps"},
	"long searches":           {"{% set s = 'a' * 10**7 %}{% for i in range(99999) %}{{ 'b' in s }}{% endfor %}", Limit, "takes more than 1000000 steps"},
	"much text":               {"{% for x in range(99999) %}" + strings.Repeat("a", 10000) + "{% endfor %}", Limit, "grows beyond"},
	"kept texts":              {"{% set ns = namespace(x=[]) %}{% for i in range(99999) %}{% set ns.x = ns.x + ['a' * 10**6] %}{% endfor %}", Limit, "more than 1000000 steps"},
	"a list in a loop":        {endless("{% set z = [" + strings.Repeat("1,", 100000) + "] %}"), Limit, "more than 1000000 steps"},
	"an object in a loop":     {endless("{% set z = {" + strings.Repeat("1:1,", 50000) + "} %}"), Limit, "more than 1000000 steps"},
	"ifs in a loop":           {endless(strings.Repeat("{%if 0%}{%endif%}", 13000)), Limit, "more than 1000000 steps"},
	"names in a loop":         {many("{%% set a%d=1 %%}", 11000) + endless("{{ nosuch }}"), Limit, "more than 1000000 steps"},
	"parameters in a loop":    {"{% macro m(" + many("a%d,", 35000) + "z) %}{% endmacro %}" + endless("{{ m() }}"), Limit, "more than 1000000 steps"},
	"scopes in scopes":        {strings.Repeat("{% for k in [1] %}", 90) + endless("{{ nosuch }}") + strings.Repeat("{% endfor %}", 90), Limit, "more than 1000000 steps"},
	"a text in %":             {"{% set s = 'a\n' * 4000000 %}" + endless("{% set z = '%s' % s %}"), Limit, "more than 1000000 steps"},
	"marked text":             {"{% set s = ('a' * 10**7) | safe %}" + endless("{% set z = s | length %}"), Limit, "more than 1000000 steps"},
	"an object's items":       {"{% set d = {" + many("%d:1,", 30000) + "} %}" + endless("{% set z = d.items() %}"), Limit, "more than 1000000 steps"},
	"objects compared":        {"{% set d = {" + many("%d:1,", 15000) + "} %}{% set e = {" + many("%d:1,", 15000) + "} %}" + endless("{% set z = d == e %}"), Limit, "more than 1000000 steps"},
	"keyword arguments":       {"{% set d = dict(" + many("a%d=1,", 20000) + ") %}" + endless("{% set z = dict(**d) %}"), Limit, "more than 1000000 steps"},
	"a class":                 {"{{ ''.__class__.__mro__ }}", Security, "access to attribute '__class__' of 'str' object is unsafe"},
	"a class by its key":      {"{{ []['__class__']['__base__'] }}", Security, "is unsafe"},
	"a class by map":          {"{{ [''] | map(attribute='__class__.__mro__') | list }}", Security, "is unsafe"},
	"globals of a function":   {"{{ raise_exception.__globals__['os'] }}", Security, "is unsafe"},
	"a class by format":       {"{{ '{0.__class__}'.format(1) }}", Security, "reaches into its value"},
	"the filter attr":         {"{{ '' | attr('__class__') }}", Security, "the filter attr is not allowed"},
	"a list that is changed":  {"{{ messages.append(1) }}", Security, "access to attribute 'append' of 'list' object is unsafe"},
	"another file":            {"{% include '/etc/passwd' %}", Unsupported, "the statement include is not allowed"},
	"a module":                {"{% from 'os' import system %}", Unsupported, "the statement from is not allowed"},
}

// endless repeats a part ten thousand million times.
func endless(part string) string {
	return "{% for i in range(99999) %}{% for j in range(99999) %}" + part + "{% endfor %}{% endfor %}"
}

// many writes a part with each of n numbers.
func many(part string, n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, part, i)
	}
	return b.String()
}

// TestHostileTemplates holds that each ends within a second, and within 400 MiB of memory asked for, with an error that names what it is.
func TestHostileTemplates(t *testing.T) {
	for name, c := range hostile {
		t.Run(name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			start := time.Now()
			_, err := render(c.source, map[string]any{"messages": list{}})
			took := time.Since(start)
			runtime.ReadMemStats(&after)
			var e *Error
			if !errors.As(err, &e) || e.Kind != c.kind || !strings.Contains(e.Message, c.says) || e.Line < 1 {
				t.Errorf("got %v, want kind %s: %s", err, c.kind, c.says)
			}
			if took > time.Second {
				t.Errorf("it took %v", took)
			}
			if got := (after.TotalAlloc - before.TotalAlloc) >> 20; got > 400 {
				t.Errorf("it asked for %d MiB", got)
			}
		})
	}
}
