liblib_a_SOURCES = \
	lib/err.c lib/err.h \
	lib/arena.c lib/arena.h \
	lib/buf.c lib/buf.h \
	lib/clock.c lib/clock.h \
	lib/secret.c lib/secret.h \
	lib/log.c lib/log.h \
	lib/config.c lib/config.h lib/config_keys.h \
	lib/instance.c lib/pids.c lib/instance.h \
	lib/json_scan.c lib/json_make.c lib/json_scan.h \
	lib/schema.c lib/schema_scalar.c lib/schema_report.c lib/schema_walk.h lib/violations.c lib/schema.h \
	lib/contracts.c lib/contracts.h lib/contracts_data.h \
	lib/meeting_url.c lib/meeting_url.h \
	lib/lifecycle.c lib/lifecycle.h \
	lib/meeting_token.c lib/meeting_token.h \
	lib/webvtt.c lib/webvtt.h \
	lib/sandbox.c lib/sandbox_report.c lib/sandbox_probe.c lib/sandbox_test.c lib/sandbox.h \
	lib/sandbox_filter.c lib/sandbox_filter.h \
	lib/cursor.c lib/cursor.h \
	lib/int_text.c lib/int_text.h \
	lib/py_text.c lib/py_text.h \
	lib/http_client.c lib/http_client.h \
	lib/event_source.c lib/event_source.h \
	lib/store.c lib/store_lock.c lib/store_lock.h lib/store_writer.c lib/store_writer.h \
	lib/store_schema.c lib/store_schema.h lib/store_sql.c lib/store_sql.h lib/store.h \
	lib/store_users.c lib/store_tokens.c lib/store_users.h \
	lib/store_events.c lib/store_events.h \
	lib/store_meetings.c lib/store_meeting_bots.c lib/store_meeting_state.c \
	lib/store_meeting_delete.c lib/store_meetings.h \
	lib/store_retention.c lib/store_retention.h \
	lib/store_idempotency.c lib/store_idempotency.h \
	lib/store_meeting_row.c lib/store_meeting_row.h \
	lib/store_segments.c lib/store_segments.h \
	lib/store_workloads.c lib/store_workloads.h \
	lib/workspace.c lib/workspace_tree.c lib/workspace_seed.c lib/workspace_git.c \
	lib/workspace_state.c lib/workspace_show.c lib/workspace_git.h lib/workspace.h lib/workspace_parts.h
nodist_liblib_a_SOURCES = contracts/contracts_data.c
