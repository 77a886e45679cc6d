package datasets

import (
	"encoding/json"
	"math"
	"strconv"

	"github.com/parquet-go/parquet-go"
)

// A shape is the type of a column of JSON, or of a part of it, as far as the values seen show.
type shape struct {
	kind    kind
	element *shape   // of a list
	names   []string // of an object's fields, in the order seen
	fields  map[string]*shape
	column  int // index of the leaf of values
}

type kind int

const (
	kindNull kind = iota // nothing but null seen: a string in the end
	kindBool
	kindInteger
	kindNumber
	kindString
	kindList
	kindObject
	kindMixed // values of several kinds: a column of JSON
)

const (
	maxFields  = 256 // of an object: with more, names are rather data
	maxNesting = 16
)

// see widens the shape so that it holds a value.
func (s *shape) see(raw json.RawMessage, depth int) {
	k := kindOf(raw)
	switch {
	case k == kindNull || s.kind == kindMixed:
		return
	case s.kind == kindNull:
		s.kind = k
	case k == kindInteger && s.kind == kindNumber || k == kindNumber && s.kind == kindInteger:
		s.kind = kindNumber
	case s.kind != k:
		s.kind = kindMixed
	}
	if depth == maxNesting && (k == kindList || k == kindObject) {
		s.kind = kindMixed
	}
	switch s.kind {
	case kindList:
		s.seeList(raw, depth)
	case kindObject:
		s.seeObject(raw, depth)
	}
}

func (s *shape) seeList(raw json.RawMessage, depth int) {
	if s.element == nil {
		s.element = &shape{}
	}
	for _, e := range elements(raw) {
		s.element.see(e, depth+1)
	}
}

func (s *shape) seeObject(raw json.RawMessage, depth int) {
	o, err := parseObject(raw)
	if err != nil {
		s.kind = kindMixed
		return
	}
	s.seeFields(o, depth)
	if len(s.names) > maxFields || len(o.names) == 0 || s.fields[""] != nil {
		s.kind = kindMixed
	}
}

func (s *shape) seeFields(o object, depth int) {
	if s.fields == nil {
		s.fields = map[string]*shape{}
	}
	for _, name := range o.names {
		if s.fields[name] == nil {
			s.fields[name] = &shape{}
			s.names = append(s.names, name)
		}
		s.fields[name].see(o.raw[name], depth+1)
	}
}

func kindOf(raw json.RawMessage) kind {
	switch raw[0] {
	case 'n':
		return kindNull
	case 't', 'f':
		return kindBool
	case '"':
		return kindString
	case '[':
		return kindList
	case '{':
		return kindObject
	}
	if _, err := strconv.ParseInt(string(raw), 10, 64); err == nil {
		return kindInteger
	}
	if f, err := strconv.ParseFloat(string(raw), 64); err == nil && !math.IsInf(f, 0) {
		return kindNumber
	}
	return kindMixed
}

func elements(raw json.RawMessage) []json.RawMessage {
	var list []json.RawMessage
	_ = json.Unmarshal(raw, &list) // it was decoded as JSON before
	return list
}

// field makes the Parquet column of the shape, with the indices of its leaves from *next on.
func (s *shape) field(name string, next *int) *field {
	switch s.kind {
	case kindList:
		return listField(name, s.element.field("", next))
	case kindObject:
		f := newField(name, parquet.Optional(parquet.Group{}))
		for _, n := range s.names {
			f.children = append(f.children, s.fields[n].field(n, next))
		}
		return f
	}
	s.column = *next
	*next++
	leaf := map[kind]parquet.Node{
		kindBool: parquet.Leaf(parquet.BooleanType), kindInteger: parquet.Leaf(parquet.Int64Type), kindNumber: parquet.Leaf(parquet.DoubleType),
	}[s.kind]
	switch {
	case s.kind == kindMixed:
		leaf = parquet.JSON()
	case leaf == nil:
		leaf = parquet.String()
	}
	return newField(name, parquet.Optional(leaf))
}
