libhandlers_a_SOURCES = \
	handlers/http.c handlers/http.h handlers/stream_spec.h \
	handlers/routes.c handlers/routes.h handlers/handlers.h handlers/body.c handlers/body.h \
	handlers/health.c handlers/openapi.c \
	handlers/auth.c handlers/admin_users.c handlers/admin_tokens.c \
	handlers/meeting_json.c handlers/meeting_json.h \
	handlers/bot_create.c handlers/bots.c handlers/bots_status.c handlers/meetings.c handlers/meeting_delete.c handlers/transcripts.c \
	handlers/bot_callback.c handlers/bot_transcripts.c handlers/streams.c handlers/feed.c handlers/workspace.c
