package onnx

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Operators that move elements without computing.
func init() {
	register(2, reshape, "Reshape")
	register(1, transpose, "Transpose")
	register(1, concat, "Concat")
	register(1, split, "Split")
	register(1, slice, "Slice")
	register(2, expand, "Expand")
	register(1, squeeze, "Squeeze")
	register(1, unsqueeze, "Unsqueeze")
	register(1, flatten, "Flatten")
	register(2, tile, "Tile")
	register(1, pad, "Pad")
	register(1, shapeOf, "Shape")
	register(1, sizeOf, "Size")
}

// unknown is a dimension that only the run will tell: a symbol of its own.
func unknown(n *Node, output, axis int) Dim {
	name := strings.NewReplacer("+", "_", "-", "_", "*", "_", " ", "_").Replace(n.Outputs[output].Name)
	return Sym(fmt.Sprintf("?%s.%d", name, axis))
}

func unknowns(n *Node, output, rank int) Shape {
	s := make(Shape, rank)
	for i := range s {
		s[i] = unknown(n, output, i)
	}
	return s
}

// ints gives the integers of an input or, in old opsets, of the attribute that came before it. found is false where
// they are not known, and absent where there is neither.
func ints(n *Node, input int, attr string) (values []int64, found, absent bool) {
	if v := n.Input(input); v != nil {
		values, ok := constants(v.Elems)
		return values, ok && v.Elems != nil, false
	}
	values, found = n.Attrs[attr].([]int64)
	return values, found, !found
}

func constants(elems []Dim) ([]int64, bool) {
	out := make([]int64, len(elems))
	for i, e := range elems {
		n, ok := e.Const()
		if !ok {
			return nil, false
		}
		out[i] = n
	}
	return out, true
}

// axes resolves negative axes and sorts them.
func axes(values []int64, rank int) ([]int, error) {
	var out []int
	for _, a := range values {
		i, err := axis(a, rank)
		if err != nil {
			return nil, err
		}
		if slices.Contains(out, i) {
			return nil, fmt.Errorf("axis %d is given twice", i)
		}
		out = append(out, i)
	}
	slices.Sort(out)
	return out, nil
}

func reshape(n *Node, _ int64) error {
	x, target, out := n.Inputs[0], n.Inputs[1], n.Outputs[0]
	out.Type = x.Type
	if target.Elems == nil {
		if rank, ok := vectorLength(target); ok {
			out.Shape = unknowns(n, 0, rank)
		}
		return nil
	}
	out.Shape = make(Shape, len(target.Elems))
	infer := -1
	for i, d := range target.Elems {
		switch {
		case d.Is(-1):
			if infer >= 0 {
				return errors.New("two dimensions of the target are -1")
			}
			infer = i
		case d.Is(0) && n.Int("allowzero", 0) == 0:
			if x.Shape == nil {
				out.Shape[i] = unknown(n, 0, i)
				continue
			}
			if i >= len(x.Shape) {
				return fmt.Errorf("dimension %d of the target copies one that %s lacks", i, x.Shape)
			}
			out.Shape[i] = x.Shape[i]
		default:
			out.Shape[i] = d
		}
	}
	if x.Shape == nil {
		if infer >= 0 {
			out.Shape[infer] = unknown(n, 0, infer)
		}
		return nil
	}
	if err := fillReshape(n, x.Shape, infer); err != nil {
		return err
	}
	if len(out.Shape) <= 1 {
		out.Elems = x.Elems
	}
	return nil
}

// fillReshape computes the dimension that is left open, after cancelling those that both shapes have.
func fillReshape(n *Node, from Shape, infer int) error {
	to := n.Outputs[0].Shape
	rest, others := slices.Clone(from), Const(1)
	for i, d := range to {
		if i == infer {
			continue
		}
		if at := slices.IndexFunc(rest, d.Equal); at >= 0 && !d.Is(0) {
			rest = slices.Delete(rest, at, at+1)
		} else {
			others = others.Mul(d)
		}
	}
	size := rest.Size()
	if infer < 0 {
		a, okA := size.Const()
		b, okB := others.Const()
		if okA && okB && a != b {
			return fmt.Errorf("%s has not as many elements as the target %s", from, to)
		}
		return nil
	}
	if open, ok := size.Div(others); ok {
		to[infer] = open
		return nil
	}
	_, okA := size.Const()
	_, okB := others.Const()
	if okA && okB {
		return fmt.Errorf("%s does not divide into the target (%s into parts of %s)", from, size, others)
	}
	to[infer] = unknown(n, 0, infer)
	return nil
}

