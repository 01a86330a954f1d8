package control

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
)

// MaxProfileBytes bounds a profile's file, on both ends.
const MaxProfileBytes = 16 << 20

// routeProfiles adds what is done with profiles.
func routeProfiles(mux *http.ServeMux, b Profiles) {
	mux.HandleFunc("GET /v1/profiles", func(w http.ResponseWriter, _ *http.Request) {
		list, err := b.ListProfiles()
		reply(w, list, err)
	})
	mux.HandleFunc("GET /v1/profiles/{ref}", func(w http.ResponseWriter, r *http.Request) {
		p, err := b.Profile(r.PathValue("ref"))
		reply(w, p, err)
	})
	mux.HandleFunc("DELETE /v1/profiles/{ref}", func(w http.ResponseWriter, r *http.Request) {
		reply(w, struct{}{}, b.DeleteProfile(r.PathValue("ref")))
	})
	mux.HandleFunc("GET /v1/profiles/{ref}/file", func(w http.ResponseWriter, r *http.Request) {
		file, err := b.ExportProfile(r.PathValue("ref"))
		if err != nil {
			reply(w, nil, err)
			return
		}
		w.Header().Set("Content-Type", "application/octet-stream")
		_, _ = w.Write(file) // an error here is the client's, who has gone
	})
	mux.HandleFunc("PUT /v1/profiles/{ref}/file", func(w http.ResponseWriter, r *http.Request) {
		var file []byte
		err := slowly(w, func() (err error) {
			file, err = io.ReadAll(http.MaxBytesReader(w, r.Body, MaxProfileBytes))
			return err
		})
		if err != nil {
			reply(w, nil, fmt.Errorf("%w: %w (a profile file has at most %d bytes)", ErrRefused, err, MaxProfileBytes))
			return
		}
		p, err := b.ImportProfile(r.PathValue("ref"), file)
		reply(w, p, err)
	})
	mux.HandleFunc("POST /v1/profiles/{ref}/clone", func(w http.ResponseWriter, r *http.Request) {
		var request CloneRequest
		if decode(w, r, &request) {
			p, err := b.CloneProfile(request.From, r.PathValue("ref"))
			reply(w, p, err)
		}
	})
	mux.HandleFunc("POST /v1/profiles/{ref}/rollback", func(w http.ResponseWriter, r *http.Request) {
		p, err := b.RollbackProfile(r.PathValue("ref"))
		reply(w, p, err)
	})
}

func profilePath(ref string) string { return "/v1/profiles/" + segment(ref) }

// Profiles lists the kept profiles.
func (c *Client) Profiles(ctx context.Context) ([]ProfileInfo, error) {
	var list []ProfileInfo
	return list, c.do(ctx, http.MethodGet, "/v1/profiles", nil, &list)
}

// Profile describes a domain's profile. Errors: ErrNoProfile.
func (c *Client) Profile(ctx context.Context, ref string) (ProfileInfo, error) {
	var p ProfileInfo
	return p, c.do(ctx, http.MethodGet, profilePath(ref), nil, &p)
}

// ExportProfile returns the file of a domain's profile. Errors: ErrNoProfile.
func (c *Client) ExportProfile(ctx context.Context, ref string) ([]byte, error) {
	body, err := c.send(ctx, http.MethodGet, profilePath(ref)+"/file", nil)
	if err != nil {
		return nil, err
	}
	defer func() { _ = body.Close() }()
	file, err := io.ReadAll(io.LimitReader(body, MaxProfileBytes+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("control: read profile: %w", err)
	case len(file) > MaxProfileBytes:
		return nil, fmt.Errorf("control: read profile: it has more than %d bytes", MaxProfileBytes)
	}
	return file, nil
}

// ImportProfile puts a profile file in force for a domain. Errors: ErrRefused, ErrNoDomain.
func (c *Client) ImportProfile(ctx context.Context, ref string, file []byte) (ProfileInfo, error) {
	if len(file) > MaxProfileBytes {
		return ProfileInfo{}, fmt.Errorf("%w: a profile file has at most %d bytes", ErrRefused, MaxProfileBytes)
	}
	var p ProfileInfo
	return p, c.do(ctx, http.MethodPut, profilePath(ref)+"/file", bytes.NewReader(file), &p)
}

// CloneProfile puts a copy of one domain's profile in force for another one. Errors: ErrNoProfile, ErrNoDomain, ErrRefused.
func (c *Client) CloneProfile(ctx context.Context, from, to string) (ProfileInfo, error) {
	var p ProfileInfo
	return p, c.do(ctx, http.MethodPost, profilePath(to)+"/clone", CloneRequest{From: from}, &p)
}

// RollbackProfile puts the profile before the present one back in force. Errors: ErrNoProfile, ErrRefused.
func (c *Client) RollbackProfile(ctx context.Context, ref string) (ProfileInfo, error) {
	var p ProfileInfo
	return p, c.do(ctx, http.MethodPost, profilePath(ref)+"/rollback", nil, &p)
}

// DeleteProfile forgets a domain's profile and the one before it. Errors: ErrNoProfile.
func (c *Client) DeleteProfile(ctx context.Context, ref string) error {
	return c.do(ctx, http.MethodDelete, profilePath(ref), nil, nil)
}
