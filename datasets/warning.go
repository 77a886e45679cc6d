package datasets

// Warning is something in data or in a run that makes it likely to fail, or hard to understand, and what to do about it.
type Warning struct {
	Name string `json:"name"` // of the failure, such as "equal-answers"
	What string `json:"what"` // was seen, with its numbers, in one line
	Hint string `json:"hint"` // what to do
}

// String is the warning in one line.
func (f Warning) String() string { return "warning: " + f.What + "; hint: " + f.Hint }