// vectorLength is how many elements a vector has, where that is known.
func vectorLength(v *Value) (int, bool) {
	if len(v.Shape) != 1 {
		return 0, false
	}
	n, ok := v.Shape[0].Const()
	return int(n), ok && n >= 0 && n <= maxRank
}

// maxRank bounds the ranks that are read from a file.
const maxRank = 64

func transpose(n *Node, _ int64) error {
	x, out := n.Inputs[0], n.Outputs[0]
	out.Type = x.Type
	if x.Shape == nil {
		return nil
	}
	perm := n.IntList("perm")
	if perm == nil {
		for i := range x.Shape {
			perm = append(perm, int64(len(x.Shape)-1-i))
		}
	}
	to, err := axes(perm, len(x.Shape))
	if err != nil || len(to) != len(x.Shape) {
		return fmt.Errorf("perm %v is no permutation of the axes of %s", perm, x.Shape)
	}
	out.Shape = make(Shape, len(perm))
	for i, p := range perm {
		out.Shape[i] = x.Shape[(p+int64(len(perm)))%int64(len(perm))]
	}
	return nil
}

func concat(n *Node, _ int64) error {
	out := n.Outputs[0]
	out.Type = n.Inputs[0].Type
	if slices.Contains(n.Inputs, nil) {
		return errors.New("an input is missing")
	}
	if slices.ContainsFunc(n.Inputs, func(v *Value) bool { return v.Shape == nil }) {
		return nil
	}
	first := n.Inputs[0].Shape
	at, err := axis(n.Int("axis", 0), len(first))
	if err != nil {
		return err
	}
	out.Shape = slices.Clone(first)
	out.Elems = slices.Clone(n.Inputs[0].Elems)
	for _, v := range n.Inputs[1:] {
		if len(v.Shape) != len(first) || v.Type != out.Type {
			return fmt.Errorf("%s%s and %s%s do not join", out.Type, first, v.Type, v.Shape)
		}
		for i, d := range v.Shape {
			switch {
			case i == at:
				out.Shape[i] = out.Shape[i].Add(d)
			case differ(d, out.Shape[i]):
				return fmt.Errorf("%s and %s differ beside axis %d", first, v.Shape, at)
			case fixed(d):
				out.Shape[i] = d
			}
		}
		if out.Elems != nil && v.Elems != nil {
			out.Elems = append(out.Elems, v.Elems...)
		} else {
			out.Elems = nil
		}
	}
	if n.Inputs[0].Elems == nil {
		out.Elems = nil
	}
	return nil
}

func fixed(d Dim) bool {
	_, ok := d.Const()
	return ok
}

// differ reports two fixed sizes that are not the same.
func differ(a, b Dim) bool { return fixed(a) && fixed(b) && !a.Equal(b) }

func split(n *Node, _ int64) error {
	x := n.Inputs[0]
	for _, o := range n.Outputs {
		o.Type = x.Type
	}
	if x.Shape == nil {
		return nil
	}
	at, err := axis(n.Int("axis", 0), len(x.Shape))
	if err != nil {
		return err
	}
	var sizes []Dim
	if v := n.Input(1); v != nil {
		sizes = v.Elems
	} else if list := n.IntList("split"); list != nil {
		sizes = Dims(list...)
	} else {
		sizes = evenly(x.Shape[at], int64(len(n.Outputs)))
	}
	if sizes != nil && len(sizes) != len(n.Outputs) {
		return fmt.Errorf("%d sizes for %d outputs", len(sizes), len(n.Outputs))
	}
	for i, o := range n.Outputs {
		o.Shape = slices.Clone(x.Shape)
		if sizes != nil {
			o.Shape[at] = sizes[i]
		} else {
			o.Shape[at] = unknown(n, i, at)
		}
	}
	return nil
}

// evenly cuts d into parts of one size, but for the last, which may be smaller; nil where that cannot be told.
func evenly(d Dim, parts int64) []Dim {
	out := make([]Dim, parts)
	if part, ok := d.Div(Const(parts)); ok {
		for i := range out {
			out[i] = part
		}
		return out
	}
	total, ok := d.Const()
	if !ok {
		return nil
	}
	part := (total + parts - 1) / parts
	for i := range out {
		out[i] = Const(max(0, min(part, total-int64(i)*part)))
	}
	return out
}

