bot_sources = bot/main.c bot/invocation.c bot/invocation.h bot/replay.c bot/replay.h \
	bot/script.c bot/script.h bot/talk.c bot/talk.h bot/commands.c bot/commands.h
dist_pkgdata_DATA = samples/meeting-launch.vtt samples/short.vtt
