/* The commands of the one binary. A command gets argc/argv from its own name on and returns the
 * exit status: 0 done, 1 failed, 2 refused input (s6's habit: 100 usage, 111 system trouble). */
#ifndef VX_CLI_H
#define VX_CLI_H

#include <stdbool.h>

#define EXIT_USAGE  100
#define EXIT_SYSTEM 111

int cmd_fcgi(int argc, char **argv); /* fcgi/main.c */
/* fcgi/cgi.c: a web server that started us as a CGI program made the arguments of the client's
 * query (RFC 3875 §4.4: one without '='). They must not be read. */
bool cgi_args_are_foreign(int argc, char **argv);
int cmd_runner(int argc, char **argv);     /* runner/main.c */
int cmd_up(int argc, char **argv);         /* cli/up.c: supervisor */
int cmd_down(int argc, char **argv);       /* cli/down.c: ends what the pids file records */
int cmd_init(int argc, char **argv);       /* cli/init.c */
int cmd_user(int argc, char **argv);       /* cli/user.c */
int cmd_token(int argc, char **argv);      /* cli/token.c */
int cmd_tail(int argc, char **argv);       /* cli/tail.c: follows an event stream */
int cmd_config(int argc, char **argv);     /* cli/config.c */
int cmd_version(int argc, char **argv);    /* cli/version.c */
int cmd_replay_bot(int argc, char **argv); /* bot/main.c */
int cmd_exec_in(int argc, char **argv);    /* cli/exec_in.c: a program behind lib/sandbox.h */
int cmd_exec_bot(int argc, char **argv);   /* runner/exec_bot.c: limits, then exec */

#endif
