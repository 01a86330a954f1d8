package ctf

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

// References lead to fields of the same struct, of enclosing ones and of the scopes
// read before, by name alone or with the scope's name in front.
func TestReferences(t *testing.T) {
	dir := t.TempDir()
	writeFiles(t, dir, map[string]string{
		"metadata": `typealias integer { size = 8; } := u8;
trace { byte_order = le; packet.header := struct { u8 far; }; };
stream {
	packet.context := struct { u8 _cpu; };
	event.header := struct { u8 id; };
	event.context := struct { u8 _n; struct { u8 deep; } _s; };
};
event {
	name = "e"; id = 2;
	context := struct { u8 _m; };
	fields := struct {
		u8 a[trace.packet.header.far];
		u8 b[stream.packet.context._cpu];
		u8 c[stream.event.header.id];
		u8 d[stream.event.context._n];
		u8 e[event.context._m];
		u8 f[n], g[s.deep], h[m];
		u8 _n;
		struct { u8 i[_n]; struct { u8 n; u8 j[n]; } k; u8 l[event.fields._n]; } inner[2];
	};
};`,
		"data": "\x01\x02" + // far, cpu
			"\x02\x01\x02\x01" + // id, n, deep, m
			"a" + "bc" + "de" + "f" + "g" + "h" + "ij" + "k" + // a to h
			"\x02" + // n
			"AB\x01CDE" + "FG\x00HI", // inner
	})
	tr, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	r := tr.Streams[0].Reader()
	defer r.Close()
	if !r.NextPacket() || !r.Next() {
		t.Fatal(r.Err())
	}
	var ev Event
	if err := r.Decode(&ev); err != nil {
		t.Fatal(err)
	}
	want := "{a:[97],b:[98,99],c:[100,101],d:[102],e:[103],f:[104],g:[105,106],h:[107],n:2," +
		"inner:[{i:[65,66],k:{n:1,j:[67]},l:[68,69]},{i:[70,71],k:{n:0,j:[]},l:[72,73]}]}"
	if diff := cmp.Diff(want, canonical(&ev.Fields)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if r.Next() || r.Err() != nil {
		t.Errorf("more than one event, %v", r.Err())
	}
}

func TestLexer(t *testing.T) {
	const text = `"a\"b\\\n\x41\101\?" 'x' '\n' 0x1fUL 017 42ull .. ... := : a_1 /* c */ // d`
	l := lexer{text: text}
	var got []string
	for {
		tok, err := l.next()
		if err != nil {
			t.Fatal(err)
		}
		if tok.kind == tokEOF {
			break
		}
		if tok.kind == tokInt {
			tok.text = canonicalInt(&Integer{}, tok.num)
		}
		got = append(got, tok.text)
	}
	want := []string{"a\"b\\\nAA?", "120", "10", "31", "15", "42", ".", ".", "...", ":=", ":", "a_1"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for _, bad := range []string{`"\`, `"\8"`, `'`, `'a`, `'\`, `09`, `0x`, "\"a\n\"", `$`} {
		l := lexer{text: bad}
		if _, err := l.next(); err == nil {
			t.Errorf("%q: no error", bad)
		}
	}
}
