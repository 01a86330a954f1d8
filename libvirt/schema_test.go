package libvirt

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	golibvirt "libvirt.org/go/libvirt"
)

// schemas is the directory of the published schemas.
var schemas = filepath.Join("..", "packaging", "schemas")

// valid validates documents against a schema and returns what xmllint says of each.
func valid(t *testing.T, schema string, documents ...string) []error {
	t.Helper()
	xmllint, err := exec.LookPath("xmllint")
	if err != nil {
		t.Fatal("the schemas cannot be tested without xmllint: packaging/install packaging/deps (Debian package libxml2-utils)")
	}
	dir := t.TempDir()
	args := []string{"--noout", "--nonet", "--relaxng", filepath.Join(schemas, schema)}
	for i, text := range documents {
		path := filepath.Join(dir, fmt.Sprint(i, ".xml"))
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		args = append(args, path)
	}
	out, err := exec.Command(xmllint, args...).CombinedOutput()
	verdicts := make([]error, len(documents))
	for i := range documents {
		path := args[len(args)-len(documents)+i]
		if !bytes.Contains(out, []byte(path+" validates\n")) {
			verdicts[i] = fmt.Errorf("not valid: %w\n%s", err, out)
		}
	}
	return verdicts
}

// inNamespace is an element, as virsh metadata shows it, in the form that it has in a domain's XML.
func inNamespace(text, kind string) string {
	text = regexp.MustCompile(`<(/?)([a-z])`).ReplaceAllString(text, "<${1}virtsentry:$2")
	return strings.Replace(text, "<virtsentry:"+kind, "<virtsentry:"+kind+` xmlns:virtsentry="http://virtsentry.org/xmlns/`+kind+`/1"`, 1)
}

