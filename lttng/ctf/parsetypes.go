package ctf

import "strings"

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

// attributes reads "{ name = value; ... }" and calls set for each.
func (p *parser) attributes(set func(name string, v value) error) error {
	if err := p.expect("{"); err != nil {
		return err
	}
	for {
		if ok, err := p.accept("}"); err != nil || ok {
			return err
		}
		name, err := p.path()
		if err != nil {
			return err
		}
		if err := p.expect("="); err != nil {
			return err
		}
		v, err := p.value()
		if err != nil {
			return err
		}
		if err := set(strings.Join(name, "."), v); err != nil {
			return err
		}
		if err := p.expect(";"); err != nil {
			return err
		}
	}
}

// integerType reads after "integer".
func (p *parser) integerType(*scope) (Type, error) {
	t := &Integer{Base: 10}
	if err := p.attributes(func(name string, v value) error { return p.setInteger(t, name, v) }); err != nil {
		return nil, err
	}
	if t.Size == 0 {
		return nil, p.errorf("integer without size")
	}
	if t.align == 0 {
		t.align = 1
		if t.Size%8 == 0 {
			t.align = 8
		}
	}
	p.integers = append(p.integers, t)
	return t, p.node(1)
}

func (p *parser) setInteger(t *Integer, name string, v value) (err error) {
	switch name {
	case "size":
		if !v.isNum || v.num < 1 || v.num > 64 {
			return p.errorf("integer's size is not within 1 to 64 bits")
		}
		t.Size = uint8(v.num)
	case "align":
		if !v.isNum || !isPowerOfTwo(v.num) || v.num > 1<<16 {
			return p.errorf("integer's alignment is no power of two up to 65536")
		}
		t.align = v.num
	case "signed":
		t.Signed, err = p.boolean(v)
	case "byte_order":
		t.Order, err = p.byteOrder(v)
	case "base":
		t.Base, err = p.base(v)
	case "encoding":
		t.Text, err = p.encoding(v)
	case "map":
		ref, ok := strings.CutPrefix(v.text, "clock.")
		if !ok || !strings.HasSuffix(ref, ".value") {
			return p.errorf("integer's map '%.80s' is no clock's value", v.text)
		}
		t.clockRef = strings.TrimSuffix(ref, ".value")
	}
	return err
}

func (p *parser) boolean(v value) (bool, error) {
	switch {
	case v.isNum && v.num <= 1:
		return v.num == 1, nil
	case v.text == "true" || v.text == "TRUE":
		return true, nil
	case v.text == "false" || v.text == "FALSE":
		return false, nil
	}
	return false, p.errorf("neither true nor false")
}

func (p *parser) byteOrder(v value) (ByteOrder, error) {
	switch v.text {
	case "native":
		return Native, nil
	case "le":
		return LittleEndian, nil
	case "be", "network":
		return BigEndian, nil
	}
	return 0, p.errorf("unknown byte order '%.80s'", v.text)
}

func (p *parser) base(v value) (uint8, error) {
	if v.isNum {
		switch v.num {
		case 2, 8, 10, 16:
			return uint8(v.num), nil
		}
		return 0, p.errorf("unknown base %d", v.num)
	}
	switch v.text {
	case "decimal", "dec", "d", "i", "u":
		return 10, nil
	case "hexadecimal", "hex", "x", "X", "p":
		return 16, nil
	case "octal", "oct", "o":
		return 8, nil
	case "binary", "b":
		return 2, nil
	}
	return 0, p.errorf("unknown base '%.80s'", v.text)
}

func (p *parser) encoding(v value) (bool, error) {
	switch v.text {
	case "none":
		return false, nil
	case "UTF8", "utf8", "utf-8", "UTF-8", "ASCII", "ascii":
		return true, nil
	}
	return false, p.errorf("unknown encoding '%.80s'", v.text)
}

// floatType reads after "floating_point".
func (p *parser) floatType(*scope) (Type, error) {
	t := &Float{align: 1}
	var exp, mant uint64
	err := p.attributes(func(name string, v value) (err error) {
		switch name {
		case "exp_dig":
			exp = v.num
		case "mant_dig":
			mant = v.num
		case "align":
			if !v.isNum || !isPowerOfTwo(v.num) || v.num > 1<<16 {
				return p.errorf("float's alignment is no power of two up to 65536")
			}
			t.align = v.num
		case "byte_order":
			t.Order, err = p.byteOrder(v)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	switch {
	case exp == 8 && mant == 24:
		t.Size = 32
	case exp == 11 && mant == 53:
		t.Size = 64
	default:
		return nil, p.errorf("float with exponent of %d and mantissa of %d bits: only single and double precision are read", exp, mant)
	}
	p.floats = append(p.floats, t)
	return t, p.node(1)
}

// stringType reads after "string".
func (p *parser) stringType(*scope) (Type, error) {
	t := &String{}
	if p.tok.is("{") {
		err := p.attributes(func(name string, v value) error {
			if name == "encoding" {
				_, err := p.encoding(v)
				return err
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return t, p.node(1)
}
