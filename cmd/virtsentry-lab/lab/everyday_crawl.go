package lab

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"time"
)

// crawlBySchedule plays the search engine's visits.
func (l *Lab) crawlBySchedule(ctx context.Context, runs []run, e everyday, base string, line *everydayLog) {
	began, next := time.Now(), 0
	rng := rand.New(rand.NewPCG(e.seed, 1<<32))
	length := max(time.Minute/time.Duration(e.pace), shortestEvery)
	client := http.Client{Transport: &http.Transport{DialContext: l.DialContext}, Timeout: 30 * time.Second}
	defer client.CloseIdleConnections()
	for _, r := range runs {
		if !r.onHost {
			continue
		}
		rate := 5 + rng.IntN(6)
		if sleep(ctx, time.Until(began.Add(r.at))) != nil {
			return
		}
		line.add(time.Now(), fmt.Sprintf("%d %s begin", r.id, r.name))
		pages, failed, err := crawlSite(ctx, &client, base, next, rate, length)
		next += pages
		if failed > 0 {
			line.add(time.Now(), fmt.Sprintf("%d %s end 1 %d of %d pages failed, first: %v", r.id, r.name, failed, pages, err))
			continue
		}
		line.add(time.Now(), fmt.Sprintf("%d %s end 0 %d pages", r.id, r.name, pages))
	}
}

// crawlSite fetches pages one after the other, at most rate a second, as a
// search engine does, until its time is over. It goes on after a page that
// fails; err is the first of them.
func crawlSite(ctx context.Context, client *http.Client, base string, first, rate int, d time.Duration) (pages, failed int, err error) {
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	every := time.NewTicker(time.Second / time.Duration(rate))
	defer every.Stop()
	for {
		select {
		case <-ctx.Done():
			return pages, failed, err
		case <-every.C:
		}
		got := getWhole(ctx, client, base+sitePage(first+pages))
		if ctx.Err() != nil {
			return pages, failed, err
		}
		pages++
		if got != nil {
			failed++
			if err == nil {
				err = got
			}
		}
	}
}

// sitePage is the n-th page of the auction site for somebody who wants all
// of them: those that list, then each item with its bids and its seller.
func sitePage(n int) string {
	lists := []string{"/", "/categories.php", "/regions.php", "/sell.php", "/register.php"}
	if n < len(lists) {
		return lists[n]
	}
	n -= len(lists)
	if n < 20 {
		return fmt.Sprintf("/search.php?category=%d", n+1)
	}
	n -= 20
	id := n/3%5000 + 1
	return fmt.Sprintf([]string{"/item.php?id=%d", "/bids.php?item=%d", "/user.php?id=%d"}[n%3], id)
}

func getWhole(ctx context.Context, client *http.Client, url string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	req.Header.Set("User-Agent", "lab-crawler")
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("get %s: %s", url, resp.Status)
	}
	return nil
}
