package ctf

import "strings"

// Limits of what metadata may ask for. LTTng's own stays orders of magnitude below.
const (
	maxNesting = 32      // types within types
	maxNodes   = 1 << 20 // fields, mappings and copies of named types, in all
	maxArray   = 1 << 32 // elements of a constant-size array
)

// parser turns TSDL text into a Metadata, by recursive descent with one token of
// look-ahead. References to clocks, byte orders and fields are resolved afterwards:
// LTTng writes events before the stream they belong to, and aliases before the
// trace's byte order.
type parser struct {
	lex   lexer
	tok   token
	depth int
	nodes int
	md    *Metadata

	integers []*Integer // every one made, to settle byte order and clock at the end
	floats   []*Float
	events   []*EventClass
}

// scope holds the type names declared in one block; the parent's are visible too.
type scope struct {
	parent *scope
	names  map[string]Type // "uint8_t", "struct x", "variant y", "enum z"
}

func (s *scope) lookup(name string) Type {
	for ; s != nil; s = s.parent {
		if t, ok := s.names[name]; ok {
			return t
		}
	}
	return nil
}

func (s *scope) declare(name string, t Type) {
	if s.names == nil {
		s.names = make(map[string]Type)
	}
	s.names[name] = t
}

func (p *parser) errorf(format string, args ...any) error {
	return p.lex.errorf(p.tok.pos, format, args...)
}

func (p *parser) advance() error {
	t, err := p.lex.next()
	p.tok = t
	return err
}

func (p *parser) expect(s string) error {
	if !p.tok.is(s) {
		return p.errorf("%s where '%s' is needed", p.tok, s)
	}
	return p.advance()
}

// accept steps over the token s and tells whether it was there.
func (p *parser) accept(s string) (bool, error) {
	if !p.tok.is(s) {
		return false, nil
	}
	return true, p.advance()
}

func (p *parser) ident() (string, error) {
	if p.tok.kind != tokIdent {
		return "", p.errorf("%s where a name is needed", p.tok)
	}
	name := p.tok.text
	return name, p.advance()
}

// node counts one more piece of the description against the limit.
func (p *parser) node(n int) error {
	p.nodes += n
	if p.nodes > maxNodes {
		return p.errorf("description too large: more than %d fields", maxNodes)
	}
	return nil
}

func (p *parser) enter() error {
	p.depth++
	if p.depth > maxNesting {
		return p.errorf("types nested deeper than %d", maxNesting)
	}
	return nil
}

func (p *parser) leave() { p.depth-- }

// path reads a dotted name.
func (p *parser) path() ([]string, error) {
	var path []string
	for {
		name, err := p.ident()
		if err != nil {
			return nil, err
		}
		path = append(path, name)
		if len(path) > maxNesting {
			return nil, p.errorf("reference longer than %d names", maxNesting)
		}
		if ok, err := p.accept("."); err != nil || !ok {
			return path, err
		}
	}
}

// value is the right side of an assignment.
type value struct {
	text  string // identifier path or string
	num   uint64 // an int64's bits where neg
	isNum bool
	neg   bool
}

func (p *parser) value() (value, error) {
	switch p.tok.kind {
	case tokString:
		v := value{text: p.tok.text}
		return v, p.advance()
	case tokIdent:
		path, err := p.path()
		return value{text: strings.Join(path, ".")}, err
	}
	neg := false
	for p.tok.is("-") || p.tok.is("+") {
		neg = neg != p.tok.is("-")
		if err := p.advance(); err != nil {
			return value{}, err
		}
	}
	if p.tok.kind != tokInt {
		return value{}, p.errorf("%s where a value is needed", p.tok)
	}
	v := value{num: p.tok.num, isNum: true, neg: neg && p.tok.num != 0}
	if v.neg {
		if v.num > 1<<63 {
			return value{}, p.errorf("integer below the 64-bit range")
		}
		v.num = -v.num
	}
	return v, p.advance()
}

// unsigned reads a value that must be an integer of at least zero.
func (p *parser) unsigned() (uint64, error) {
	v, err := p.value()
	if err != nil {
		return 0, err
	}
	if !v.isNum || v.neg {
		return 0, p.errorf("an unsigned integer is needed")
	}
	return v.num, nil
}

