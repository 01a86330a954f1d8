package ctf

import "strings"

func (p *parser) topLevel(root *scope) error {
	if ok, err := p.typeDeclaration(root); err != nil || ok {
		return err
	}
	if ok, err := p.accept(";"); err != nil || ok {
		return err
	}
	switch p.tok.text {
	case "struct", "variant", "enum":
		_, _, err := p.typeSpec(root)
		if err != nil {
			return err
		}
		return p.expect(";")
	case "trace":
		return p.block(root, p.traceAttribute())
	case "env":
		return p.block(root, p.envAttribute())
	case "clock":
		return p.clockBlock(root)
	case "stream":
		return p.streamBlock(root)
	case "event":
		return p.eventBlock(root)
	case "callsite":
		return p.block(root, attribute{})
	}
	return p.errorf("%s where a declaration or a block is needed", p.tok)
}

// attribute handles the two kinds of assignments in a block; what neither function
// knows is left out, as the specification asks of readers.
type attribute struct {
	value func(name string, v value) error
	typ   func(name string, t Type) error
}

// block reads "keyword { assignments };".
func (p *parser) block(parent *scope, a attribute) error {
	if err := p.advance(); err != nil {
		return err
	}
	if err := p.expect("{"); err != nil {
		return err
	}
	sc := &scope{parent: parent}
	for !p.tok.is("}") {
		if err := p.assignment(sc, a); err != nil {
			return err
		}
	}
	if err := p.advance(); err != nil {
		return err
	}
	return p.expect(";")
}

func (p *parser) assignment(sc *scope, a attribute) error {
	if ok, err := p.typeDeclaration(sc); err != nil || ok {
		return err
	}
	if p.tok.is("struct") || p.tok.is("variant") || p.tok.is("enum") {
		if _, _, err := p.typeSpec(sc); err != nil {
			return err
		}
		return p.expect(";")
	}
	path, err := p.path()
	if err != nil {
		return err
	}
	name := strings.Join(path, ".")
	if ok, err := p.accept(":="); err != nil {
		return err
	} else if ok {
		t, err := p.fullType(sc)
		if err != nil {
			return err
		}
		if a.typ != nil {
			if err := a.typ(name, t); err != nil {
				return err
			}
		}
		return p.expect(";")
	}
	if err := p.expect("="); err != nil {
		return err
	}
	v, err := p.value()
	if err != nil {
		return err
	}
	if a.value != nil {
		if err := a.value(name, v); err != nil {
			return err
		}
	}
	return p.expect(";")
}

// scopeStruct stores a dynamic scope's type, which must be a struct.
func (p *parser) scopeStruct(dst **Struct, name string, t Type) error {
	s, ok := t.(*Struct)
	if !ok {
		return p.errorf("%s is no struct", name)
	}
	if *dst != nil {
		return p.errorf("%s is given twice", name)
	}
	*dst = s
	return nil
}

func (p *parser) traceAttribute() attribute {
	return attribute{
		value: func(name string, v value) (err error) {
			switch name {
			case "major":
				if !v.isNum || v.num != 1 {
					return p.errorf("CTF version is not 1")
				}
			case "uuid":
				if p.md.UUID, p.md.HasUUID = parseUUID(v.text); !p.md.HasUUID {
					return p.errorf("bad trace UUID %.80q", v.text)
				}
			case "byte_order":
				if p.md.ByteOrder, err = p.byteOrder(v); err == nil && p.md.ByteOrder == Native {
					err = p.errorf("the trace's byte order is neither le nor be")
				}
			}
			return err
		},
		typ: func(name string, t Type) error {
			if name == "packet.header" {
				return p.scopeStruct(&p.md.packetHeader, name, t)
			}
			return nil
		},
	}
}

func (p *parser) envAttribute() attribute {
	return attribute{value: func(name string, v value) error {
		p.md.Env = append(p.md.Env, EnvEntry{Name: name, Text: v.text, Int: int64(v.num), IsInt: v.isNum})
		return p.node(1)
	}}
}

func (p *parser) clockBlock(root *scope) error {
	c := &Clock{Frequency: 1e9}
	err := p.block(root, attribute{value: func(name string, v value) (err error) {
		switch name {
		case "name":
			c.Name = v.text
		case "uuid":
			if c.UUID, c.HasUUID = parseUUID(v.text); !c.HasUUID {
				return p.errorf("bad clock UUID %.80q", v.text)
			}
		case "freq":
			if !v.isNum || v.neg || v.num == 0 {
				return p.errorf("clock's frequency is no positive integer")
			}
			c.Frequency = v.num
		case "precision":
			c.Precision = v.num
		case "offset_s":
			if !v.isNum || !v.neg && v.num > 1<<63-1 {
				return p.errorf("clock's offset_s is no 64-bit integer")
			}
			c.OffsetSeconds = int64(v.num)
		case "offset":
			if !v.isNum {
				return p.errorf("clock's offset is no integer")
			}
			c.OffsetCycles, c.OffsetNeg = v.num, v.neg
		case "absolute":
			c.Absolute, err = p.boolean(v)
		}
		return err
	}})
	if err != nil {
		return err
	}
	if c.Name == "" || p.md.clocksByName[c.Name] != nil {
		return p.errorf("clock without a name of its own: %.80q", c.Name)
	}
	if err := c.settle(); err != nil {
		return p.errorf("clock %.80q: %v", c.Name, err)
	}
	p.md.clocksByName[c.Name] = c
	p.md.Clocks = append(p.md.Clocks, c)
	return p.node(1)
}

func (p *parser) streamBlock(root *scope) error {
	s := &StreamClass{byID: make(map[uint64]*EventClass)}
	err := p.block(root, attribute{
		value: func(name string, v value) error {
			if name == "id" {
				if !v.isNum || v.neg {
					return p.errorf("stream's id is no unsigned integer")
				}
				s.ID = v.num
			}
			return nil
		},
		typ: func(name string, t Type) error {
			switch name {
			case "packet.context":
				return p.scopeStruct(&s.PacketContext, name, t)
			case "event.header":
				return p.scopeStruct(&s.EventHeader, name, t)
			case "event.context":
				return p.scopeStruct(&s.EventContext, name, t)
			}
			return nil
		},
	})
	if err != nil {
		return err
	}
	if p.md.streamsByID[s.ID] != nil {
		return p.errorf("stream %d is described twice", s.ID)
	}
	p.md.streamsByID[s.ID] = s
	p.md.Streams = append(p.md.Streams, s)
	return p.node(1)
}

func (p *parser) eventBlock(root *scope) error {
	e := &EventClass{LogLevel: -1}
	err := p.block(root, attribute{
		value: func(name string, v value) error {
			switch name {
			case "name":
				e.Name = v.text
			case "id", "stream_id":
				if !v.isNum || v.neg {
					return p.errorf("event's %s is no unsigned integer", name)
				}
				if name == "id" {
					e.ID, e.hasID = v.num, true
				} else {
					e.streamID, e.hasStreamID = v.num, true
				}
			case "loglevel":
				if v.isNum && int64(v.num) >= 0 && v.num < 1<<15 {
					e.LogLevel = int(v.num)
				}
			case "model.emf.uri":
				e.EMFURI = v.text
			}
			return nil
		},
		typ: func(name string, t Type) error {
			switch name {
			case "context":
				return p.scopeStruct(&e.Context, name, t)
			case "fields":
				return p.scopeStruct(&e.Fields, name, t)
			}
			return nil
		},
	})
	if err != nil {
		return err
	}
	p.events = append(p.events, e)
	return p.node(1)
}
