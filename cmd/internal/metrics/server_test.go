package metrics

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/virtsentry/virtsentry/cmd/internal/config"
	"github.com/virtsentry/virtsentry/cmd/internal/control"
)

// serve shows the metrics of a made-up monitor until the test ends, and returns how to ask.
func serve(t *testing.T, cfg config.Metrics) *http.Client {
	t.Helper()
	l, err := Listen(cfg)
	if err != nil {
		t.Fatal(err)
	}
	log := logrus.New()
	log.SetOutput(io.Discard)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- Serve(ctx, l, cfg, New(&fake{domains: []control.DomainStatus{guest()}}).Handler(log), log)
	}()
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, l.Addr().Network(), l.Addr().String())
	}
	transport := &http.Transport{DialContext: dial, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		if conn, err := dial(context.Background(), "", ""); err == nil {
			_ = conn.Close()
			t.Error("it listens still")
		}
	})
	return &http.Client{Transport: transport}
}

// ask returns the answer's status and body; those of a request that failed are 0 and the error.
func ask(t *testing.T, c *http.Client, url, user, password string) (int, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	if user != "" {
		r.SetBasicAuth(user, password)
	}
	answer, err := c.Do(r)
	if err != nil {
		return 0, err.Error()
	}
	defer func() { _ = answer.Body.Close() }()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, string(body)
}

// port is a free one on the loopback.
func port(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}

// hash is bcrypt's of "open sesame", at its least cost.
const hash = "$2a$04$29ZQX.VQYWZoquBVVl55fucbbBt80CHz6Ibb1VFS3MwVLGP..cK5G"

// webConfig writes a file for TLS and basic auth, with a certificate for this test.
func webConfig(t *testing.T) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	certificate, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for name, text := range map[string][]byte{
		"server.crt": pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate}),
		"server.key": pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret}),
		"web.yml":    fmt.Appendf(nil, "tls_server_config: { cert_file: server.crt, key_file: server.key }\nbasic_auth_users: { prometheus: %q }\n", hash),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return filepath.Join(dir, "web.yml")
}

func TestServe(t *testing.T) {
	c := serve(t, config.Metrics{Listen: port(t)})
	if code, body := ask(t, c, "http://x/metrics", "", ""); code != http.StatusOK || !strings.Contains(body, "\nvirtsentry_domains 1\n") || !strings.Contains(body, "\nprocess_open_fds ") {
		t.Errorf("%d %s", code, body)
	}
	for _, path := range []string{"", "metrics/", "debug/pprof/", "v1/domains"} {
		if code, body := ask(t, c, "http://x/"+path, "", ""); code != http.StatusNotFound {
			t.Errorf("/%s: %d %s", path, code, body)
		}
	}
	answer, err := c.Post("http://x/metrics", "text/plain", strings.NewReader("x"))
	if err != nil {
		t.Fatal(err)
	}
	_ = answer.Body.Close()
	if answer.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("POST: %s", answer.Status)
	}
}

func TestServeOnSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sub", "metrics.sock")
	cfg := config.Metrics{Listen: "unix:" + path}
	c := serve(t, cfg)
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o660 {
		t.Errorf("%v, %v; want a socket for owner and group", info.Mode(), err)
	}
	if code, body := ask(t, c, "http://x/metrics", "", ""); code != http.StatusOK {
		t.Errorf("%d %s", code, body)
	}
	if _, err := Listen(cfg); err == nil || !strings.Contains(err.Error(), "set metrics.listen") {
		t.Errorf("a second one listens there, too: %v", err)
	}
}

func TestServeWithTLS(t *testing.T) {
	c := serve(t, config.Metrics{Listen: port(t), WebConfig: webConfig(t)})
	if code, body := ask(t, c, "https://x/metrics", "prometheus", "open sesame"); code != http.StatusOK || !strings.Contains(body, "virtsentry_domains 1") {
		t.Errorf("%d %s", code, body)
	}
	for _, who := range [][2]string{{"", ""}, {"prometheus", "x"}, {"root", "open sesame"}, {"prometheus", ""}} {
		if code, body := ask(t, c, "https://x/metrics", who[0], who[1]); code != http.StatusUnauthorized || strings.Contains(body, "virtsentry_") {
			t.Errorf("%q: %d %s", who, code, body)
		}
	}
	if code, body := ask(t, c, "http://x/metrics", "prometheus", "open sesame"); code != http.StatusBadRequest || strings.Contains(body, "virtsentry_") {
		t.Errorf("without TLS: %d %s", code, body)
	}
}

func TestListenRefuses(t *testing.T) {
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = taken.Close() }()
	for name, test := range map[string]struct {
		cfg       config.Metrics
		complaint string
	}{
		"no web config":       {config.Metrics{Listen: "127.0.0.1:1", WebConfig: dir + "/none.yml"}, "metrics.web_config: " + dir + "/none.yml: "},
		"unknown key":         {config.Metrics{Listen: "127.0.0.1:1", WebConfig: file("a.yml", "basic_auth: {}\n")}, "metrics.web_config"},
		"plain password":      {config.Metrics{Listen: "127.0.0.1:1", WebConfig: file("b.yml", "basic_auth_users: { a: secret }\n")}, "metrics.web_config"},
		"no certificate":      {config.Metrics{Listen: "127.0.0.1:1", WebConfig: file("c.yml", "tls_server_config: { cert_file: x, key_file: y }\n")}, "metrics.web_config"},
		"port in use":         {config.Metrics{Listen: taken.Addr().String()}, "metrics.listen: listen tcp " + taken.Addr().String()},
		"a file is no socket": {config.Metrics{Listen: "unix:" + file("d", "")}, "metrics.listen must name a path for a socket"},
	} {
		t.Run(name, func(t *testing.T) {
			l, err := Listen(test.cfg)
			if err == nil {
				_ = l.Close()
			}
			if err == nil || !strings.Contains(err.Error(), test.complaint) {
				t.Errorf("%v; want a complaint with %q", err, test.complaint)
			}
		})
	}
	if l, err := Listen(config.Metrics{WebConfig: "/none.yml"}); l != nil || err != nil {
		t.Errorf("%v, %v; want nothing where nothing is asked for", l, err)
	}
}

// Somebody who holds connections open takes no more than a number of them, and does not outlast the daemon.
func TestConnectionsAreBounded(t *testing.T) {
	cfg := config.Metrics{Listen: port(t)}
	c := serve(t, cfg)
	if code, _ := ask(t, c, "http://x/metrics", "", ""); code != http.StatusOK { // it serves
		t.Fatal(code)
	}
	c.CloseIdleConnections()
	var held []net.Conn
	defer func() {
		for _, conn := range held {
			_ = conn.Close()
		}
	}()
	answered := 0
	for range connectionsMost + 8 {
		conn, err := net.Dial("tcp", cfg.Listen)
		if err != nil {
			t.Fatal(err)
		}
		held = append(held, conn)
	}
	for _, conn := range held {
		// Each may ask once; what the server has not accepted gets no answer in time.
		_, _ = io.WriteString(conn, "GET /none HTTP/1.1\r\nHost: x\r\n\r\n")
		_ = conn.SetReadDeadline(time.Now().Add(300 * time.Millisecond))
		if _, err := bufio.NewReader(conn).ReadString('\n'); err == nil {
			answered++
		} else if !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Error(err)
		}
	}
	if answered == 0 || answered > connectionsMost {
		t.Errorf("%d of %d connections are served at a time; want %d at most", answered, len(held), connectionsMost)
	}
}
