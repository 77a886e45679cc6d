package main

import (
	"fmt"
	"strconv"
)

// optional is a number that a flag gives, or nothing.
type optional struct{ to **float64 }

// String is "" for nothing.
func (o optional) String() string {
	if o.to == nil || *o.to == nil {
		return ""
	}
	return fmt.Sprint(**o.to)
}

// Set reads what String writes.
func (o optional) Set(text string) error {
	if text == "" {
		*o.to = nil
		return nil
	}
	v, err := strconv.ParseFloat(text, 64)
	*o.to = &v
	return err
}

// Type names the kind of flag in the help.
func (o optional) Type() string { return "float" }
