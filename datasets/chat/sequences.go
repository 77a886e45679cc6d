package chat

import (
	"slices"
	"strconv"
	"strings"
)

// sequenceFilters are the filters of lists and objects.
func sequenceFilters() map[string]filterFunc {
	return map[string]filterFunc{
		"length": size, "count": size,
		"first": func(m *machine, v any, a arguments) any {
			a.take("first")
			if items := m.elements(v); len(items) > 0 {
				return items[0]
			}
			return missing{why: "there is no first item, the sequence is empty"}
		},
		"last": func(m *machine, v any, a arguments) any {
			a.take("last")
			if g, ok := v.(*generator); ok {
				fail(Type, "a %s has no last item: make it a list first", kindOf(g))
			}
			if items := m.elements(v); len(items) > 0 {
				return items[len(items)-1]
			}
			return missing{why: "there is no last item, the sequence is empty"}
		},
		"list": func(m *machine, v any, a arguments) any {
			a.take("list")
			items := m.elements(v)
			m.spend(len(items))
			return list(slices.Clone(items))
		},
		"items":   items,
		"join":    joinFilter,
		"reverse": reversed,
		"sort":    sorted,
		"unique":  unique,
		"min":     func(m *machine, v any, a arguments) any { return m.extreme("min", v, a, -1) },
		"max":     func(m *machine, v any, a arguments) any { return m.extreme("max", v, a, 1) },
		"sum": func(m *machine, v any, a arguments) any {
			args := a.take("sum", "attribute", "start")
			total := or(args[1], int64(0))
			for _, item := range m.elements(v) {
				total = m.operate("+", total, m.part(item, or(args[0], nil), nil))
			}
			return total
		},
		"map":        mapped,
		"select":     chosen(false, true),
		"reject":     chosen(false, false),
		"selectattr": chosen(true, true),
		"rejectattr": chosen(true, false),
		"dictsort":   dictSort,
		"groupby":    groupBy,
		"batch":      batch,
		"slice":      sliced,
	}
}

func size(_ *machine, v any, a arguments) any {
	a.take("length")
	n, ok := length(v)
	if !ok {
		fail(Type, "%s has no length", kindOf(v))
	}
	return int64(n)
}

// part is an item's attribute, given as a name with points or a number; the item itself for none.
func (m *machine) part(item, attribute, otherwise any) any {
	switch by := attribute.(type) {
	case nil:
		return item
	case int64:
		return m.item(item, by)
	case string:
		for name := range strings.SplitSeq(by, ".") {
			var key any = name
			if n, err := strconv.ParseInt(name, 10, 64); err == nil && n >= 0 {
				key = n
			}
			if item = m.item(item, key); otherwise != nil && kindOf(item) == "Undefined" {
				item = otherwise
			}
		}
		return item
	}
	fail(Type, "an attribute is to be a name or a number, not %s", kindOf(attribute))
	return nil
}

func items(m *machine, v any, a arguments) any {
	a.take("items")
	switch v := v.(type) {
	case missing:
		return &generator{}
	case *Dict:
		m.spend(2 * len(v.keys))
		return &generator{v.items()}
	}
	fail(Type, "items needs an object, not %s", kindOf(v))
	return nil
}

func joinFilter(m *machine, v any, a arguments) any {
	args := a.take("join", "d", "attribute")
	var parts []string
	for _, item := range m.elements(v) {
		parts = append(parts, m.str(m.part(item, or(args[1], nil), nil)))
	}
	return m.joined(parts, m.str(or(args[0], "")))
}

func reversed(m *machine, v any, a arguments) any {
	a.take("reverse")
	all := slices.Clone(m.elements(v))
	m.spend(len(all))
	slices.Reverse(all)
	if _, ok := v.(string); !ok {
		return &generator{all}
	}
	var b strings.Builder
	for _, c := range all {
		b.WriteString(c.(string))
	}
	return b.String()
}

// folded is a value as sorting sees it: strings without case, unless case counts.
func folded(v, caseSensitive any) any {
	if s, ok := v.(string); ok && !truth(caseSensitive) {
		return strings.ToLower(s)
	}
	return v
}

// sortBy sorts stably by keys.
func (m *machine) sortBy(all []any, reverse bool, key func(any) any) {
	type keyed struct{ key, item any }
	pairs := make([]keyed, len(all))
	for i, item := range all {
		pairs[i] = keyed{key(item), item}
	}
	slices.SortStableFunc(pairs, func(a, b keyed) int {
		order := 0
		switch {
		case m.less(a.key, b.key):
			order = -1
		case m.less(b.key, a.key):
			order = 1
		}
		if reverse {
			return -order
		}
		return order
	})
	for i, p := range pairs {
		all[i] = p.item
	}
}

func sorted(m *machine, v any, a arguments) any {
	args := a.take("sort", "reverse", "case_sensitive", "attribute")
	all := slices.Clone(m.elements(v))
	m.spend(len(all))
	var by []any
	switch attribute := or(args[2], nil).(type) {
	case string:
		for name := range strings.SplitSeq(attribute, ",") {
			by = append(by, name)
		}
	default:
		by = []any{attribute}
	}
	m.sortBy(all, truth(or(args[0], false)), func(item any) any {
		key := make(tuple, len(by))
		for i, attribute := range by {
			key[i] = folded(m.part(item, attribute, nil), or(args[1], false))
		}
		return key
	})
	return list(all)
}

