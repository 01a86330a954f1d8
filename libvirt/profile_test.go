package libvirt

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/andybalholm/brotli"
	"github.com/google/go-cmp/cmp"
	golibvirt "libvirt.org/go/libvirt"
	"pgregory.net/rapid"
)

const learntFrom = "c7a5fdbd-cdaf-9455-926a-d65c16db1809"

func zip(t interface{ Fatal(...any) }, file []byte) []byte {
	var b bytes.Buffer
	w := brotli.NewWriter(&b)
	_, err := w.Write(file)
	if err := errors.Join(err, w.Close()); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// profileText is an element whose file is given in its packed form.
func profileText(file, packed []byte) string {
	return fmt.Sprintf(`<profile domain=%q format="2" trained="2026-11-21T11:00:00Z" units="300" updated="2026-11-21T11:00:01Z" compression="br" sha256="%x">%s</profile>`,
		learntFrom, sha256.Sum256(file), base64.StdEncoding.EncodeToString(packed))
}

func TestProfileRoundTrip(t *testing.T) {
	moment := rapid.Map(rapid.Int64Range(0, 4e12), func(ms int64) time.Time { return time.UnixMilli(ms).UTC() })
	var texts []string
	rapid.Check(t, func(t *rapid.T) {
		want := &ProfileElement{
			Domain: rapid.StringMatching(`[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}`).Draw(t, "domain"),
			Host:   rapid.StringMatching(`[ -~é世]{0,20}`).Draw(t, "host"),
			Format: rapid.IntRange(1, 1<<32-1).Draw(t, "format"), Units: rapid.IntRange(0, 1<<32-1).Draw(t, "units"),
			Trained: moment.Draw(t, "trained"), Updated: moment.Draw(t, "updated"),
			File: rapid.SliceOfN(rapid.Byte(), 1, 300).Draw(t, "file"),
		}
		key := rapid.SliceOfN(rapid.Byte(), 0, 40).Draw(t, "key")
		if len(key) > 0 {
			want.Sign(key)
		}
		text, err := want.element()
		if err != nil {
			t.Fatal(err)
		}
		got, err := parseProfile(string(text))
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("(-want +got):\n%s", diff)
		}
		if got.Signed([][]byte{[]byte("another"), key}) != (len(key) > 0) {
			t.Fatalf("signed with %q: %x", key, got.Signature)
		}
		got.Units++
		if got.Signed([][]byte{key}) {
			t.Fatal("what was changed is still signed")
		}
		texts = append(texts, string(text), inNamespace(string(text), "profile"))
	})
	for i, err := range valid(t, "profile-1.rng", texts...) {
		if err != nil {
			t.Errorf("%s: %v", texts[i], err)
		}
	}
}