func marshal(t interface{ Fatal(...any) }, s State) string {
	text, err := xml.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestSchemaExamples(t *testing.T) {
	for _, kind := range []string{"state", "policy", "profile", "incidents"} {
		text, err := os.ReadFile(filepath.Join(schemas, "examples", kind+"-1.xml"))
		if err != nil {
			t.Fatal(err)
		}
		for i, err := range valid(t, kind+"-1.rng", string(text), inNamespace(string(text), kind)) {
			if err != nil {
				t.Errorf("example of %s, form %d: %v", kind, i, err)
			}
		}
		switch kind {
		case "policy":
			if p, err := ParsePolicy(string(text)); err != nil || p.Watch == nil || p.QuietUnits == nil {
				t.Errorf("the example was not read: %+v, %v", p, err)
			}
			continue
		case "incidents":
			if e, err := parseIncidents(string(text)); err != nil || len(e.Records) == 0 {
				t.Errorf("the example was not read: %+v, %v", e, err)
			}
			continue
		case "profile":
			if p, err := parseProfile(string(text)); err != nil || p.Units != 300 || len(p.File) == 0 {
				t.Errorf("the example was not read: %+v, %v", p, err)
			}
			continue
		}
		// The example is what the daemon would write, so parseState reads all of it.
		s, err := parseState(text)
		if err != nil {
			t.Fatal(err)
		}
		if s.Unseen == nil || s.Reason == nil || s.Unit == nil || s.Explanation == nil || s.BootID == "" || s.Coverage == "" {
			t.Errorf("the example lacks something, or it was not read: %+v", s)
		}
	}
}

// TestSchemaAsStored has libvirt itself bring elements into both their forms.
func TestSchemaAsStored(t *testing.T) {
	c := connect(t)
	d := only(t, c)
	at := time.Date(2026, 11, 21, 12, 0, 0, 123456789, time.FixedZone("east", 3600))
	states := []State{
		{Value: "normal"},
		{Value: "normal", Since: at, Updated: at, ValidUntil: at, Host: "host1", BootID: "0b7c4c1e-6a0b-4b62-9a53-5f2f36a4c7d9", Coverage: "full"},
		{Value: "blind", Since: at, Updated: at, ValidUntil: at, Coverage: "none", Reason: &Reason{Code: "no-trace-points", Text: "<&>'\"\x00\x1b\xff é 世"}},
		{
			Value: "anomalous", Since: at, Updated: at, ValidUntil: at, Host: `<"&'>`, Coverage: "partial", Reason: &Reason{Code: "anomaly"},
			Unseen:      &Unseen{Devices: []UnseenDevice{{"interface", "vnet0", "<vhost>"}, {"filesystem", "filesystem 1", ""}}},
			Unit:        &JudgedUnit{Start: at, Score: -1e-7, PValue: 1, Lost: math.MaxUint64},
			Explanation: &Explanation{Features: []ExplainedFeature{{"tap_send", "network", 36, 1e21, 0, 90.5, "packets"}, {Name: "x", Subsystem: "disk"}}},
		},
		{Value: "suspect", Coverage: "unknown", Explanation: &Explanation{}, Incidents: []Incident{{Kind: "drift", Since: at, Text: "35 % of the newest 3600 units"}}},
	}
	for _, s := range states {
		// An empty coverage is not valid: the daemon always knows which it is.
		if s.Coverage == "" {
			s.Coverage = "unknown"
		}
		if err := c.SetState(d.UUID, s); err != nil {
			t.Fatal(err)
		}
		var metadata, dump string
		err := c.with(d.UUID, func(d *golibvirt.Domain) (err error) {
			if metadata, err = d.GetMetadata(golibvirt.DOMAIN_METADATA_ELEMENT, StateURI, golibvirt.DOMAIN_AFFECT_LIVE); err != nil {
				return err
			}
			dump, err = d.GetXMLDesc(0)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		stored := regexp.MustCompile(`(?s)<virtsentry:state.*(</virtsentry:state>|/>\s*</metadata>)`).FindString(dump)
		stored = strings.TrimSuffix(stored, "</metadata>")
		if strings.Contains(metadata, "virtsentry:") || !strings.Contains(stored, StateURI) {
			t.Fatalf("libvirt shows other forms than the schemas know:\n%s\n%s", metadata, stored)
		}
		for i, err := range valid(t, "state-1.rng", metadata, stored) {
			if err != nil {
				t.Errorf("%s: %v", []string{metadata, stored}[i], err)
			}
		}
	}
}

func TestSchemaOfAnyState(t *testing.T) {
	moment := rapid.Map(rapid.Int64Range(0, 4e9), func(s int64) time.Time { return stamp(time.Unix(s, s%1e9)) })
	number := rapid.Float64Range(-math.MaxFloat64, math.MaxFloat64)
	word := rapid.StringMatching(`[a-z][a-z0-9]{0,8}(-[a-z0-9]{1,8}){0,3}`)
	name := rapid.StringN(1, 20, -1)
	rapid.Check(t, func(r *rapid.T) {
		s := State{
			Value:    rapid.SampledFrom([]string{"starting", "learning", "normal", "suspect", "anomalous", "unknown", "blind", "paused", "disabled"}).Draw(r, "value"),
			Since:    moment.Draw(r, "since"),
			Updated:  moment.Draw(r, "updated"),
			Host:     rapid.String().Draw(r, "host"),
			BootID:   rapid.StringMatching(`([0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12})?`).Draw(r, "boot"),
			Coverage: rapid.SampledFrom([]string{"full", "partial", "none", "unknown"}).Draw(r, "coverage"),
		}
		s.ValidUntil = s.Updated.Add(15 * time.Minute)
		if rapid.Bool().Draw(r, "has reason") {
			s.Reason = &Reason{word.Draw(r, "code"), rapid.String().Draw(r, "text")}
		}
		if n := rapid.IntRange(0, 3).Draw(r, "unseen"); n > 0 {
			s.Unseen = &Unseen{}
			for range n {
				s.Unseen.Devices = append(s.Unseen.Devices, UnseenDevice{word.Draw(r, "kind"), name.Draw(r, "device"), rapid.String().Draw(r, "why")})
			}
		}
		for range rapid.IntRange(0, 3).Draw(r, "incidents") {
			s.Incidents = append(s.Incidents, Incident{word.Draw(r, "incident"), moment.Draw(r, "opened"), rapid.String().Draw(r, "what")})
		}
		if rapid.Bool().Draw(r, "has unit") {
			s.Unit = &JudgedUnit{moment.Draw(r, "start"), number.Draw(r, "score"), rapid.Float64Range(0, 1).Draw(r, "p"), rapid.Uint64().Draw(r, "lost")}
			s.Explanation = &Explanation{}
			for range rapid.IntRange(0, 3).Draw(r, "features") {
				s.Explanation.Features = append(s.Explanation.Features, ExplainedFeature{
					name.Draw(r, "feature"), word.Draw(r, "subsystem"), number.Draw(r, "seconds"), number.Draw(r, "observed"), number.Draw(r, "low"), number.Draw(r, "high"), rapid.String().Draw(r, "words"),
				})
			}
		}
		text := marshal(r, s)
		if err := valid(t, "state-1.rng", text)[0]; err != nil {
			r.Fatalf("%s: %v", text, err)
		}
	})
}

func TestSchemasRefuse(t *testing.T) {
	const (
		stamps  = ` since="2026-11-21T12:00:04Z" updated="2026-11-21T12:00:04Z"`
		profile = `<profile domain="c7a5fdbd-cdaf-9455-926a-d65c16db1809" format="2" trained="2026-11-21T11:00:00Z" units="300" updated="2026-11-21T11:00:01Z" `
	)
	sum := strings.Repeat("0a", 32)
	tests := map[string][]string{
		"state-1.rng": {
			`<state` + stamps + `/>`,
			`<state value="fine"` + stamps + `/>`,
			`<state value="normal" since="2026-11-21T12:00:04Z"/>`,
			`<state value="normal" since="yesterday" updated="2026-11-21T12:00:04Z"/>`,
			`<state value="normal" since="2026-11-21T12:00:04+01:00" updated="2026-11-21T12:00:04Z"/>`,
			`<state value="normal"` + stamps + ` coverage="most"/>`,
			`<state value="normal"` + stamps + ` boot-id="1"/>`,
			`<state value="normal"` + stamps + ` colour="blue"/>`,
			`<state value="normal"` + stamps + `>text</state>`,
			`<state value="normal"` + stamps + `><reason>text</reason></state>`,
			`<state value="normal"` + stamps + `><reason code="No Code">text</reason></state>`,
			`<state value="normal"` + stamps + `><reason code="a"/><reason code="b"/></state>`,
			`<state value="normal"` + stamps + `><unseen/></state>`,
			`<state value="normal"` + stamps + `><unit start="2026-11-21T12:00:04Z" score="NaN" p-value="1" lost="0"/></state>`,
			`<state value="normal"` + stamps + `><unit start="2026-11-21T12:00:04Z" score="1" p-value="1.5" lost="0"/></state>`,
			`<state value="normal"` + stamps + `><unit start="2026-11-21T12:00:04Z" score="1" p-value="1" lost="-1"/></state>`,
			`<state value="normal"` + stamps + ` xmlns="http://virtsentry.org/xmlns/state/2"/>`,
			`<status value="normal"` + stamps + `/>`,
		},
		"policy-1.rng": {
			`<policy watch="maybe"/>`, `<policy false-alarms-per-day="0"/>`, `<policy false-alarms-per-day="NaN"/>`, `<policy overhead-percent="150"/>`,
			`<policy><learning units="5"/></policy>`, `<policy><learning starting="soon"/></policy>`, `<policy><learning starting="-5s"/></policy>`,
			`<policy><judging nu="1"/></policy>`, `<policy><judging gamma="INF"/></policy>`, `<policy><judging window="2.5"/></policy>`,
			`<policy><judging/><judging/></policy>`, `<policy><secrets/></policy>`, `<policy learn="no"/>`,
		},
		"profile-1.rng": {
			profile + `compression="br" sha256="` + sum + `"/>`,
			profile + `compression="br" sha256="` + sum + `">no base64!</profile>`,
			profile + `compression="br" sha256="short">AAAA</profile>`,
			profile + `compression="xz" sha256="` + sum + `">AAAA</profile>`,
			profile + `sha256="` + sum + `">AAAA</profile>`,
		},
	}
	for schema, documents := range tests {
		for i, err := range valid(t, schema, documents...) {
			if err == nil {
				t.Errorf("%s accepts %s", schema, documents[i])
			}
		}
	}
	good := []string{`<policy/>`, `<policy watch="no"/>`, `<policy><judging/><learning starting="0"/></policy>`, `<policy><learning starting="1h2m3.5s"/></policy>`}
	for i, err := range valid(t, "policy-1.rng", good...) {
		if err != nil {
			t.Errorf("%s: %v", good[i], err)
		}
	}
}
