package datasets

import (
	"errors"
	"fmt"
	"io"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/format"
)

var errFewValues = errors.New("it holds fewer values than rows: the file is damaged")

// A node puts the values of a Parquet column, which may be nested, together from its leaves.
//
// Each value of a leaf carries two levels (Melnik et al. 2010, "Dremel", section 4.1): the
// definition level counts the optional and repeated fields on its path that are there, so
// below a node's own level the node is missing; the repetition level tells at which
// repeated field it goes on with a list, 0 being a new row.
type node struct {
	name               string
	optional, repeated bool
	definition         int // level from which on the node is there
	repetition         int // level of a further element of the node, if it is repeated
	children           []*node
	leaves             []*leaf // all below; the first carries the levels
	list               bool    // a LIST, or a MAP, which is a list of keys with values: children[0] is its repeated field
	double             bool    // a leaf of floating-point numbers
	json               bool    // of type JSON, or with such a leaf below
	unwrap             bool    // a LIST of three levels: each element is the only field of a group
}

// newNode makes the nodes of a column; leafOf gives the values of a column without children.
func newNode(c *parquet.Column, leafOf func(*parquet.Column) *leaf) *node {
	n := &node{
		name: c.Name(), optional: c.Optional(), repeated: c.Repeated(),
		definition: c.MaxDefinitionLevel(), repetition: c.MaxRepetitionLevel(), json: isJSON(c),
	}
	if c.Leaf() {
		n.leaves = []*leaf{leafOf(c)}
		n.double = c.Type().Kind() == parquet.Float || c.Type().Kind() == parquet.Double
		return n
	}
	for _, child := range c.Columns() {
		sub := newNode(child, leafOf)
		n.children = append(n.children, sub)
		n.leaves = append(n.leaves, sub.leaves...)
	}
	if (isList(c) || isMap(c)) && len(n.children) == 1 && n.children[0].repeated {
		n.list = true
		// Two-level lists of old writers repeat the element itself; the names are those the format's
		// rules for backward compatibility give.
		element := n.children[0]
		n.unwrap = len(element.children) == 1 && element.name != "array" && element.name != n.name+"_tuple"
	}
	return n
}

func isList(n parquet.Node) bool {
	_, ok := logical(n.Type()).(*format.ListType)
	return ok
}

func isMap(n parquet.Node) bool {
	_, ok := logical(n.Type()).(*format.MapType)
	return ok
}

// readNodes returns the values of a row, by the names of its columns.
func readNodes(nodes []*node) (values map[string]any, err error) {
	at := ""
	defer func() {
		if p := recover(); p != nil {
			values, err = nil, fmt.Errorf("column %s: %w", at, damage(p))
		}
	}()
	values = make(map[string]any, len(nodes))
	for _, n := range nodes {
		at = n.name
		v, err := n.read()
		if err == io.EOF {
			err = errFewValues
		}
		if err != nil {
			return nil, fmt.Errorf("column %s: %w", n.name, err)
		}
		values[n.name] = v
	}
	return values, nil
}

// read returns the value of the node at the place its leaves have come to.
func (n *node) read() (any, error) {
	if len(n.leaves) == 0 {
		return map[string]any{}, nil
	}
	if !n.optional && !n.repeated {
		return n.one()
	}
	v, err := n.leaves[0].peek()
	if err != nil {
		return nil, err
	}
	if v.DefinitionLevel() < n.definition {
		if n.repeated {
			return []any{}, n.skip()
		}
		return nil, n.skip()
	}
	if !n.repeated {
		return n.one()
	}
	list := []any{}
	for {
		v, err := n.one()
		if err != nil {
			return nil, err
		}
		list = append(list, v)
		next, err := n.leaves[0].peek()
		if err == io.EOF || err == nil && next.RepetitionLevel() != n.repetition {
			return list, nil
		}
		if err != nil {
			return nil, err
		}
	}
}

// one returns a value of a node that is there.
func (n *node) one() (any, error) {
	if n.children == nil {
		return n.leaves[0].take()
	}
	fields := make(map[string]any, len(n.children))
	for _, c := range n.children {
		v, err := c.read()
		if err != nil {
			return nil, err
		}
		fields[c.name] = v
	}
	if !n.list {
		return fields, nil
	}
	items := fields[n.children[0].name].([]any)
	if n.unwrap {
		for i := range items {
			items[i] = items[i].(map[string]any)[n.children[0].children[0].name]
		}
	}
	return items, nil
}

// skip passes over a value that is missing: every leaf has one entry for it.
func (n *node) skip() error {
	for _, l := range n.leaves {
		if _, err := l.peek(); err != nil {
			return err
		}
		l.next++
	}
	return nil
}

// leaf reads the values of a column chunk, or (without values) of one row, one after the other.
type leaf struct {
	values parquet.ColumnChunkValueReader
	decode func(parquet.Value) (any, error) // as record has it, or as JSON
	buf    []parquet.Value                  // of a column chunk, of one page, whose memory goes away with the next ReadValues
	next   int
	err    error
}

func (l *leaf) peek() (parquet.Value, error) {
	for l.next == len(l.buf) {
		if l.err != nil {
			return parquet.Value{}, l.err
		}
		if l.buf == nil {
			l.buf = make([]parquet.Value, 64)
		}
		var n int
		n, l.err = l.values.ReadValues(l.buf[:cap(l.buf)])
		l.buf, l.next = l.buf[:n], 0
		if n == 0 && l.err == nil {
			l.err = io.ErrNoProgress
		}
	}
	return l.buf[l.next], nil
}

func (l *leaf) take() (any, error) {
	v, err := l.peek()
	if err != nil {
		return nil, err
	}
	l.next++
	return l.decode(v)
}
