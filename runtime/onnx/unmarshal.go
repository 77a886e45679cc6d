package onnx

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"unicode/utf8"

	"google.golang.org/protobuf/proto"

	"github.com/dpo-ort/dpo-ort/runtime/onnx/internal/onnxpb"
)

// Limits on what is read. Memory is bounded by the size of the input: nothing is allocated for a size that a file merely
// claims.
const (
	maxNesting = 32  // of graphs in attributes
	maxOpset   = 100 // far above the versions of operators that exist
	maxElems   = math.MaxInt32
)

// Unmarshal reads an ONNX model that holds all its data. It never panics, whatever the bytes. Types and shapes are inferred
// where there is a rule for the operator, and taken as the file declares them elsewhere.
//
// Refused by name are: names that are defined twice or not before their use, sparse and external tensors (see Load),
// functions, and sizes that do not fit their data.
func Unmarshal(data []byte) (*Graph, error) {
	g, err := decodeModel(data, nil)
	if err != nil {
		return nil, fmt.Errorf("read ONNX model: %w", err)
	}
	return g, nil
}

// external reads the bytes of a tensor that lie in another file.
type external func(t *onnxpb.TensorProto) ([]byte, error)

func decodeModel(data []byte, files external) (*Graph, error) {
	model := &onnxpb.ModelProto{}
	if err := (proto.UnmarshalOptions{RecursionLimit: 4 * maxNesting}).Unmarshal(data, model); err != nil {
		return nil, notONNX(err)
	}
	if model.Graph == nil {
		return nil, errors.New("it has no graph")
	}
	if len(model.Functions) > 0 {
		return nil, fmt.Errorf("model-local function %s is not supported", model.Functions[0].GetName())
	}
	r := &reader{opsets: map[string]int64{}, values: map[string]*Value{}, files: files}
	for _, o := range model.OpsetImport {
		domain, version := o.GetDomain(), o.GetVersion()
		if domain == "ai.onnx" {
			domain = ""
		}
		if before, twice := r.opsets[domain]; twice && before != version {
			return nil, fmt.Errorf("it asks for the versions %d and %d of the operators of %q", before, version, domain)
		}
		if version < 1 || version > maxOpset {
			return nil, fmt.Errorf("it asks for version %d of the operators of %q, which does not exist", version, domain)
		}
		r.opsets[domain] = version
	}
	g, err := r.graph(model.Graph)
	if err != nil {
		return nil, err
	}
	g.Meta = decodeMeta(model.MetadataProps)
	return g, nil
}

// notONNX is the error for bytes that are no protobuf. The library's own begins with a space of a kind that differs from build to build.
func notONNX(err error) error {
	return fmt.Errorf("not a protobuf of ONNX: %s", strings.TrimSpace(strings.TrimPrefix(err.Error(), "proto:")))
}

// reader holds the names of one graph, and the graph around it.
type reader struct {
	opsets  map[string]int64
	values  map[string]*Value
	outer   *reader
	nesting int
	files   external
}

func (r *reader) graph(p *onnxpb.GraphProto) (*Graph, error) {
	g := &Graph{Name: p.GetName(), Opsets: r.opsets}
	if !utf8.ValidString(g.Name) {
		return nil, fmt.Errorf("the graph's name %q is not valid UTF-8", g.Name)
	}
	if len(p.SparseInitializer) > 0 {
		return nil, errors.New("sparse initializers are not supported")
	}
	if err := r.initializers(p); err != nil {
		return nil, err
	}
	for _, v := range p.Input {
		if old, ok := r.values[v.GetName()]; ok && old.Const != nil {
			continue // an initializer that is listed as an input, as files before IR version 4 had it
		}
		value, err := decodeValue(v)
		if err == nil {
			err = r.define(value)
		}
		if err != nil {
			return nil, fmt.Errorf("input %w", err)
		}
		g.Inputs = append(g.Inputs, value)
	}
	declared := map[string]*onnxpb.ValueInfoProto{}
	for _, list := range [][]*onnxpb.ValueInfoProto{p.ValueInfo, p.Output} {
		for _, v := range list {
			declared[v.GetName()] = v
		}
	}
	for i, n := range p.Node {
		node, err := r.node(n, declared)
		if err != nil {
			name := n.GetName()
			if name == "" {
				name = fmt.Sprintf("%d (%s)", i, n.GetOpType())
			}
			return nil, fmt.Errorf("node %s: %w", name, err)
		}
		g.Nodes = append(g.Nodes, node)
	}
	for _, o := range p.Output {
		v, ok := r.values[o.GetName()]
		if !ok {
			return nil, fmt.Errorf("output %q is not computed by any node", o.GetName())
		}
		if slices.Contains(g.Outputs, v) {
			return nil, fmt.Errorf("output %q is listed twice", o.GetName())
		}
		g.Outputs = append(g.Outputs, v)
	}
	return g, nil
}

