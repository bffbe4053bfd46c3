# A unit test is tests/unit/test_<subject>.c; add a line here (and to UNIT_TESTS). Tests link the
# libraries of lib/ and handlers/; one that needs files of another room names its sources.
EXTRA_DIST += tests/unit/store_fixture.h tests/lint.sh tests/http tools
LDADD = libhandlers.a liblib.a $(CMOCKA_LIBS) $(VX_LIBS)
UNIT_TESTS = \
	tests/unit/test_bot_script \
	tests/unit/test_conf_file \
	tests/unit/test_config \
	tests/unit/test_launch \
	tests/unit/test_store \
	tests/unit/test_store_events \
	tests/unit/test_store_delete \
	tests/unit/test_store_meetings \
	tests/unit/test_store_idempotency \
	tests/unit/test_store_retention \
	tests/unit/test_store_segments \
	tests/unit/test_store_users \
	tests/unit/test_cursor \
	tests/unit/test_event_source \
	tests/unit/test_int_text \
	tests/unit/test_json_scan \
	tests/unit/test_lifecycle \
	tests/unit/test_meeting_token \
	tests/unit/test_meeting_url \
	tests/unit/test_projection \
	tests/unit/test_openapi \
	tests/unit/test_request \
	tests/unit/test_router \
	tests/unit/test_sandbox \
	tests/unit/test_schema \
	tests/unit/test_tail_view \
	tests/unit/test_webvtt \
	tests/unit/test_workspace
tests_unit_test_bot_script_SOURCES = tests/unit/test_bot_script.c bot/script.c bot/script.h \
	bot/commands.c bot/commands.h bot/invocation.c bot/invocation.h
tests_unit_test_conf_file_SOURCES = tests/unit/test_conf_file.c cli/conf_file.c cli/conf_file.h
tests_unit_test_tail_view_SOURCES = tests/unit/test_tail_view.c cli/tail_view.c cli/tail_view.h
tests_unit_test_router_SOURCES = tests/unit/test_router.c fcgi/idempotency.c fcgi/idempotency.h
tests_unit_test_launch_SOURCES = tests/unit/test_launch.c runner/launch.c runner/launch.h \
	runner/ending.c runner/ending.h
if HAVE_CMOCKA
check_PROGRAMS += $(UNIT_TESTS)
TESTS += $(UNIT_TESTS)
endif
include tests/bench/local.mk
include tests/soak/local.mk
