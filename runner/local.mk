runner_sources = runner/main.c runner/bots.c runner/bots.h runner/launch.c runner/launch.h \
	runner/ending.c runner/ending.h runner/retention.c runner/retention.h runner/exec_bot.c
