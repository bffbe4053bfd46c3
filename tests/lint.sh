#!/usr/bin/env bash
# The house rules a machine can check: rooms, banned functions, file sizes, format, registry hosts.
set -u
cd "$(dirname "$0")/.." || exit 1
passed=0 failed=0
rule() { # rule NAME FINDINGS
  if [ -z "$2" ]; then
    passed=$((passed + 1)); echo "ok      lint: $1"
  else
    failed=$((failed + 1)); echo "FAILED  lint: $1"; printf '%s\n' "$2" | head -n 20
  fi
}
c_files=$(find lib handlers fcgi runner bot cli tests -name '*.[ch]' | sort)
# shellcheck disable=SC2086
{
rule "lib knows no other room" "$(grep -nE '^#include "(handlers|fcgi|runner|cli|bot)/' -r lib --include='*.[ch]')"
rule "handlers know neither FastCGI nor SQL" "$(grep -nE '^#include "(fcgi|runner|cli|bot)/|fcgiapp\.h|sqlite3\.h|store_sql\.h' -r handlers --include='*.[ch]')"
rule "runner, cli and bot use lib only" "$(grep -nE '^#include "(handlers|fcgi)/|fcgiapp\.h' -r runner cli bot --include='*.[ch]')"
rule "SQL lives in lib/store_*.c" "$(grep -lE 'sqlite3\.h|store_sql\.h' -r lib fcgi runner cli bot --include='*.[ch]' | grep -vE '^lib/store')"
rule "libfcgi lives behind fcgi/fcgx.c" "$(grep -l 'fcgiapp\.h' -r fcgi handlers lib --include='*.[ch]' | grep -v '^fcgi/fcgx\.[ch]$')"
rule "banned functions" "$(grep -nwE '(sprintf|vsprintf|strcpy|strcat|strtok|atoi|atol|atof|gets|gmtime|localtime|ctime|asctime|alloca|system|popen|tmpnam|mktemp|usleep|sleep|rand|srand)[ ]*\(' $c_files | grep -vE '^[^:]+:[0-9]+: *(/?\*|//)')"
rule "no file over 900 lines" "$(wc -l $c_files $(find tests tools -name '*.py' -o -name '*.sh') | awk '$2!="total" && $1>900')"
rule "every C file says what it owns" "$(for f in $c_files; do head -n 1 "$f" | grep -q '^/\*' || echo "$f"; done)"
if command -v clang-format-14 >/dev/null; then
  rule "clang-format" "$(clang-format-14 --dry-run -Werror $c_files 2>&1 | grep error: | cut -d: -f1 | sort -u)"
fi
rule "no words that mean later" "$(grep -nwE 'TODO|FIXME|XXX|HACK' $c_files)"
}
echo "$passed passed, $failed failed, 0 skipped"
[ $failed = 0 ]
