//go:build integration

package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// sesame is bcrypt's hash of "open sesame".
const sesame = "$2a$04$29ZQX.VQYWZoquBVVl55fucbbBt80CHz6Ibb1VFS3MwVLGP..cK5G"

// scraped is a daemon on libvirt's test driver, and a Prometheus that scrapes it.
type scraped struct {
	dir          string
	daemon, prom string // addresses
}

// TestIntegrationPrometheus has a real Prometheus, with our alert rules, scrape the daemon over TLS with a password.
func TestIntegrationPrometheus(t *testing.T) {
	s := &scraped{dir: t.TempDir(), daemon: freePort(t), prom: freePort(t)}
	s.write(t, "web.yml", fmt.Sprintf("tls_server_config: { cert_file: server.crt, key_file: server.key }\nbasic_auth_users: { prometheus: %q }\n", sesame))
	s.certificate(t)
	s.write(t, "virtsentryd.toml", fmt.Sprintf("[libvirt]\nuri = 'test:///default'\nrun_dir = %q\n[lttng]\noutput_dir = %q\n[profiles]\ndir = %q\n[history]\nfile = %q\n[control]\nsocket = %q\n"+
		"[hooks]\ndir = %q\npokes = %q\n[sources]\nsocket = %q\n[metrics]\nlisten = %q\nweb_config = %q\n",
		s.file("libvirt"), s.file("traces"), s.file("profiles"), s.file("history.db"), s.file("control.sock"), s.file("hooks.d"), s.file("pokes"), s.file("probe.sock"), s.daemon, s.file("web.yml")))
	s.write(t, "prometheus.yml", fmt.Sprintf("global: { scrape_interval: 1s, evaluation_interval: 1s }\nrule_files: [ %q ]\nscrape_configs:\n  - job_name: virtsentry\n    scheme: https\n"+
		"    basic_auth: { username: prometheus, password: open sesame }\n    tls_config: { ca_file: %q }\n    static_configs: [ { targets: [ %q ] } ]\n",
		absolute(t, "../../packaging/prometheus/virtsentry.rules.yml"), s.file("server.crt"), s.daemon))

	if out, err := exec.CommandContext(t.Context(), "go", "build", "-race", "-o", s.file("virtsentryd"), ".").CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	s.run(t, s.file("virtsentryd"), "--config", s.file("virtsentryd.toml"))
	s.run(t, "prometheus", "--config.file", s.file("prometheus.yml"), "--storage.tsdb.path", s.file("tsdb"), "--web.listen-address", s.prom)

	// Of the driver's domain there is no QEMU: it is blind, and the reason says so.
	s.shows(t, `up{job="virtsentry"}`, "1")
	s.shows(t, `virtsentry_domains`, "1")
	s.shows(t, `virtsentry_libvirt_connected`, "1")
	s.shows(t, `virtsentry_libvirt_connections_total`, "1")
	s.shows(t, `virtsentry_domain_state{state="blind"} * on (instance, uuid) group_left (name) virtsentry_domain_info{name="test"}`, "1")
	s.shows(t, `sum(virtsentry_domain_state)`, "1")
	s.shows(t, `virtsentry_domain_reason{reason="no-process"}`, "1")
	s.shows(t, `process_open_fds{job="virtsentry"} > bool 5`, "1")
	s.shows(t, `virtsentry_unit_verdict_seconds_count`, "0")
	s.shows(t, `virtsentry_history_up`, "1")
	s.shows(t, `virtsentry_history_bytes > bool 0`, "1")
	s.shows(t, `ALERTS{alertname="VirtsentryDomainBlind", alertstate="pending", name="test"}`, "1")
	s.noneBroken(t)
	s.allQueries(t)

	// Without the password there is nothing.
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: s.trust(t)}}
	defer client.CloseIdleConnections()
	answer, err := client.Get("https://" + s.daemon + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	_ = answer.Body.Close()
	if answer.StatusCode != http.StatusUnauthorized {
		t.Errorf("without a password: %s", answer.Status)
	}
}

func (s *scraped) file(name string) string { return filepath.Join(s.dir, name) }

func (s *scraped) write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(s.file(name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// certificate makes one for the daemon's address, which signs itself.
func (s *scraped) certificate(t *testing.T) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	certificate, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	s.write(t, "server.crt", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate})))
	s.write(t, "server.key", string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret})))
}

