package ctf

import "strings"

// declarators reads "type name, name[3], name[len];" and appends a field for each.
func (p *parser) declarators(sc *scope, fields []Field) ([]Field, error) {
	t, words, err := p.typeSpec(sc)
	if err != nil {
		return nil, err
	}
	if t == nil {
		if len(words) < 2 {
			return nil, p.errorf("%s after '%.80s': a type and a name are needed", p.tok, strings.Join(words, " "))
		}
		name := words[len(words)-1]
		if t, err = p.named(sc, strings.Join(words[:len(words)-1], " ")); err != nil {
			return nil, err
		}
		return p.declaratorList(t, name, fields)
	}
	if ok, err := p.accept(";"); err != nil || ok {
		return fields, err // only declares a named struct, variant or enum
	}
	name, err := p.ident()
	if err != nil {
		return nil, err
	}
	return p.declaratorList(t, name, fields)
}

func (p *parser) declaratorList(base Type, name string, fields []Field) ([]Field, error) {
	for {
		t, err := p.dimensions(base)
		if err != nil {
			return nil, err
		}
		if err := p.node(1); err != nil {
			return nil, err
		}
		fields = append(fields, Field{Name: strings.TrimPrefix(name, "_"), Type: t, slot: -1})
		more, err := p.accept(",")
		if err != nil {
			return nil, err
		}
		if !more {
			return fields, p.expect(";")
		}
		if base, err = p.clone(base, 0); err != nil {
			return nil, err
		}
		if name, err = p.ident(); err != nil {
			return nil, err
		}
	}
}

// dimensions reads what is in brackets after a field's name; as in C the first
// dimension is the outermost array.
func (p *parser) dimensions(base Type) (Type, error) {
	ok, err := p.accept("[")
	if err != nil || !ok {
		return base, err
	}
	if err := p.enter(); err != nil {
		return nil, err
	}
	defer p.leave()
	if p.tok.kind == tokInt {
		n, err := p.unsigned()
		if err != nil {
			return nil, err
		}
		if n > maxArray {
			return nil, p.errorf("array of %d elements", n)
		}
		if err := p.expect("]"); err != nil {
			return nil, err
		}
		elem, err := p.dimensions(base)
		return &Array{Elem: elem, Len: n}, err
	}
	path, err := p.path()
	if err != nil {
		return nil, err
	}
	if err := p.expect("]"); err != nil {
		return nil, err
	}
	elem, err := p.dimensions(base)
	return &Sequence{Elem: elem, path: path, slot: -1}, err
}