func (r *reader) initializers(p *onnxpb.GraphProto) error {
	for _, t := range p.Initializer {
		c, err := decodeTensor(t, r.files)
		if err != nil {
			return fmt.Errorf("initializer %s: %w", t.GetName(), err)
		}
		v := &Value{Name: t.GetName(), Type: c.Type, Shape: Dims(c.Dims...), Const: c, Elems: constElems(c)}
		if err := r.define(v); err != nil {
			return fmt.Errorf("initializer %w", err)
		}
	}
	return nil
}

func (r *reader) define(v *Value) error {
	if v.Name == "" || !utf8.ValidString(v.Name) {
		return fmt.Errorf("%q: the name is empty, or not valid UTF-8", v.Name)
	}
	if _, twice := r.values[v.Name]; twice {
		return fmt.Errorf("%q: the name is defined twice", v.Name)
	}
	r.values[v.Name] = v
	return nil
}

// lookup finds a value here or in a graph around.
func (r *reader) lookup(name string) (*Value, bool) {
	for ; r != nil; r = r.outer {
		if v, ok := r.values[name]; ok {
			return v, true
		}
	}
	return nil, false
}

func (r *reader) node(p *onnxpb.NodeProto, declared map[string]*onnxpb.ValueInfoProto) (*Node, error) {
	n := &Node{Op: p.GetOpType(), Domain: p.GetDomain(), Name: p.GetName(), Meta: decodeMeta(p.MetadataProps)}
	if n.Domain == "ai.onnx" {
		n.Domain = ""
	}
	switch _, known := r.opsets[n.Domain]; {
	case n.Op == "":
		return nil, errors.New("it names no operator")
	case !known:
		return nil, fmt.Errorf("operator %s is of the domain %q, of which the model asks for no version", n.Op, n.Domain)
	case !utf8.ValidString(n.Op + n.Name):
		return nil, fmt.Errorf("the name %q of operator %q is not valid UTF-8", n.Name, n.Op)
	}
	for _, name := range p.Input {
		if name == "" {
			n.Inputs = append(n.Inputs, nil)
			continue
		}
		v, ok := r.lookup(name)
		if !ok {
			return nil, fmt.Errorf("input %q is not defined before it", name)
		}
		n.Inputs = append(n.Inputs, v)
	}
	for _, name := range p.Output {
		v := &Value{Name: name, Node: n}
		if info, ok := declared[name]; ok {
			of, err := decodeValue(info)
			if err != nil {
				return nil, fmt.Errorf("output %w", err)
			}
			v.Type, v.Shape = of.Type, of.Shape
		}
		n.Outputs = append(n.Outputs, v)
	}
	for _, a := range p.Attribute {
		if _, twice := n.Attrs[a.GetName()]; twice || a.GetName() == "" {
			return nil, fmt.Errorf("an attribute has the name %q, which is empty or another's", a.GetName())
		}
		value, err := r.attr(a)
		if err != nil {
			return nil, fmt.Errorf("attribute %s: %w", a.GetName(), err)
		}
		if n.Attrs == nil {
			n.Attrs = Attrs{}
		}
		n.Attrs[a.GetName()] = value
	}
	if err := r.infer(n); err != nil {
		return nil, err
	}
	for _, v := range n.Outputs {
		if v.Name == "" {
			continue // an output that nobody reads
		}
		if err := r.define(v); err != nil {
			return nil, fmt.Errorf("output %w", err)
		}
	}
	return n, nil
}

