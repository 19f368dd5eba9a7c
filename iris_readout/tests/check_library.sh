#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# What the library gives and takes: it exports the functions of its header and
# nothing else, has no variables that can be written, and neither prints, opens
# files nor ends the program.
#
#     check_library.sh NM OBJDUMP HEADER SHARED STATIC
set -eu
nm=$1 objdump=$2 header=$3 shared=$4 static=$5
failed=0

complain()
{
	echo "$1:" >&2
	echo "$2" >&2
	failed=1
}

exported=$("$nm" -D --defined-only "$shared" | awk '{ print $NF }' |
	sed 's/@.*//' | LC_ALL=C sort -u)
declared=$(tr '\n' ' ' < "$header" | grep -o 'IRIS_API [^;]*;' |
	grep -o 'iris_[a-z_]*(' | tr -d '(' | LC_ALL=C sort -u)
[ -n "$declared" ] || complain "declared functions" "none found"
[ "$exported" = "$declared" ] ||
	complain "exported, not as declared" "$exported"

# Tables of pointers are written by the loader and then locked: .data.rel.ro.
written=$("$objdump" -h "$static" | awk '
	$2 ~ /^\.(t?data|t?bss)(\.|$)/ && $2 !~ /^\.data\.rel\.ro/ &&
	$3 !~ /^0+$/ { print $2, $3 }')
[ -z "$written" ] || complain "variables that can be written" "$written"
common=$("$nm" "$static" 2>/dev/null | awk '$2 == "C" { print $3 }')
[ -z "$common" ] || complain "variables that can be written" "$common"

taken=$("$nm" -D --undefined-only "$shared" | awk '{ print $NF }' |
	sed 's/@.*//' | grep -Ex '(__)?(f|d|v|vf|s)?printf(_chk)?|f?puts|f?putc|putchar|fwrite|perror|(f|fd|p)?open(64|at)?|creat|read|write|_?exit|_Exit|abort|__assert_fail|std(in|out|err)|syslog|signal|sigaction|system|sleep' || true)
[ -z "$taken" ] || complain "calls that a library must not make" "$taken"
exit $failed
