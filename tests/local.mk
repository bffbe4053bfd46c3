# A unit test is tests/unit/test_<subject>.c; add a line here (and to UNIT_TESTS). Tests link the
# libraries of lib/ and handlers/; one that needs files of another room names its sources.
EXTRA_DIST += tests/unit/store_fixture.h tests/lint.sh tests/http tools
LDADD = libhandlers.a liblib.a $(CMOCKA_LIBS) $(VX_LIBS)
UNIT_TESTS = \
	tests/unit/test_bot_script \
	tests/unit/test_config \
	tests/unit/test_store \
	tests/unit/test_store_events \
	tests/unit/test_store_meetings \
	tests/unit/test_store_segments \
	tests/unit/test_store_users \
	tests/unit/test_cursor \
	tests/unit/test_int_text \
	tests/unit/test_json_scan \
	tests/unit/test_lifecycle \
	tests/unit/test_meeting_token \
	tests/unit/test_meeting_url \
	tests/unit/test_projection \
	tests/unit/test_openapi \
	tests/unit/test_request \
	tests/unit/test_router \
	tests/unit/test_schema \
	tests/unit/test_webvtt
tests_unit_test_bot_script_SOURCES = tests/unit/test_bot_script.c bot/script.c bot/script.h \
	bot/commands.c bot/commands.h bot/invocation.c bot/invocation.h
if HAVE_CMOCKA
check_PROGRAMS += $(UNIT_TESTS)
TESTS += $(UNIT_TESTS)
endif
