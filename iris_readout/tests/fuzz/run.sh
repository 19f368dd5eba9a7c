#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# Run the fuzz targets of a build with IRIS_FUZZ, one after the other.
#
#     run.sh BUILD SECONDS
#
# Corpora grow in BUILD/corpus; what is found lies in BUILD/found, and is run
# again by ctest once it has been copied to tests/fuzz/found.
set -eu
here=$(dirname "$0")
build=$1
seconds=$2

# CFITSIO asks for as much as a packed file claims to need, up to 8 GiB: refused,
# as by a small machine (and the sanitizer would take seconds to mark it all).
export ASAN_OPTIONS=allocator_may_return_null=1:max_allocation_size_mb=1000

# Where the command works; nothing stays there if it is stopped.
if [ -w /dev/shm ]; then
	TMPDIR=/dev/shm
fi
TMPDIR=$(mktemp -d "${TMPDIR:-/tmp}/iris-fuzz-run-XXXXXX")
export TMPDIR
trap 'rm -rf "$TMPDIR"' EXIT
trap 'exit 1' INT TERM

run()
{
	name=$1
	shift
	if [ ! -x "$build/tests/fuzz_$name" ]; then
		echo "fuzz_$name is left out: it was not built"
		return 0
	fi
	mkdir -p "$build/corpus/$name" "$build/found/$name"
	status=0
	"$build/tests/fuzz_$name" "$@" -max_total_time="$seconds" \
		-rss_limit_mb=3000 -timeout=120 -print_final_stats=1 \
		-artifact_prefix="$build/found/$name/" "$build/corpus/$name" \
		"$build/tests/seeds/$name" "$here/found/$name" \
		> "$build/$name.log" 2>&1 || status=$?
	runs=$(sed -n 's/^stat::number_of_executed_units: *//p' \
		"$build/$name.log")
	state=$(grep -o 'cov: [0-9]* ft: [0-9]* corp: [0-9]*' \
		"$build/$name.log" | tail -n 1)
	if [ "$status" != 0 ]; then
		tail -n 60 "$build/$name.log" >&2
		echo "fuzz_$name: a finding after ${runs:-0} runs; see $build/$name.log" >&2
		return 1
	fi
	echo "fuzz_$name: ${runs:-0} runs, $state, nothing found"
}

failed=0
run api -max_len=1500 || failed=1
run command -max_len=60000 -close_fd_mask=3 \
	-dict="$here/fits.dict" || failed=1
exit $failed
