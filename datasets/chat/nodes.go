package chat

// An expression gives a value, a statement writes text. Each knows its line.
type (
	expression interface {
		eval(m *machine, s *scope) any
	}
	statement interface {
		run(m *machine, s *scope) signal
	}
	at int // the line of a node
)

// signal is how a statement ends: going on, or leaving or repeating the loop around it.
type signal int

const (
	goOn signal = iota
	leave
	repeat
)

type (
	constant struct{ value any }
	name     struct {
		at
		text string
	}
	sequence struct {
		at
		items []expression
		tuple bool
	}
	dictionary struct {
		at
		keys, values []expression
	}
	unary struct {
		at
		op string // -, + or not
		of expression
	}
	binary struct {
		at
		op   string
		a, b expression
	}
	logical struct {
		at
		or   bool
		a, b expression
	}
	concat struct {
		at
		parts []expression
	}
	comparison struct {
		at
		first expression
		ops   []string
		rest  []expression
	}
	conditional struct {
		at
		then, test, otherwise expression // otherwise may be nil
	}
	attribute struct {
		at
		of   expression
		name string
	}
	subscript struct {
		at
		of, key expression
	}
	slice struct {
		at
		of                expression
		start, stop, step expression // nil where left out
	}
	call struct {
		at
		of expression
		argumentList
	}
	filtered struct {
		at
		of   expression // nil in a block: what it holds
		name string
		argumentList
	}
	tested struct {
		at
		of   expression
		name string
		argumentList
		not bool
	}
)

type argumentList struct {
	positional []expression
	names      []string
	named      []expression
	star       expression // *list
	starStar   expression // **dict
}

type (
	text   string
	output struct {
		at
		of expression
	}
	branch struct {
		at
		tests  []expression
		bodies [][]statement // one more than tests where there is an else
	}
	loop struct {
		at
		target    expression
		over      expression
		filter    expression // nil: none
		body      []statement
		otherwise []statement
		recursive bool
	}
	assignment struct {
		at
		target expression
		value  expression
	}
	captured struct { // {% set x %}...{% endset %}
		at
		target expression
		filter expression
		body   []statement
	}
	filterBlock struct {
		at
		filter expression
		body   []statement
	}
	withBlock struct {
		at
		targets, values []expression
		body            []statement
	}
	macroDefinition struct {
		at
		name     string
		params   []string
		defaults []expression // of the last parameters
		body     []statement
		// what the body asks for beside its parameters
		varargs, kwargs, caller bool
	}
	callBlock struct {
		at
		call  *call
		macro *macroDefinition
	}
	generation struct {
		at
		body []statement
	}
	jump struct {
		at
		to signal
	}
)
