package chat

import "fmt"

// Kind says what is wrong with a template, or with what it was given.
type Kind string

// The kinds of errors.
const (
	Syntax      Kind = "syntax"      // it is no template
	Unsupported Kind = "unsupported" // Jinja knows it, this package does not
	Undefined   Kind = "undefined"   // something that is not there is used
	Type        Kind = "type"        // an operation or function is given what it cannot take
	Security    Kind = "security"    // an attribute that leads out of the sandbox
	Limit       Kind = "limit"       // a bound of Limits
	Raised      Kind = "raised"      // the template itself refuses (raise_exception)
)

// Error is the reason that a template cannot be read or rendered.
type Error struct {
	Kind    Kind
	Line    int // of the template, from 1
	Message string
}

func (e *Error) Error() string {
	if e.Kind == Raised {
		return fmt.Sprintf("the chat template refuses the messages (line %d): %s", e.Line, e.Message)
	}
	return "chat template: " + e.place()
}

// place is the message with its line, for an error that names the template itself.
func (e *Error) place() string { return fmt.Sprintf("line %d: %s", e.Line, e.Message) }

// fail ends the work; Parse and Render return what it gives. The line is filled in there.
func fail(kind Kind, format string, args ...any) {
	panic(&Error{Kind: kind, Message: fmt.Sprintf(format, args...)})
}

// caught turns a failure into an error with its line.
func caught(err *error, line *int) {
	switch p := recover().(type) {
	case nil:
	case *Error:
		if p.Line == 0 {
			p.Line = *line
		}
		*err = p
	default:
		panic(p)
	}
}
