package compare

import (
	"math"
	"strconv"

	"github.com/virtsentry/virtsentry/lttng/ctf"
)

// formatter writes events as babeltrace2's sink.text.pretty does with all names and
// fields, times in seconds and no differences of time.
type formatter struct {
	line   []byte
	empty  []int // where in line an empty text field stands
	labels []string
	event  ctf.Event
	heads  map[*ctf.Metadata]string
}

// format returns the line of the reader's current event, valid until the next call.
func (f *formatter) format(r *ctf.Reader) ([]byte, error) {
	if err := r.Decode(&f.event); err != nil {
		return nil, err
	}
	b := f.line[:0]
	f.empty = f.empty[:0]
	sep := "" // between the parts before the name, which have none without a time
	if r.Packet.Class.Clock != nil {
		b = append(b, "timestamp = "...)
		b = appendSeconds(b, r.Time())
		sep = ", "
	}
	b = append(b, f.head(r.Trace().Metadata, sep)...)
	b = appendClass(b, r.Class, sep)
	first := true
	scope := func(name string, v *ctf.Value) {
		if v.Type == nil || !visible(v) {
			return
		}
		if !first {
			b = append(b, ", "...)
		}
		first = false
		b = append(append(b, name...), " = "...)
		b = f.value(b, v)
	}
	context := packetContext(&r.Packet.Context)
	scope("stream.packet.context", &context)
	scope("stream.event.context", &f.event.StreamContext)
	scope("event.context", &f.event.Context)
	scope("event.fields", &f.event.Fields)
	b = append(b, '\n')
	f.line = b
	return b, nil
}

// visible tells whether babeltrace2 keeps the value: structs all of whose members only
// serve the format are left out, empty ones are not.
func visible(v *ctf.Value) bool {
	if _, ok := v.Type.(*ctf.Struct); !ok || len(v.Elems) == 0 {
		return !v.Hidden
	}
	for i := range v.Elems {
		if visible(&v.Elems[i]) {
			return true
		}
	}
	return false
}

// packetContext hides the members that tell of the packet itself.
func packetContext(v *ctf.Value) ctf.Value {
	out := *v
	out.Elems = nil
	for _, e := range v.Elems {
		switch e.Name {
		case "timestamp_begin", "timestamp_end", "content_size", "packet_size", "packet_seq_num", "events_discarded":
			e.Hidden = true
		}
		out.Elems = append(out.Elems, e)
	}
	return out
}

// head returns the part of the line that is the same for all events of a trace.
func (f *formatter) head(md *ctf.Metadata, sep string) string {
	if s, ok := f.heads[md]; ok {
		return s
	}
	s := sep + "trace = " + md.EnvText("hostname") + ", "
	for _, name := range []string{"hostname", "domain", "procname"} {
		if e, ok := md.EnvEntry(name); ok {
			s += sep + "trace:" + name + " = " + e.Text
		}
	}
	if e, ok := md.EnvEntry("vpid"); ok {
		s += sep + "trace:vpid = (" + strconv.FormatInt(e.Int, 10) + ")"
	}
	if f.heads == nil {
		f.heads = make(map[*ctf.Metadata]string)
	}
	f.heads[md] = s
	return s
}

var logLevels = []string{"EMERG", "ALERT", "CRIT", "ERR", "WARNING", "NOTICE", "INFO", "DEBUG_SYSTEM", "DEBUG_PROGRAM",
	"DEBUG_PROCESS", "DEBUG_MODULE", "DEBUG_UNIT", "DEBUG_FUNCTION", "DEBUG_LINE", "DEBUG"}

func appendClass(b []byte, c *ctf.EventClass, sep string) []byte {
	if c.LogLevel >= 0 && c.LogLevel < len(logLevels) {
		b = append(append(append(b, sep...), "loglevel = TRACE_"...), logLevels[c.LogLevel]...)
		b = strconv.AppendInt(append(b, " ("...), int64(c.LogLevel), 10)
		b = append(b, ')')
	}
	if c.EMFURI != "" {
		b = append(append(append(b, sep...), "model.emf.uri = "...), c.EMFURI...)
	}
	return append(append(append(append(b, sep...), "name = "...), c.Name...), ", "...)
}

func appendSeconds(b []byte, ns int64) []byte {
	abs := uint64(ns)
	if ns < 0 {
		b = append(b, '-')
		abs = -abs
	}
	b = strconv.AppendUint(b, abs/1e9, 10)
	frac := strconv.FormatUint(1e9+abs%1e9, 10)
	return append(append(b, '.'), frac[1:]...)
}

