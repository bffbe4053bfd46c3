# make bench: measures the built vexa beside a bare libfcgi program, see docs/benchmarks.md.
# BENCH_FLAGS="--pairs 1 --seconds 1" makes it short.
EXTRA_DIST += tests/bench/bench.py tests/bench/clients.py docs/benchmarks.md
EXTRA_PROGRAMS = tests/bench/bare_fcgi
CLEANFILES += tests/bench/bare_fcgi
tests_bench_bare_fcgi_SOURCES = tests/bench/bare_fcgi.c
tests_bench_bare_fcgi_LDADD = $(FCGI_LIBS)

bench: vexa tests/bench/bare_fcgi
	$(AM_V_at)$(PYTHON3) $(top_srcdir)/tests/bench/bench.py --vexa ./vexa \
	--bare tests/bench/bare_fcgi $(BENCH_FLAGS)
.PHONY: bench

# make bench-streams: event streams beside nchan, see docs/benchmarks.md.
# STREAMS_FLAGS="--runs 1 --n 1000" makes it short.
EXTRA_DIST += tests/bench/streams.py
EXTRA_PROGRAMS += tests/bench/stream_clients
CLEANFILES += tests/bench/stream_clients
tests_bench_stream_clients_SOURCES = tests/bench/stream_clients.c
tests_bench_stream_clients_LDADD =

bench-streams: vexa tests/bench/stream_clients
	$(AM_V_at)$(PYTHON3) $(top_srcdir)/tests/bench/streams.py --vexa ./vexa \
	--client tests/bench/stream_clients $(STREAMS_FLAGS)
.PHONY: bench-streams
