package ctf

// structType reads after "struct".
func (p *parser) structType(sc *scope) (Type, error) {
	name, err := p.optionalName()
	if err != nil {
		return nil, err
	}
	if !p.tok.is("{") {
		return p.reference(sc, "struct", name)
	}
	s := &Struct{align: 1}
	if s.Fields, err = p.fields(sc); err != nil {
		return nil, err
	}
	if ok, err := p.accept("align"); err != nil {
		return nil, err
	} else if ok {
		if s.align, err = p.alignArgument(); err != nil {
			return nil, err
		}
	}
	for _, f := range s.Fields {
		s.align = max(s.align, f.Type.Align())
	}
	if name != "" {
		sc.declare("struct "+name, s)
		return p.clone(s, 0)
	}
	return s, nil
}

func (p *parser) optionalName() (string, error) {
	if p.tok.kind != tokIdent || p.tok.is("align") {
		return "", nil
	}
	return p.ident()
}

// reference returns a struct, variant or enum declared before.
func (p *parser) reference(sc *scope, kind, name string) (Type, error) {
	if name == "" {
		return nil, p.errorf("%s where the %s's name or body is needed", p.tok, kind)
	}
	return p.named(sc, kind+" "+name)
}

func (p *parser) alignArgument() (uint64, error) {
	if err := p.expect("("); err != nil {
		return 0, err
	}
	n, err := p.alignment()
	if err != nil {
		return 0, err
	}
	return n, p.expect(")")
}

func (p *parser) alignment() (uint64, error) {
	n, err := p.unsigned()
	if err != nil {
		return 0, err
	}
	if !isPowerOfTwo(n) || n > 1<<16 {
		return 0, p.errorf("alignment of %d bits: no power of two up to 65536", n)
	}
	return n, nil
}

// fields reads a body of declarations in braces.
func (p *parser) fields(parent *scope) ([]Field, error) {
	if err := p.expect("{"); err != nil {
		return nil, err
	}
	sc := &scope{parent: parent}
	var fields []Field
	for {
		if ok, err := p.accept("}"); err != nil || ok {
			return fields, err
		}
		if ok, err := p.typeDeclaration(sc); err != nil {
			return nil, err
		} else if ok {
			continue
		}
		var err error
		if fields, err = p.declarators(sc, fields); err != nil {
			return nil, err
		}
	}
}

// variantType reads after "variant".
func (p *parser) variantType(sc *scope) (Type, error) {
	name, err := p.optionalName()
	if err != nil {
		return nil, err
	}
	var tag []string
	if ok, err := p.accept("<"); err != nil {
		return nil, err
	} else if ok {
		if tag, err = p.path(); err != nil {
			return nil, err
		}
		if err := p.expect(">"); err != nil {
			return nil, err
		}
	}
	if !p.tok.is("{") {
		t, err := p.reference(sc, "variant", name)
		if err != nil {
			return nil, err
		}
		v, ok := t.(*Variant)
		if ok && tag != nil {
			v.path = tag
		}
		return t, nil
	}
	v := &Variant{path: tag, slot: -1}
	if v.Options, err = p.fields(sc); err != nil {
		return nil, err
	}
	if name != "" {
		sc.declare("variant "+name, v)
		return p.clone(v, 0)
	}
	return v, nil
}

// enumType reads after "enum".
func (p *parser) enumType(sc *scope) (Type, error) {
	name, err := p.optionalName()
	if err != nil {
		return nil, err
	}
	var container Type
	if ok, err := p.accept(":"); err != nil {
		return nil, err
	} else if ok {
		if container, err = p.fullType(sc); err != nil {
			return nil, err
		}
	}
	if !p.tok.is("{") {
		if container != nil {
			return nil, p.errorf("%s where the enumeration's labels are needed", p.tok)
		}
		return p.reference(sc, "enum", name)
	}
	if container == nil {
		if container, err = p.named(sc, "int"); err != nil {
			return nil, err
		}
	}
	i, ok := container.(*Integer)
	if !ok {
		return nil, p.errorf("the enumeration's values are no integers")
	}
	e := &Enum{Int: i}
	if e.Mappings, err = p.mappings(i.Signed); err != nil {
		return nil, err
	}
	if name != "" {
		sc.declare("enum "+name, e)
	}
	return e, nil
}

func (p *parser) mappings(signed bool) ([]Mapping, error) {
	if err := p.expect("{"); err != nil {
		return nil, err
	}
	var maps []Mapping
	next := uint64(0)
	for {
		if ok, err := p.accept("}"); err != nil || ok {
			return maps, err
		}
		if p.tok.kind != tokIdent && p.tok.kind != tokString {
			return nil, p.errorf("%s where a label is needed", p.tok)
		}
		m := Mapping{Label: p.tok.text, Lo: next, Hi: next}
		if err := p.advance(); err != nil {
			return nil, err
		}
		if err := p.mappingRange(&m, signed); err != nil {
			return nil, err
		}
		if err := p.node(1); err != nil {
			return nil, err
		}
		maps, next = append(maps, m), m.Hi+1
		if ok, err := p.accept(","); err != nil {
			return nil, err
		} else if !ok && !p.tok.is("}") {
			return nil, p.errorf("%s in an enumeration where ',' or '}' is needed", p.tok)
		}
	}
}

// mappingRange reads "= low ... high" where it is there.
func (p *parser) mappingRange(m *Mapping, signed bool) error {
	ok, err := p.accept("=")
	if err != nil || !ok {
		return err
	}
	if m.Lo, err = p.bound(signed); err != nil {
		return err
	}
	m.Hi = m.Lo
	if ok, err = p.accept("..."); err != nil {
		return err
	} else if ok {
		if m.Hi, err = p.bound(signed); err != nil {
			return err
		}
	}
	if !inRange(signed, m.Lo, m.Hi, m.Lo) {
		return p.errorf("range of label '%.80s' ends before it begins", m.Label)
	}
	return nil
}

func (p *parser) bound(signed bool) (uint64, error) {
	v, err := p.value()
	if err != nil {
		return 0, err
	}
	if !v.isNum || v.neg && !signed || signed && !v.neg && v.num > 1<<63-1 {
		return 0, p.errorf("bound of an enumeration's range is no value of its type")
	}
	return v.num, nil
}
