#!/bin/bash
# What a server does by itself, beside serving: runs in the guest, by the lab's schedule.
#
# Arguments: the host's address; the port that serves packages and takes backups; the port that hears what is told; the
# schedule, one "SECONDS ID JOB" a line; the packages that the package jobs install and remove.
#
# Each job tells its begin and its end in a datagram, as a server's syslog does, and in a file for the case that one is
# lost.
set -u
http=http://$1:$2 ear=/dev/udp/$1/$3 schedule=$4
shift 4
packages=("$@")
state=/var/lib/everyday
rm -rf "$state"
mkdir -p "$state" || exit
export DEBIAN_FRONTEND=noninteractive
trap 'exit 143' TERM INT

tell() {
	echo "$EPOCHREALTIME $*" >>"$state/log"
	{ echo "$*" >"$ear"; } 2>/dev/null
}

# Jobs of one kind and those that need the same lock wait for each other.
run() {
	local id=$1 job=$2 out=$state/out.$1 code
	exec 9>"$state/lock.${job%-*}"
	flock 9
	tell "$id $job begin"
	(
		set -euo pipefail
		"job_$job"
	) >"$out" 2>&1 </dev/null 9>&-
	code=$?
	if [ "$code" -eq 0 ]; then
		tell "$id $job end 0"
		rm -f "$out"
	else
		tell "$id $job end $code $(tail -n 2 "$out" | tr '\n' ' ' | cut -c 1-300)"
	fi
}

job_minute() {
	find /var/lib/php/sessions /var/tmp -xdev -ignore_readdir_race -type f -mmin +24 -delete
	{ date && cat /proc/loadavg /proc/meminfo && df -P; } >>"$state/usage"
}

job_five() {
	mariadb --batch auction >"$state/report.new" <<-'END'
		SELECT c.name, COUNT(*) AS items, SUM(i.bid_count) AS bids, MAX(i.max_bid) AS highest
		FROM items i JOIN categories c ON c.id = i.category GROUP BY c.id ORDER BY bids DESC;
		SELECT COUNT(*) AS bids, AVG(amount) AS mean FROM bids WHERE made > NOW() - INTERVAL 1 DAY;
	END
	mv "$state/report.new" "$state/report"
	find /etc /srv -xdev -ignore_readdir_race -type f -mmin -5 >"$state/changed"
	du -sk /srv /var/lib/mysql/auction >>"$state/usage"
}

job_rotate() {
	local stamp name
	stamp=$(date +%s)
	cd /var/log/apache2
	for name in access error; do mv "$name.log" "$name.log-$stamp"; done
	apache2ctl graceful
	sleep 5 # the old workers still write
	gzip "access.log-$stamp" "error.log-$stamp"
	find . -name '*.gz' -mmin +180 -delete
}

job_backup() {
	mariadb-dump --single-transaction --quick auction | gzip >"$state/auction.sql.gz"
	tar -czf "$state/srv.tar.gz" -C / srv
	local file
	for file in auction.sql.gz srv.tar.gz; do
		curl -fsS -o /dev/null --max-time 300 -T "$state/$file" "$http/backup/"
	done
}

job_packages-install() {
	echo "deb [trusted=yes] $http/packages/ ./" >/etc/apt/sources.list
	apt-get -q update
	apt-get -q -y --no-install-recommends install "${packages[@]}"
}

job_packages-remove() {
	apt-get -q -y purge "${packages[@]}"
	apt-get -q clean
}

job_maintain() {
	mariadb-check --silent --check auction
	mariadb-check --silent --analyze auction
	find / -xdev -ignore_readdir_race -type f -printf '%p %s %T@\n' >"$state/files.new"
	mv "$state/files.new" "$state/files"
}

began=$(date +%s)
tell "0 script begin"
while read -r at id job; do
	wait_for=$((began + at - $(date +%s)))
	if [ "$wait_for" -gt 0 ]; then sleep "$wait_for"; fi
	run "$id" "$job" &
done <<<"$schedule"
wait
tell "0 script end 0"
