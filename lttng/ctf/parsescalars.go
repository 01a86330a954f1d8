package ctf

import "strings"

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
