package exported

import (
	"fmt"
	"slices"
	"strings"

	"github.com/dpo-ort/dpo-ort/runtime/onnx"
)

// Role is what an input or output was found to be.
type Role struct {
	Name, Is string
	Value    string // its type and shape
}

// String is a line for people.
func (r Role) String() string { return fmt.Sprintf("%s %s: %s", r.Name, r.Value, r.Is) }

// past and present name what an input or output for a cache is.
const (
	isPast   = "keys and values of the tokens before: taken to be none"
	isLeft   = "left aside"
	isLogits = "logits of the next token"
)

// roles finds out what the inputs and outputs are, and gives the output of logits, and the shapes that the inputs have in training. Inputs
// are known by what they are called, and one alone by its type.
func (m *Model) roles() (logits *onnx.Value, shapes map[string]onnx.Shape, err error) {
	shapes = map[string]onnx.Shape{}
	var unknown []string
	given := map[string]*onnx.Value{}
	for _, in := range m.file.Inputs {
		is := roleOf(in)
		if is == "" && len(m.file.Inputs) == 1 && isWhole(in.Type) {
			is = IDs
		}
		m.Roles = append(m.Roles, Role{in.Name, is, fmt.Sprint(in.Type, in.Shape)})
		switch is {
		case "":
			unknown = append(unknown, fmt.Sprintf("%s (%s%s)", in.Name, in.Type, in.Shape))
			continue
		case isPast:
			shapes[in.Name] = emptied(in.Shape)
			continue
		}
		if before := given[is]; before != nil {
			return nil, nil, fmt.Errorf("inputs %s and %s are both taken for %s: rename one, or export with one", before.Name, in.Name, is)
		}
		given[is] = in
		if shapes[in.Name], err = free(in); err != nil {
			return nil, nil, err
		}
	}
	switch {
	case unknown != nil:
		return nil, nil, fmt.Errorf("input %s is neither token ids (input_ids), mask (attention_mask), positions (position_ids) nor past: export without it%s",
			strings.Join(unknown, ", "), merged(unknown))
	case given[IDs] == nil:
		return nil, nil, fmt.Errorf("it has no input of token ids: its inputs are %s; call it input_ids", named(m.file.Inputs))
	}
	logits, err = m.logits()
	return logits, shapes, err
}

// merged explains the input that Optimum's merged decoders choose their branch by.
func merged(unknown []string) string {
	if slices.ContainsFunc(unknown, func(u string) bool { return strings.HasPrefix(u, "use_cache_branch") }) {
		return " (use_cache_branch is of an older Optimum's merged decoder: export again, by a current one)"
	}
	return ""
}

func roleOf(in *onnx.Value) string {
	name := strings.ToLower(in.Name)
	has := func(parts ...string) bool {
		return slices.ContainsFunc(parts, func(p string) bool { return strings.Contains(name, p) })
	}
	switch {
	case has("past") && in.Type.IsFloat() && len(in.Shape) >= 4:
		return isPast
	case has("position") && isWhole(in.Type):
		return Positions
	case has("mask") && len(in.Shape) == 2:
		return Mask
	case (has("input_ids", "token_ids", "tokens") || name == "ids" || name == "input" || name == "x") && isWhole(in.Type):
		return IDs
	}
	return ""
}

func isWhole(t onnx.DType) bool { return t == onnx.Int64 || t == onnx.Int32 }

// free is the shape [N,S] of an input whose declared shape leaves both open.
func free(in *onnx.Value) (onnx.Shape, error) {
	if len(in.Shape) != 2 {
		return nil, fmt.Errorf("input %s has the shape %s: [batch, tokens] is needed", in.Name, in.Shape)
	}
	for i, what := range []string{"sequences", "tokens"} {
		if n, fixed := in.Shape[i].Const(); fixed {
			return nil, fmt.Errorf("input %s has the shape %s, of always %d %s: export with both axes dynamic", in.Name, in.Shape, n, what)
		}
	}
	return onnx.Shape{onnx.Sym("N"), onnx.Sym("S")}, nil
}

// emptied is the shape of a cache that holds nothing: of a declared one, whose first open size is the batch and the other the tokens.
func emptied(declared onnx.Shape) onnx.Shape {
	s := slices.Clone(declared)
	open := 0
	for i, d := range s {
		if _, fixed := d.Const(); fixed {
			continue
		}
		if s[i] = onnx.Const(0); open == 0 {
			s[i] = onnx.Sym("N")
		}
		open++
	}
	return s
}

// logits finds the output [batch,tokens,vocabulary].
func (m *Model) logits() (*onnx.Value, error) {
	var found []*onnx.Value
	for _, out := range m.file.Outputs {
		if out.Type.IsFloat() && len(out.Shape) == 3 && (strings.Contains(out.Name, "logits") || len(m.file.Outputs) == 1) {
			found = append(found, out)
		}
	}
	for _, out := range m.file.Outputs {
		is := isLeft
		if len(found) == 1 && out == found[0] {
			is = isLogits
		}
		m.Roles = append(m.Roles, Role{out.Name, is, fmt.Sprint(out.Type, out.Shape)})
	}
	if len(found) != 1 {
		return nil, fmt.Errorf("it has no one output of logits [batch,tokens,vocabulary]: its outputs are %s; call it logits", named(m.file.Outputs))
	}
	if found[0].Type != onnx.Float32 {
		return nil, fmt.Errorf("output %s is %s: a model is trained in float32; export it so", found[0].Name, found[0].Type)
	}
	return found[0], nil
}

func named(values []*onnx.Value) string {
	var names []string
	for _, v := range values {
		names = append(names, fmt.Sprintf("%s (%s%s)", v.Name, v.Type, v.Shape))
	}
	return strings.Join(names, ", ")
}

// idsInput is what the file calls the token ids.
func (m *Model) idsInput() string {
	return m.Roles[slices.IndexFunc(m.Roles, func(r Role) bool { return r.Is == IDs })].Name
}