func slice(n *Node, _ int64) error {
	x, out := n.Inputs[0], n.Outputs[0]
	out.Type = x.Type
	if x.Shape == nil {
		return nil
	}
	starts, ends := bounds(n, 1, "starts"), bounds(n, 2, "ends")
	at, found, absent := ints(n, 3, "axes")
	out.Shape = unknowns(n, 0, len(x.Shape))
	if !found && (!absent || starts == nil || ends == nil) {
		return nil
	}
	if absent {
		for i := range starts {
			at = append(at, int64(i))
		}
	}
	steps, found, absent := ints(n, 4, "")
	if !found && !absent {
		steps = nil
	}
	out.Shape = slices.Clone(x.Shape)
	for i, a := range at {
		k, err := axis(a, len(x.Shape))
		if err != nil {
			return err
		}
		step := int64(1)
		if n.Input(4) != nil {
			step = 0
			if i < len(steps) {
				step = steps[i]
			}
		}
		size, ok := Dim{}, false
		if i < len(starts) && i < len(ends) {
			size, ok = sliced(x.Shape[k], starts[i], ends[i], step)
		}
		if !ok {
			size = unknown(n, 0, k)
		}
		out.Shape[k] = size
		if ok && len(x.Shape) == 1 && x.Elems != nil && step == 1 && len(at) == 1 {
			out.Elems = slicedElems(x.Elems, starts[i], size)
		}
	}
	return nil
}

// bounds are a slice's starts or ends as sizes.
func bounds(n *Node, input int, attr string) []Dim {
	if v := n.Input(input); v != nil {
		return v.Elems
	}
	return Dims(n.IntList(attr)...)
}

func slicedElems(elems []Dim, start, size Dim) []Dim {
	s, ok1 := start.Const()
	n, ok2 := size.Const()
	if s < 0 {
		s = max(s+int64(len(elems)), 0)
	}
	if !ok1 || !ok2 || s < 0 || s+n > int64(len(elems)) {
		return nil
	}
	return elems[s : s+n]
}

// sliced is how many elements of d a slice takes. Where sizes are symbols, the slice is taken to lie inside.
func sliced(d, start, end Dim, step int64) (Dim, bool) {
	const far = 1 << 31 // what exporters write for "to the end"
	s, startFixed := start.Const()
	e, endFixed := end.Const()
	total, dFixed := d.Const()
	if dFixed && startFixed && endFixed && step != 0 {
		return Const(countSteps(total, s, e, step)), true
	}
	if step != 1 {
		return Dim{}, false
	}
	if start.negative() {
		start = d.Add(start)
	}
	switch {
	case endFixed && e >= far-1:
		end = d
	case endFixed && e < 0:
		end = d.Add(end)
	case endFixed && startFixed && s >= 0 && s <= e && e <= d.least():
		return Const(e - s), true
	case endFixed && startFixed && s >= 0 && !dFixed:
		return Dim{}, false // d may be smaller
	}
	return end.Sub(start), true
}

// countSteps counts the indices of Python's range over a clamped slice.
func countSteps(total, start, end, step int64) int64 {
	clamp := func(i, low, high int64) int64 {
		if i < 0 {
			i += total
		}
		return min(max(i, low), high)
	}
	if step > 0 {
		start, end = clamp(start, 0, total), clamp(end, 0, total)
		return max(0, (end-start+step-1)/step)
	}
	start, end = clamp(start, 0, total-1), clamp(end, -1, total-1)
	return max(0, (start-end-step-1)/-step)
}

func expand(n *Node, _ int64) error {
	x, target, out := n.Inputs[0], n.Inputs[1], n.Outputs[0]
	out.Type = x.Type
	if target.Elems != nil {
		s, err := Broadcast(x.Shape, target.Elems)
		out.Shape = s
		return err
	}
	if rank, ok := vectorLength(target); ok && x.Shape != nil {
		out.Shape = unknowns(n, 0, max(rank, len(x.Shape)))
	}
	return nil
}

