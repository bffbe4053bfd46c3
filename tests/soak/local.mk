# make soak TIME=seconds: the property test of the event streams, see docs/internals.md.
# SOAK_FLAGS="--seed 12345" plays a seed again.
EXTRA_DIST += tests/soak/soak.py tests/soak/crowd.py tests/soak/record.py
TIME = 300

soak: vexa
	$(AM_V_at)VEXA_BINARY=$(abs_top_builddir)/vexa $(PYTHON3) $(top_srcdir)/tests/soak/soak.py \
	--seconds $(TIME) $(SOAK_FLAGS)
.PHONY: soak