func unique(m *machine, v any, a arguments) any {
	args := a.take("unique", "case_sensitive", "attribute")
	seen := map[any]bool{}
	var out []any
	for _, item := range m.elements(v) {
		m.spend(1)
		key := hashable(folded(m.part(item, or(args[1], nil), nil), or(args[0], false)))
		if !seen[key] {
			seen[key] = true
			out = append(out, item)
		}
	}
	return &generator{out}
}

// extreme is the least (−1) or greatest (1) item, the first of equals.
func (m *machine) extreme(name string, v any, a arguments, sign int) any {
	args := a.take(name, "case_sensitive", "attribute")
	key := func(item any) any { return folded(m.part(item, or(args[1], nil), nil), or(args[0], false)) }
	all := m.elements(v)
	if len(all) == 0 {
		return missing{why: "there is no item, the sequence is empty"}
	}
	best := all[0]
	for _, item := range all[1:] {
		if sign < 0 && m.less(key(item), key(best)) || sign > 0 && m.less(key(best), key(item)) {
			best = item
		}
	}
	return best
}

// mapped applies a filter to each item, or takes an attribute of each.
func mapped(m *machine, v any, a arguments) any {
	var apply func(item any) any
	if len(a.positional) == 0 {
		args := a.take("map", "attribute", "default")
		attribute := needed("map", args[0])
		apply = func(item any) any { return m.part(item, attribute, or(args[1], nil)) }
	} else {
		name := textOf("map", a.positional[0])
		rest := arguments{a.positional[1:], a.names, a.named}
		apply = func(item any) any { return m.filter(name, item, rest) }
	}
	all := m.elements(v)
	out := make([]any, len(all))
	for i, item := range all {
		m.spend(1)
		out[i] = apply(item)
	}
	return &generator{out}
}

// chosen keeps the items (or those with an attribute) that pass a test, or that do not; without one, those that are true.
func chosen(byAttribute, keep bool) filterFunc {
	return func(m *machine, v any, a arguments) any {
		var attribute any
		if byAttribute {
			if len(a.positional) == 0 {
				fail(Type, "selectattr and rejectattr need the name of an attribute")
			}
			attribute = a.positional[0]
			a.positional = a.positional[1:]
		}
		passes := truth
		if len(a.positional) > 0 {
			name := textOf("select", a.positional[0])
			rest := arguments{a.positional[1:], a.names, a.named}
			passes = func(v any) bool { return m.test(name, v, rest) }
		}
		var out []any
		for _, item := range m.elements(v) {
			m.spend(1)
			if passes(m.part(item, attribute, nil)) == keep {
				out = append(out, item)
			}
		}
		return &generator{out}
	}
}

func dictSort(m *machine, v any, a arguments) any {
	args := a.take("dictsort", "case_sensitive", "by", "reverse")
	d, ok := v.(*Dict)
	if !ok {
		fail(Type, "dictsort needs an object, not %s", kindOf(v))
	}
	at := map[any]int{"key": 0, "value": 1}
	by, ok := at[or(args[1], "key")]
	if !ok {
		fail(Type, "dictsort: by is to be key or value")
	}
	pairs := d.items()
	m.spend(len(pairs))
	m.sortBy(pairs, truth(or(args[2], false)), func(p any) any { return folded(p.(tuple)[by], or(args[0], false)) })
	return list(pairs)
}

// groupBy gives pairs of a key and the items that have it, in the order of the keys.
func groupBy(m *machine, v any, a arguments) any {
	args := a.take("groupby", "attribute", "default", "case_sensitive")
	attribute := needed("groupby", args[0])
	key := func(item any) any { return m.part(item, attribute, or(args[1], nil)) }
	fold := func(item any) any { return folded(key(item), or(args[2], false)) }
	all := slices.Clone(m.elements(v))
	m.spend(len(all))
	m.sortBy(all, false, fold)
	var out list
	for i, item := range all {
		if i > 0 && m.equal(fold(all[i-1]), fold(item)) {
			group := out[len(out)-1].(tuple)
			group[1] = append(group[1].(list), item)
			continue
		}
		out = append(out, tuple{key(item), list{item}})
	}
	return out
}

// batch cuts into lists of a length; the last is filled up where something to fill it with is given.
func batch(m *machine, v any, a arguments) any {
	args := a.take("batch", "linecount", "fill_with")
	n := index(needed("batch", args[0]), 0)
	if n <= 0 {
		fail(Type, "batch: the length is to be 1 at least")
	}
	fill := or(args[1], nil)
	var out []any
	for part := range slices.Chunk(m.elements(v), int(n)) {
		part = slices.Clone(part)
		m.spend(int(n))
		for fill != nil && int64(len(part)) < n {
			part = append(part, fill)
		}
		out = append(out, list(part))
	}
	return &generator{out}
}

// sliced cuts into a number of lists of nearly one length.
func sliced(m *machine, v any, a arguments) any {
	args := a.take("slice", "slices", "fill_with")
	n := int(index(needed("slice", args[0]), 0))
	all := m.elements(v)
	if n <= 0 {
		fail(Type, "slice: the number is to be 1 at least")
	}
	m.spend(n)
	fill := or(args[1], nil)
	each, more := len(all)/n, len(all)%n
	var out []any
	for i := range n {
		start := i*each + min(i, more)
		end := (i+1)*each + min(i+1, more)
		part := list(slices.Clone(all[start:end]))
		if fill != nil && i >= more {
			part = append(part, fill)
		}
		out = append(out, part)
	}
	return &generator{out}
}
