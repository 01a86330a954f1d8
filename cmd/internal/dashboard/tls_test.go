package dashboard

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
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
)

// issue makes a certificate, signed by another one or by itself, in files.
func issue(t *testing.T, dir, name string, by *tls.Certificate) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, BasicConstraintsValid: true, IsCA: by == nil,
	}
	parent, signer := c, any(key)
	if by != nil {
		parent, signer = by.Leaf, by.PrivateKey
	}
	text, err := x509.CreateCertificate(rand.Reader, c, parent, &key.PublicKey, signer)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, name)
	for ending, block := range map[string]*pem.Block{".pem": {Type: "CERTIFICATE", Bytes: text}, ".key": {Type: "PRIVATE KEY", Bytes: private}} {
		if err := os.WriteFile(file+ending, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	made, err := tls.LoadX509KeyPair(file+".pem", file+".key")
	if err != nil {
		t.Fatal(err)
	}
	return made
}

// With TLS and client certificates, the page and all behind it are for those who have one of the right authority.
func TestClientCertificates(t *testing.T) {
	dir := t.TempDir()
	authority, stranger := issue(t, dir, "authority", nil), issue(t, dir, "stranger", nil)
	issue(t, dir, "server", &authority)
	client, other := issue(t, dir, "client", &authority), issue(t, dir, "other", &stranger)
	file := filepath.Join(dir, "web.yml")
	const settings = "tls_server_config: {cert_file: server.pem, key_file: server.key, client_auth_type: RequireAndVerifyClientCert, client_ca_file: authority.pem}\n"
	if err := os.WriteFile(file, []byte(settings), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg := config.Dashboard{Listen: "127.0.0.1:0", WebConfig: file}
	l, err := Listen(cfg)
	if err != nil {
		t.Fatal(err)
	}
	log := logrus.New()
	log.SetOutput(io.Discard)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	f := newFake(1)
	go func() { ended <- Serve(ctx, l, cfg, f, log) }()
	defer func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}()
	known := x509.NewCertPool()
	known.AddCert(authority.Leaf)
	at := "https://" + l.Addr().String()
	with := func(certificates ...tls.Certificate) func(method, path, body string, header ...string) (int, string, error) {
		transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: known, Certificates: certificates}}
		t.Cleanup(transport.CloseIdleConnections)
		return func(method, path, body string, header ...string) (int, string, error) {
			r, err := http.NewRequestWithContext(t.Context(), method, at+path, strings.NewReader(body))
			if err != nil {
				t.Fatal(err)
			}
			for i := 0; i < len(header); i += 2 {
				r.Header.Set(header[i], header[i+1])
			}
			answer, err := (&http.Client{Transport: transport}).Do(r)
			if err != nil {
				return 0, "", err
			}
			defer func() { _ = answer.Body.Close() }()
			if strings.HasPrefix(answer.Header.Get("Content-Type"), "text/event-stream") { // it does not end
				return answer.StatusCode, "", nil
			}
			text, err := io.ReadAll(answer.Body)
			return answer.StatusCode, string(text), err
		}
	}
	paths := []string{"/", "/app.js", "/api/session", "/api/domains", "/api/events", "/api/domains/" + f.domains[0].UUID + "/actions"}
	ask := with(client)
	for _, path := range paths {
		if status, _, err := ask("GET", path, ""); err != nil || status != 200 {
			t.Errorf("%s with a certificate: %d, %v", path, status, err)
		}
	}
	var s session
	_, text, err := ask("GET", "/api/session", "")
	if err = errors.Join(err, json.Unmarshal([]byte(text), &s)); err != nil || !s.Changes {
		t.Fatalf("%+v, %v", s, err)
	}
	start := "/api/domains/" + f.domains[0].UUID + "/actions"
	if status, body, err := ask("POST", start, `{"actions":["kvm"]}`, tokenHeader, s.Token, "Content-Type", "application/json"); err != nil || status != 200 {
		t.Errorf("start: %d %s, %v", status, body, err)
	}
	for name, ask := range map[string]func(method, path, body string, header ...string) (int, string, error){"none": with(), "a stranger's": with(other)} {
		for _, path := range paths {
			if status, _, err := ask("GET", path, ""); err == nil {
				t.Errorf("%s with %s: %d", path, name, status)
			}
		}
	}
	if answer, err := http.Get("http://" + l.Addr().String() + "/"); err == nil {
		_ = answer.Body.Close()
		if answer.StatusCode == http.StatusOK {
			t.Error("the page is there without TLS")
		}
	}
}