func (f *formatter) value(b []byte, v *ctf.Value) []byte {
	switch t := v.Type.(type) {
	case *ctf.Integer:
		return appendInt(b, t, v.Uint)
	case *ctf.Enum:
		return f.enum(b, t, v.Uint)
	case *ctf.Float:
		return appendFloat(b, v.Float)
	case *ctf.String:
		return f.text(b, v.Text)
	case *ctf.Struct:
		return f.members(b, v)
	case *ctf.Variant:
		b = f.value(append(b, "{ "...), &v.Elems[0])
		return append(b, " }"...)
	case *ctf.Array:
		return f.elements(b, v, t.Elem)
	case *ctf.Sequence:
		return f.elements(b, v, t.Elem)
	}
	return b
}

func (f *formatter) text(b, text []byte) []byte {
	if len(text) == 0 {
		f.empty = append(f.empty, len(b))
	}
	return appendText(b, text)
}

func (f *formatter) members(b []byte, v *ctf.Value) []byte {
	b = append(b, '{')
	sep := " "
	for i := range v.Elems {
		e := &v.Elems[i]
		if !visible(e) {
			continue
		}
		b = append(append(append(b, sep...), e.Name...), " = "...)
		b = f.value(b, e)
		sep = ", "
	}
	return append(b, " }"...)
}

func (f *formatter) elements(b []byte, v *ctf.Value, elem ctf.Type) []byte {
	if ctf.IsText(elem) {
		return f.text(b, v.Text)
	}
	b = append(b, '[')
	sep := " ["
	for i := range v.Elems {
		b = strconv.AppendInt(append(b, sep...), int64(i), 10)
		b = f.value(append(b, "] = "...), &v.Elems[i])
		sep = ", ["
	}
	return append(b, " ]"...)
}

func (f *formatter) enum(b []byte, t *ctf.Enum, v uint64) []byte {
	b = append(b, "( "...)
	f.labels = t.Labels(f.labels[:0], v)
	for i, label := range f.labels {
		if i > 0 {
			b = append(b, ", "...)
		}
		b = appendText(b, []byte(label))
	}
	if len(f.labels) == 0 {
		b = append(b, "<unknown>"...)
	}
	b = appendInt(append(b, " : container = "...), t.Int, v)
	return append(b, " )"...)
}

func appendInt(b []byte, t *ctf.Integer, v uint64) []byte {
	size := uint(t.Size)
	switch t.Base {
	case 2:
		b = append(b, "0b"...)
		for i := int(size) - 1; i >= 0; i-- {
			b = append(b, '0'+byte(v>>i&1))
		}
		return b
	case 8:
		if digits := (size + 2) / 3 * 3; t.Signed && digits < 64 {
			v &= 1<<digits - 1
		}
		return strconv.AppendUint(append(b, '0'), v, 8)
	case 16:
		if digits := (size + 3) / 4 * 4; digits < 64 {
			v &= 1<<digits - 1
		}
		return appendHex(append(b, "0x"...), v)
	}
	if t.Signed {
		return strconv.AppendInt(b, int64(v), 10)
	}
	return strconv.AppendUint(b, v, 10)
}

func appendHex(b []byte, v uint64) []byte {
	from := len(b)
	b = strconv.AppendUint(b, v, 16)
	for i := from; i < len(b); i++ {
		if b[i] >= 'a' {
			b[i] -= 'a' - 'A'
		}
	}
	return b
}

// appendFloat writes what C's %g does.
func appendFloat(b []byte, v float64) []byte {
	switch {
	case math.IsNaN(v) && math.Signbit(v):
		return append(b, "-nan"...)
	case math.IsNaN(v):
		return append(b, "nan"...)
	case math.IsInf(v, 1):
		return append(b, "inf"...)
	case math.IsInf(v, -1):
		return append(b, "-inf"...)
	}
	return strconv.AppendFloat(b, v, 'g', 6, 64)
}

func appendText(b, text []byte) []byte {
	b = append(b, '"')
	for _, c := range text {
		switch c {
		case '\\', '\'', '"', '?':
			b = append(b, '\\', c)
		case '\a':
			b = append(b, `\a`...)
		case '\b':
			b = append(b, `\b`...)
		case 0x1b:
			b = append(b, `\e`...)
		case '\f':
			b = append(b, `\f`...)
		case '\n':
			b = append(b, `\n`...)
		case '\r':
			b = append(b, `\r`...)
		case '\t':
			b = append(b, `\t`...)
		case '\v':
			b = append(b, `\v`...)
		default:
			if c < ' ' || c == 0x7f {
				b = append(b, '\\', 'x', "0123456789abcdef"[c>>4], "0123456789abcdef"[c&15])
				continue
			}
			b = append(b, c)
		}
	}
	return append(b, '"')
}
