#!/usr/bin/env bash
# Unpacks Slurm and munge into a folder (build/slurm, or the first argument), for the tests of the engine `slurm`.
# Nothing is installed on the machine, and no daemon is started. Debian and Ubuntu only; elsewhere it fails with a line.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
folder=${1:-build/slurm}
if [ -x "$folder/root/usr/bin/sbatch" ]; then exit 0; fi
command -v apt-get >/dev/null && command -v dpkg >/dev/null || { echo "slurm: no apt-get here" >&2; exit 1; }
mkdir -p "$folder/packages"
download() {
	(cd "$folder/packages" && timeout 60 apt-get -qq download slurmctld slurmd slurm-client slurm-wlm-basic-plugins munge \
		libmunge2 libhwloc15 2>/dev/null)
}
download || { timeout 60 apt-get -qq update >/dev/null 2>&1 || true; download; } ||
	{ echo "slurm: apt-get cannot download it" >&2; exit 1; }
for package in "$folder"/packages/*.deb; do dpkg -x "$package" "$folder/unpacked"; done
rm -r "$folder/packages"
mv "$folder/unpacked" "$folder/root"