// infer sets what the operator's rule says; what it leaves open stays as declared. A Constant becomes a constant.
func (r *reader) infer(n *Node) error {
	if n.Op == "Constant" && n.Domain == "" && len(n.Outputs) == 1 {
		c, err := constantOf(n)
		if err != nil {
			return err
		}
		out := n.Outputs[0]
		out.Type, out.Shape, out.Elems = c.Type, Dims(c.Dims...), constElems(c)
		return nil
	}
	if !HasRule(n.Domain, n.Op) || !r.tensors(n) {
		return nil
	}
	type was struct {
		t DType
		s Shape
	}
	declared := make([]was, len(n.Outputs))
	for i, o := range n.Outputs {
		declared[i] = was{o.Type, o.Shape}
		o.Type, o.Shape = Undefined, nil
	}
	if err := Infer(n, r.opsets[n.Domain]); err != nil {
		return err
	}
	for i, o := range n.Outputs {
		if o.Type == Undefined {
			o.Type = declared[i].t
		}
		if o.Type != declared[i].t && declared[i].t != Undefined {
			return fmt.Errorf("output %q is declared as %s, and computed as %s", o.Name, declared[i].t, o.Type)
		}
		if contradict(o.Shape, declared[i].s) {
			return fmt.Errorf("output %q is declared with the shape %s, and computed with %s", o.Name, declared[i].s, o.Shape)
		}
		o.Shape = known(o.Shape, declared[i].s)
	}
	return nil
}

// contradict reports whether two shapes cannot be the same.
func contradict(a, b Shape) bool {
	if a == nil || b == nil {
		return false
	}
	if len(a) != len(b) {
		return true
	}
	for i := range a {
		x, xFixed := a[i].Const()
		y, yFixed := b[i].Const()
		if xFixed && yFixed && x != y {
			return true
		}
	}
	return false
}

// known takes from the declared shape what could not be inferred: how large an Expand's target is, say.
func known(inferred, declared Shape) Shape {
	if inferred == nil || len(declared) != len(inferred) {
		if inferred == nil {
			return declared
		}
		return inferred
	}
	out := make(Shape, len(inferred))
	for i, d := range inferred {
		if out[i] = d; d.Unknown() {
			out[i] = declared[i]
		}
	}
	return out
}

// tensors reports whether all inputs are tensors: rules know of no sequences or maps.
func (r *reader) tensors(n *Node) bool {
	for _, v := range n.Inputs {
		if v != nil && v.Type == Undefined {
			return false
		}
	}
	return true
}

// ConstantOf is the tensor that a Constant node holds; nil where it holds none.
func ConstantOf(n *Node) *Tensor {
	t, err := constantOf(n)
	if err != nil {
		return nil
	}
	return t
}

// constantOf is the tensor of a Constant node, in whichever attribute it lies.
func constantOf(n *Node) (*Tensor, error) {
	if len(n.Attrs) > 1 {
		return nil, fmt.Errorf("a Constant has %d attributes, of which one is needed", len(n.Attrs))
	}
	for name, value := range n.Attrs {
		switch v := value.(type) {
		case *Tensor:
			return v, nil
		case int64:
			return IntTensor([]int64{v}, []int64{}...).scalar(), nil
		case []int64:
			return IntTensor(v), nil
		case float32:
			t, err := FloatTensor(Float32, []float64{float64(v)})
			return t.scalar(), err
		case []float32:
			wide := make([]float64, len(v))
			for i, x := range v {
				wide[i] = float64(x)
			}
			return FloatTensor(Float32, wide)
		case string:
			return &Tensor{Type: String, Dims: []int64{}, Strings: []string{v}}, nil
		case []string:
			return &Tensor{Type: String, Dims: []int64{int64(len(v))}, Strings: v}, nil
		default:
			return nil, fmt.Errorf("attribute %s of a Constant is a %T", name, value)
		}
	}
	return nil, errors.New("a Constant without a value")
}

func (t *Tensor) scalar() *Tensor {
	t.Dims = []int64{}
	return t
}

