package chat

import (
	"strconv"
	"strings"
	"time"
)

// globals are the functions that a template finds.
func (m *machine) globals() map[string]any {
	all := map[string]any{}
	for name, call := range map[string]func(m *machine, a arguments) any{
		"range": ranged, "dict": newDict, "namespace": newNamespace, "joiner": newJoiner, "cycler": newCycler,
		"raise_exception": func(m *machine, a arguments) any {
			fail(Raised, "%s", m.str(needed("raise_exception", a.take("raise_exception", "message")[0])))
			return nil
		},
	} {
		all[name] = &function{name, call}
	}
	if !m.now.IsZero() {
		all["strftime_now"] = &function{"strftime_now", func(m *machine, a arguments) any {
			return m.timeAs(textOf("strftime_now", needed("strftime_now", a.take("strftime_now", "format")[0])))
		}}
	}
	return all
}

// maxRange is that of Jinja's sandbox.
const maxRange = 100_000

func ranged(m *machine, a arguments) any {
	args := a.take("range", "start", "stop", "step")
	start, stop, step := int64(0), index(needed("range", args[0]), 0), index(or(args[2], int64(1)), 1)
	if !isAbsent(args[1]) {
		start, stop = stop, index(args[1], 0)
	}
	if step == 0 {
		fail(Type, "the step of a range is 0")
	}
	out := list{}
	for i := start; step > 0 && i < stop || step < 0 && i > stop; i += step {
		if len(out) == maxRange {
			fail(Limit, "a range has more than %d numbers", maxRange)
		}
		out = append(out, i)
		if next := i + step; (next > i) != (step > 0) {
			break
		}
	}
	m.spend(len(out))
	return out
}

func newDict(m *machine, a arguments) any {
	d := &Dict{}
	if len(a.positional) > 1 {
		fail(Type, "dict takes one object or list of pairs")
	}
	for _, from := range a.positional {
		pairs := m.elements(from)
		if of, ok := from.(*Dict); ok {
			pairs = of.items()
		}
		for _, p := range pairs {
			kv := m.elements(p)
			if len(kv) != 2 {
				fail(Type, "dict takes pairs of a key and a value")
			}
			m.spend(1)
			d.set(kv[0], kv[1])
		}
	}
	for i, name := range a.names {
		d.set(name, a.named[i])
	}
	return d
}

func newNamespace(m *machine, a arguments) any {
	n := &namespace{map[string]any{}}
	d := newDict(m, a).(*Dict)
	for i, k := range d.keys {
		n.set(m.str(k), d.values[i])
	}
	return n
}

// newJoiner gives a function that gives nothing when it is first called, and then what separates.
func newJoiner(m *machine, a arguments) any {
	sep, used := m.str(or(a.take("joiner", "sep")[0], ", ")), false
	return &function{"joiner", func(_ *machine, a arguments) any {
		a.take("joiner")
		if !used {
			used = true
			return ""
		}
		return sep
	}}
}

// newCycler gives values in turn, by next(), and the one at hand by current.
func newCycler(_ *machine, a arguments) any {
	if len(a.positional) == 0 {
		fail(Type, "cycler needs values to go through")
	}
	n := &namespace{map[string]any{"current": a.positional[0]}}
	at := 0
	turn := func(to func() int) func(*machine, arguments) any {
		return func(_ *machine, given arguments) any {
			given.take("cycler")
			now := a.positional[at]
			at = to()
			n.vars["current"] = a.positional[at]
			return now
		}
	}
	n.vars["next"] = &function{"next", turn(func() int { return (at + 1) % len(a.positional) })}
	n.vars["reset"] = &function{"reset", turn(func() int { return 0 })}
	return n
}

// strftime has Go's layouts of Python's directives.
var strftime = map[byte]string{
	'Y': "2006", 'y': "06", 'm': "01", 'd': "02", 'b': "Jan", 'B': "January", 'a': "Mon", 'A': "Monday", 'H': "15", 'I': "03", 'M': "04", 'S': "05", 'p': "PM",
	'Z': "", 'z': "", 'F': "2006-01-02", 'T': "15:04:05", 'e': "_2", 'D': "01/02/06", 'R': "15:04",
}

func (m *machine) timeAs(format string) string {
	var b strings.Builder
	for i := 0; i < len(format); i++ {
		if format[i] != '%' || i+1 == len(format) {
			b.WriteByte(format[i])
			continue
		}
		i++
		short := format[i] == '-' && i+1 < len(format)
		if short {
			i++
		}
		b.WriteString(directive(m.now, format[i], short))
	}
	m.grown(b.Len())
	return b.String()
}

func directive(t time.Time, d byte, short bool) string {
	var text string
	switch layout, ok := strftime[d]; {
	case d == '%':
		return "%"
	case d == 'j':
		text = strconv.Itoa(1000 + t.YearDay())[1:]
	case !ok:
		fail(Unsupported, "strftime_now: the directive %%%c is not known", d)
	case layout != "":
		text = t.Format(layout)
	}
	if short && len(text) > 1 {
		text = strings.TrimLeft(text[:len(text)-1], "0") + text[len(text)-1:]
	}
	return text
}
