package lab

import (
	"bytes"
	"strings"
	"testing"
)

func TestArchive(t *testing.T) {
	var b bytes.Buffer
	archive(&b, "tiny", 0o100755, []byte("#!/x\n"))
	archive(&b, "TRAILER!!!", 0, nil)
	const head = 6 + 13*8
	text := b.String()
	if !strings.HasPrefix(text, "070701"+"00000000"+"000081ED") || text[head:head+5] != "tiny\x00" || b.Len()%4 != 0 {
		t.Fatalf("%q", text)
	}
	// The name and what follows it are each padded to a multiple of four bytes.
	data := (head + 5 + 3) &^ 3
	if text[data:data+8] != "#!/x\n\x00\x00\x00" || !strings.HasPrefix(text[data+8:], "070701") || !strings.Contains(text, "TRAILER!!!") {
		t.Errorf("%q", text)
	}
}