func TestProfile(t *testing.T) {
	c := connect(t)
	d := only(t, c)
	without(t, c, d, ProfileURI)
	if p, err := c.Profile(d.UUID); p != nil || err != nil {
		t.Errorf("Profile before any = %+v, %v", p, err)
	}
	at := time.Date(2026, 11, 21, 12, 0, 0, 123456789, time.FixedZone("east", 3600))
	// As large as it may be: what is random cannot be made smaller.
	file := make([]byte, maxProfileContent-1<<10)
	random := rand.NewChaCha8([32]byte{})
	if _, err := random.Read(file); err != nil {
		t.Fatal(err)
	}
	want := ProfileElement{Domain: learntFrom, Host: `<"&'>`, Format: 2, Trained: at, Updated: at, Units: 300, File: file}
	if err := c.SetProfile(d.UUID, want); err != nil {
		t.Fatal(err)
	}
	got, err := c.Profile(d.UUID)
	if err != nil {
		t.Fatal(err)
	}
	want.Trained = time.Date(2026, 11, 21, 11, 0, 0, 123e6, time.UTC)
	want.Updated = want.Trained
	if diff := cmp.Diff(&want, got); diff != "" {
		t.Errorf("Profile (-want +got):\n%s", diff)
	}
	err = c.with(d.UUID, func(d *golibvirt.Domain) error {
		return d.SetMetadata(golibvirt.DOMAIN_METADATA_ELEMENT, "<profile/>", prefix, ProfileURI, golibvirt.DOMAIN_AFFECT_LIVE)
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Profile(d.UUID); !errors.Is(err, ErrGarbled) || !strings.Contains(err.Error(), d.UUID) {
		t.Errorf("Profile = %v", err)
	}
	for name, remove := range map[string]func(string) error{
		"RemoveProfile":         c.RemoveProfile,
		"SetProfile of nothing": func(uuid string) error { return c.SetProfile(uuid, ProfileElement{}) },
	} {
		if err := c.SetProfile(d.UUID, want); err != nil {
			t.Fatal(err)
		}
		for range 2 { // that there is none is no error
			if err := remove(d.UUID); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			if p, err := c.Profile(d.UUID); p != nil || err != nil {
				t.Errorf("Profile after %s = %+v, %v", name, p, err)
			}
		}
	}
	const nobody = "00000000-0000-0000-0000-000000000001"
	if err := c.RemoveProfile(nobody); !errors.Is(err, ErrNoDomain) {
		t.Errorf("RemoveProfile of no domain: %v", err)
	}
	if _, err := c.Profile(nobody); !errors.Is(err, ErrNoDomain) {
		t.Errorf("Profile of no domain: %v", err)
	}
	if err := c.SetProfile(nobody, want); !errors.Is(err, ErrNoDomain) {
		t.Errorf("SetProfile of no domain: %v", err)
	}
}

func TestSetProfileRefused(t *testing.T) {
	c := connect(t)
	d := only(t, c)
	random := make([]byte, maxProfileContent+1)
	if _, err := rand.NewChaCha8([32]byte{}).Read(random); err != nil {
		t.Fatal(err)
	}
	good := ProfileElement{Domain: learntFrom, Format: 1, File: []byte("x")}
	tests := map[string]struct {
		change    func(*ProfileElement)
		tooLarge  bool
		complaint string
	}{
		"large":            {func(p *ProfileElement) { p.File = make([]byte, maxProfileFile+1) }, true, "profile file of 4194305 bytes, more than 4194304"},
		"large compressed": {func(p *ProfileElement) { p.File = random }, true, "profile file of 48129 bytes, compressed"},
		"empty":            {func(p *ProfileElement) { p.File = nil }, false, "empty"},
		"domain":           {func(p *ProfileElement) { p.Domain = "web" }, false, `"web" is no UUID`},
		"format":           {func(p *ProfileElement) { p.Format = 0 }, false, "format: 0"},
		"units":            {func(p *ProfileElement) { p.Units = -1 }, false, "units: -1"},
		"year":             {func(p *ProfileElement) { p.Trained = time.Date(12026, 1, 1, 0, 0, 0, 0, time.UTC) }, false, "year"},
	}
	for name, test := range tests {
		p := good
		test.change(&p)
		err := c.SetProfile(d.UUID, p)
		if err == nil || errors.Is(err, ErrTooLarge) != test.tooLarge || !strings.Contains(err.Error(), test.complaint) {
			t.Errorf("%s: %v; want a complaint with %q", name, err, test.complaint)
		}
	}
	if p, err := c.Profile(d.UUID); p != nil || err != nil {
		t.Errorf("Profile = %+v, %v; want none", p, err)
	}
}

func TestProfileGarbled(t *testing.T) {
	file := []byte("profile")
	packed := zip(t, file)
	good := profileText(file, packed)
	if _, err := parseProfile(good); err != nil {
		t.Fatal(err)
	}
	// A reader passes over what it does not know, and an element may be broken into lines.
	for _, text := range []string{
		strings.Replace(good, "<profile ", `<profile colour="blue" `, 1),
		strings.Replace(good, "</profile>", "\n \t</profile>", 1),
		inNamespace(good, "profile"),
	} {
		if p, err := parseProfile(text); err != nil || !bytes.Equal(p.File, file) {
			t.Errorf("%s: %v", text, err)
		}
	}
	tests := map[string]struct{ text, complaint string }{
		"nothing":           {"", "EOF"},
		"another element":   {strings.ReplaceAll(good, "profile", "state"), "state"},
		"no domain":         {strings.Replace(good, learntFrom, "", 1), "no UUID"},
		"no format":         {strings.Replace(good, `format="2"`, "", 1), "format: 0"},
		"format":            {strings.Replace(good, `format="2"`, `format="two"`, 1), "two"},
		"units":             {strings.Replace(good, `units="300"`, `units="-1"`, 1), "units: -1"},
		"time":              {strings.Replace(good, `trained="2026`, `trained="x`, 1), "parsing time"},
		"no time":           {strings.Replace(good, `trained=`, `trainer=`, 1), "when it was learnt"},
		"compression":       {strings.Replace(good, "br", "xz", 1), `"xz" is not br`},
		"no base64":         {strings.Replace(good, "</profile>", "!</profile>", 1), "base64"},
		"no content":        {profileText(nil, zip(t, nil)), "empty"},
		"checksum":          {profileText([]byte("another"), packed), "checksum"},
		"no brotli":         {profileText(file, file), "uncompress"},
		"brotli cut":        {profileText(file, packed[:len(packed)-2]), "uncompress"},
		"brotli and more":   {profileText(file, append(bytes.Clone(packed), 0)), "uncompress"},
		"signature":         {strings.Replace(good, "<profile ", `<profile signature="x" `, 1), "signature"},
		"long signature":    {strings.Replace(good, "<profile ", `<profile signature="`+strings.Repeat("0", 66)+`" `, 1), "signature"},
		"bomb":              {profileText(nil, zip(t, make([]byte, 64<<20))), "larger than 4194304"},
		"large content":     {profileText(nil, make([]byte, maxProfileContent+1)), "larger than 48128"},
		"large element":     {strings.Repeat(" ", maxProfileElement) + good, "larger than 98304"},
		"entity unknown":    {strings.Replace(good, "</profile>", "&bomb;</profile>", 1), "entity"},
		"not closed at all": {strings.TrimSuffix(good, "</profile>"), "EOF"},
	}
	for name, test := range tests {
		if _, err := parseProfile(test.text); !errors.Is(err, ErrGarbled) || !strings.Contains(err.Error(), test.complaint) {
			t.Errorf("%s: %v; want a complaint with %q", name, err, test.complaint)
		}
	}
}

func FuzzProfileElement(f *testing.F) {
	example, err := os.ReadFile(filepath.Join(schemas, "examples", "profile-1.xml"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(string(example))
	f.Add(profileText([]byte("x"), zip(f, []byte("x"))))
	f.Fuzz(func(t *testing.T, text string) {
		p, err := parseProfile(text)
		if err != nil {
			if !errors.Is(err, ErrGarbled) {
				t.Fatal(err)
			}
			return
		}
		// What can be read can be written.
		again, err := p.element()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := parseProfile(string(again)); err != nil {
			t.Fatal(err)
		}
	})
}