func (r *reader) attr(a *onnxpb.AttributeProto) (any, error) {
	if a.GetRefAttrName() != "" {
		return nil, fmt.Errorf("refers to a function's %s", a.GetRefAttrName())
	}
	if err := oneValue(a); err != nil {
		return nil, err
	}
	switch a.GetType() {
	case onnxpb.AttributeProto_INT:
		return a.GetI(), nil
	case onnxpb.AttributeProto_FLOAT:
		return a.GetF(), nil
	case onnxpb.AttributeProto_STRING:
		return string(a.GetS()), nil
	case onnxpb.AttributeProto_INTS:
		return append([]int64{}, a.GetInts()...), nil
	case onnxpb.AttributeProto_FLOATS:
		return append([]float32{}, a.GetFloats()...), nil
	case onnxpb.AttributeProto_STRINGS:
		out := make([]string, len(a.GetStrings()))
		for i, s := range a.GetStrings() {
			out[i] = string(s)
		}
		return out, nil
	case onnxpb.AttributeProto_TENSOR:
		if a.T == nil {
			return nil, errors.New("holds no tensor")
		}
		return decodeTensor(a.T, r.files)
	case onnxpb.AttributeProto_GRAPH:
		if a.G == nil {
			return nil, errors.New("holds no graph")
		}
		if r.nesting == maxNesting {
			return nil, fmt.Errorf("graphs are nested more than %d deep", maxNesting)
		}
		inner := &reader{opsets: r.opsets, values: map[string]*Value{}, outer: r, nesting: r.nesting + 1, files: r.files}
		return inner.graph(a.G)
	}
	return nil, fmt.Errorf("type %s is not supported", a.GetType())
}

// oneValue refuses an attribute that holds a value of another type than it says.
func oneValue(a *onnxpb.AttributeProto) error {
	type typ = onnxpb.AttributeProto_AttributeType
	for t, there := range map[typ]bool{onnxpb.AttributeProto_INT: a.I != nil, onnxpb.AttributeProto_FLOAT: a.F != nil, onnxpb.AttributeProto_STRING: len(a.S) > 0,
		onnxpb.AttributeProto_TENSOR: a.T != nil, onnxpb.AttributeProto_GRAPH: a.G != nil, onnxpb.AttributeProto_INTS: len(a.Ints) > 0,
		onnxpb.AttributeProto_FLOATS: len(a.Floats) > 0, onnxpb.AttributeProto_STRINGS: len(a.Strings) > 0} {
		// Some writers set the single number besides, to 0.
		if there && t != a.GetType() && (t != onnxpb.AttributeProto_INT || a.GetI() != 0) && (t != onnxpb.AttributeProto_FLOAT || a.GetF() != 0) {
			return fmt.Errorf("it says that it is %s, and holds %s", a.GetType(), t)
		}
	}
	return nil
}

func decodeMeta(list []*onnxpb.StringStringEntryProto) map[string]string {
	if len(list) == 0 {
		return nil
	}
	out := make(map[string]string, len(list))
	for _, e := range list {
		out[e.GetKey()] = e.GetValue()
	}
	return out
}

// newestType is the last of the element types that ONNX has given a number.
const newestType = 26

// decodeValue reads a declared type; what is no tensor stays Undefined. Its errors begin with the name.
func decodeValue(p *onnxpb.ValueInfoProto) (*Value, error) {
	v := &Value{Name: p.GetName()}
	tensor := p.GetType().GetTensorType()
	if tensor == nil {
		return v, nil
	}
	if v.Type = DType(tensor.GetElemType()); v.Type < 0 || v.Type > newestType {
		return nil, fmt.Errorf("%q is of element type %d, which ONNX does not have", v.Name, v.Type)
	}
	if tensor.Shape == nil || len(tensor.Shape.Dim) > maxRank {
		return v, nil
	}
	v.Shape = Shape{}
	fixed := int64(1)
	for i, d := range tensor.Shape.Dim {
		switch {
		case d.GetDimParam() != "":
			v.Shape = append(v.Shape, ParseDim(d.GetDimParam()))
		case d.Value == nil || d.GetDimValue() < 0:
			v.Shape = append(v.Shape, Sym(fmt.Sprintf("?%s.%d", strings.NewReplacer("+", "_", "-", "_", "*", "_", " ", "_").Replace(v.Name), i)))
		default:
			if n := d.GetDimValue(); n > 0 && fixed > math.MaxInt64/16/n {
				return nil, fmt.Errorf("%q has more elements than can be counted", v.Name)
			}
			fixed *= max(d.GetDimValue(), 1)
			v.Shape = append(v.Shape, Const(d.GetDimValue()))
		}
	}
	return v, nil
}