// trust trusts that certificate alone.
func (s *scraped) trust(t *testing.T) *tls.Config {
	t.Helper()
	text, err := os.ReadFile(s.file("server.crt"))
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		t.Fatal("no certificate")
	}
	return &tls.Config{RootCAs: pool}
}

// run runs a program until the test ends, and then as an init system would end it.
func (s *scraped) run(t *testing.T, program string, args ...string) {
	t.Helper()
	log, err := os.Create(s.file(filepath.Base(program) + ".log"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = log.Close() }()
	c := exec.Command(program, args...)
	c.Stdout, c.Stderr = log, log
	if err := c.Start(); err != nil {
		t.Fatalf("%v (packaging/install packaging/deps)", err)
	}
	t.Cleanup(func() {
		_ = c.Process.Signal(syscall.SIGTERM)
		late := time.AfterFunc(time.Minute, func() { _ = c.Process.Kill() })
		defer late.Stop()
		if err := c.Wait(); err != nil || t.Failed() {
			text, _ := os.ReadFile(log.Name())
			t.Errorf("%s: %v\n%s", filepath.Base(program), err, text)
		}
	})
}

// answer is what Prometheus' API says. The error is its own, or that it does not answer.
func (s *scraped) answer(path string, values url.Values, data any) error {
	r, err := http.Get("http://" + s.prom + "/api/v1/" + path + "?" + values.Encode())
	if err != nil {
		return err
	}
	defer func() { _ = r.Body.Close() }()
	body := struct {
		Status, Error string
		Data          any
	}{Data: data}
	if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
		return err
	}
	if body.Status != "success" {
		return fmt.Errorf("%s: %s", body.Status, body.Error)
	}
	return nil
}

// query returns the values of an instant query.
func (s *scraped) query(expr string) ([]string, error) {
	var data struct {
		Result []struct{ Value [2]any }
	}
	if err := s.answer("query", url.Values{"query": {expr}}, &data); err != nil {
		return nil, err
	}
	var list []string
	for _, r := range data.Result {
		list = append(list, fmt.Sprint(r.Value[1]))
	}
	return list, nil
}

// shows waits until a query has just that value.
func (s *scraped) shows(t *testing.T, expr, want string) {
	t.Helper()
	var got []string
	var err error
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		if got, err = s.query(expr); err == nil && len(got) == 1 && got[0] == want {
			return
		}
	}
	t.Fatalf("%s is %q, %v; want %s", expr, got, err, want)
}

// noneBroken waits until all rules were evaluated, and checks that none failed.
func (s *scraped) noneBroken(t *testing.T) {
	t.Helper()
	var data struct {
		Groups []struct {
			Rules []struct{ Name, Health, LastError string }
		}
	}
	for end := time.Now().Add(patience); ; time.Sleep(100 * time.Millisecond) {
		if err := s.answer("rules", nil, &data); err != nil {
			t.Fatal(err)
		}
		ok, text := 0, fmt.Sprintf("%+v", data)
		for _, g := range data.Groups {
			for _, r := range g.Rules {
				if r.Health == "err" {
					t.Errorf("%s: %s", r.Name, r.LastError)
				}
				if r.Health == "ok" {
					ok++
				}
			}
		}
		if ok > 0 && !strings.Contains(text, "unknown") {
			return
		}
		if t.Failed() || time.Now().After(end) {
			t.Fatal(text)
		}
	}
}

// allQueries has Prometheus answer what the dashboard asks.
func (s *scraped) allQueries(t *testing.T) {
	t.Helper()
	text, err := os.ReadFile("../../packaging/prometheus/grafana-dashboard.json")
	if err != nil {
		t.Fatal(err)
	}
	var dashboard struct {
		Panels []struct {
			Title   string
			Targets []struct{ Expr string }
		}
	}
	if err := json.Unmarshal(text, &dashboard); err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, p := range dashboard.Panels {
		for _, q := range p.Targets {
			n++
			expr := strings.NewReplacer("$__rate_interval", "1m", "$instance", ".*", "$domain", ".*").Replace(q.Expr)
			if _, err := s.query(expr); err != nil {
				t.Errorf("dashboard, %s: %v\n%s", p.Title, err, expr)
			}
		}
	}
	if n == 0 {
		t.Error("the dashboard asks for nothing")
	}
}

// freePort is an address on the loopback at which nobody listens.
func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}

func absolute(t *testing.T, path string) string {
	t.Helper()
	path, err := filepath.Abs(path)
	if err != nil {
		t.Fatal(err)
	}
	return path
}