// typeDeclaration reads typealias, typedef and bare "struct x {...};" and friends,
// wherever they may stand. It tells whether there was one.
func (p *parser) typeDeclaration(sc *scope) (bool, error) {
	switch {
	case p.tok.is("typealias"):
		return true, p.typealias(sc)
	case p.tok.is("typedef"):
		return true, p.typedef(sc)
	}
	return false, nil
}

func (p *parser) typealias(sc *scope) error {
	if err := p.advance(); err != nil {
		return err
	}
	t, words, err := p.typeSpec(sc)
	if err != nil {
		return err
	}
	if t == nil {
		if t, err = p.named(sc, strings.Join(words, " ")); err != nil {
			return err
		}
	}
	if err := p.expect(":="); err != nil {
		return err
	}
	words, err = p.words()
	if err != nil {
		return err
	}
	if len(words) == 0 {
		return p.errorf("%s where the alias's name is needed", p.tok)
	}
	sc.declare(strings.Join(words, " "), t)
	return p.expect(";")
}

func (p *parser) typedef(sc *scope) error {
	if err := p.advance(); err != nil {
		return err
	}
	fields, err := p.declarators(sc, nil)
	if err != nil {
		return err
	}
	for _, f := range fields {
		sc.declare(f.Name, f.Type)
	}
	return nil
}

func (p *parser) words() ([]string, error) {
	var words []string
	for p.tok.kind == tokIdent {
		words = append(words, p.tok.text)
		if len(words) > maxNesting {
			return nil, p.errorf("type name of more than %d words", maxNesting)
		}
		if err := p.advance(); err != nil {
			return nil, err
		}
	}
	return words, nil
}

// typeSpec reads a type. Where it begins with no keyword it returns the words that
// stand there: the type's name and, in a field's declaration, the field's.
func (p *parser) typeSpec(sc *scope) (Type, []string, error) {
	if err := p.enter(); err != nil {
		return nil, nil, err
	}
	defer p.leave()
	if p.tok.kind != tokIdent {
		return nil, nil, p.errorf("%s where a type is needed", p.tok)
	}
	var read func(*scope) (Type, error)
	switch p.tok.text {
	case "struct":
		read = p.structType
	case "variant":
		read = p.variantType
	case "enum":
		read = p.enumType
	case "integer":
		read = p.integerType
	case "floating_point":
		read = p.floatType
	case "string":
		read = p.stringType
	default:
		words, err := p.words()
		return nil, words, err
	}
	if err := p.advance(); err != nil {
		return nil, nil, err
	}
	t, err := read(sc)
	return t, nil, err
}

// fullType reads a type that is followed by no name.
func (p *parser) fullType(sc *scope) (Type, error) {
	t, words, err := p.typeSpec(sc)
	if err != nil || t != nil {
		return t, err
	}
	return p.named(sc, strings.Join(words, " "))
}

// named returns the type with that name. Compound types are copied, so that each
// use has its own fields: what refers to them differs from use to use.
func (p *parser) named(sc *scope, name string) (Type, error) {
	t := sc.lookup(name)
	if t == nil {
		return nil, p.errorf("unknown type '%.80s'", name)
	}
	return p.clone(t, 0)
}

func (p *parser) clone(t Type, depth int) (Type, error) {
	if depth > maxNesting {
		return nil, p.errorf("types nested deeper than %d", maxNesting)
	}
	var err error
	switch t := t.(type) {
	case *Struct:
		c := &Struct{align: t.align}
		c.Fields, err = p.cloneFields(t.Fields, depth)
		return c, err
	case *Variant:
		c := &Variant{path: t.path, slot: -1}
		c.Options, err = p.cloneFields(t.Options, depth)
		return c, err
	case *Array:
		c := &Array{Len: t.Len}
		c.Elem, err = p.clone(t.Elem, depth+1)
		return c, err
	case *Sequence:
		c := &Sequence{path: t.path, slot: -1}
		c.Elem, err = p.clone(t.Elem, depth+1)
		return c, err
	default: // immutable once the metadata is complete
		return t, p.node(1)
	}
}

func (p *parser) cloneFields(fields []Field, depth int) ([]Field, error) {
	if err := p.node(len(fields) + 1); err != nil {
		return nil, err
	}
	out := make([]Field, len(fields))
	for i, f := range fields {
		t, err := p.clone(f.Type, depth+1)
		if err != nil {
			return nil, err
		}
		out[i] = Field{Name: f.Name, Type: t, slot: -1}
	}
	return out, nil
}
