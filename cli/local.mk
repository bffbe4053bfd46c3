cli_sources = cli/main.c cli/cli.h cli/options.c cli/options.h cli/up.c cli/down.c cli/init.c \
	cli/conf_file.c cli/conf_file.h cli/user.c cli/token.c cli/config.c cli/version.c cli/tail.c \
	cli/tail_view.c cli/tail_view.h cli/exec_in.c