func squeeze(n *Node, _ int64) error {
	x, out := n.Inputs[0], n.Outputs[0]
	out.Type = x.Type
	if x.Shape == nil {
		return nil
	}
	values, found, absent := ints(n, 1, "axes")
	if !found && !absent {
		return nil
	}
	at, err := axes(values, len(x.Shape))
	if err != nil {
		return err
	}
	out.Shape = Shape{}
	for i, d := range x.Shape {
		drop := slices.Contains(at, i) || absent && d.Is(1)
		if drop && fixed(d) && !d.Is(1) {
			return fmt.Errorf("axis %d has size %s, not 1", i, d)
		}
		if !drop {
			out.Shape = append(out.Shape, d)
		}
	}
	if len(out.Shape) <= 1 {
		out.Elems = x.Elems
	}
	return nil
}

func unsqueeze(n *Node, _ int64) error {
	x, out := n.Inputs[0], n.Outputs[0]
	out.Type = x.Type
	values, found, _ := ints(n, 1, "axes")
	if x.Shape == nil || !found {
		return nil
	}
	rank := len(x.Shape) + len(values)
	at, err := axes(values, rank)
	if err != nil {
		return err
	}
	out.Shape = Shape{}
	next := 0
	for i := range rank {
		if slices.Contains(at, i) {
			out.Shape = append(out.Shape, Const(1))
		} else {
			out.Shape = append(out.Shape, x.Shape[next])
			next++
		}
	}
	if rank == 1 {
		out.Elems = x.Elems
	}
	return nil
}

func flatten(n *Node, _ int64) error {
	x, out := n.Inputs[0], n.Outputs[0]
	out.Type = x.Type
	if x.Shape == nil {
		return nil
	}
	at := n.Int("axis", 1)
	if at < 0 {
		at += int64(len(x.Shape))
	}
	if at < 0 || at > int64(len(x.Shape)) {
		return fmt.Errorf("axis %d outside a shape of rank %d", at, len(x.Shape))
	}
	out.Shape = Shape{x.Shape[:at].Size(), x.Shape[at:].Size()}
	return nil
}

func tile(n *Node, _ int64) error {
	x, times, out := n.Inputs[0], n.Inputs[1], n.Outputs[0]
	out.Type = x.Type
	if x.Shape == nil {
		return nil
	}
	if times.Elems == nil {
		out.Shape = unknowns(n, 0, len(x.Shape))
		return nil
	}
	if len(times.Elems) != len(x.Shape) {
		return fmt.Errorf("%d repeats for %d dimensions", len(times.Elems), len(x.Shape))
	}
	out.Shape = slices.Clone(x.Shape)
	for i, by := range times.Elems {
		out.Shape[i] = x.Shape[i].Mul(by)
	}
	return nil
}

func pad(n *Node, _ int64) error {
	x, out := n.Inputs[0], n.Outputs[0]
	out.Type = x.Type
	if x.Shape == nil {
		return nil
	}
	pads := bounds(n, 1, "pads")
	at, found, absent := ints(n, 3, "")
	if absent {
		for i := range x.Shape {
			at = append(at, int64(i))
		}
	}
	if pads == nil || !found && !absent {
		out.Shape = unknowns(n, 0, len(x.Shape))
		return nil
	}
	if len(pads) != 2*len(at) {
		return fmt.Errorf("%d pads for %d axes", len(pads), len(at))
	}
	out.Shape = slices.Clone(x.Shape)
	for i, a := range at {
		k, err := axis(a, len(x.Shape))
		if err != nil {
			return err
		}
		out.Shape[k] = out.Shape[k].Add(pads[i]).Add(pads[len(at)+i])
	}
	return nil
}

func shapeOf(n *Node, _ int64) error {
	x, out := n.Inputs[0], n.Outputs[0]
	out.Type = Int64
	if x.Shape == nil {
		return nil
	}
	rank := int64(len(x.Shape))
	clamp := func(i int64) int64 {
		if i < 0 {
			i += rank
		}
		return min(max(i, 0), rank)
	}
	first, last := clamp(n.Int("start", 0)), clamp(n.Int("end", rank))
	elems := x.Shape[first:max(first, last)]
	out.Elems, out.Shape = slices.Clone([]Dim(elems)), Dims(int64(len(elems)))
	if out.Elems == nil {
		out.Elems = []Dim{}
	}
	return nil
}

func sizeOf(n *Node, _ int64) error {
	n.Outputs[0].Type, n.Outputs[0].Shape = Int64, Shape{}
	if x := n.Inputs[0]; x.Shape != nil {
		n.Outputs[0].Elems = []Dim{x.Shape.Size()}
	}
	return nil
}
