/* Where the web server starts a process a request: plain CGI, and mod_fcgid, whose processes serve
 * one request at a time.
 *
 * Plain CGI is the same program: one thread serves the request as any worker does, on one end of a
 * socket pair; the main thread stands at the other end as the web server would, and passes bytes
 * between it and standard input and output (which need not be sockets). So router, handlers,
 * errors, streams and long polls have one code path on every transport. */
#ifndef VX_CGI_H
#define VX_CGI_H

#include <stdbool.h>

/* Where stream.max_seconds is 0: before Apache's usual limits of 300 s. */
#define CGI_STREAM_SECONDS 240

/* A web server started us for one request, and standard input is no listening socket. */
bool cgi_is_request(void);
/* Answers the request on standard output. dir as for instance_init(). Returns the exit status. */
int cgi_serve(const char *dir);

/* Standard input is a listening socket of mod_fcgid. Its process manager is then our parent, and we
 * get SIGTERM when that dies. Call before the socket is moved from descriptor 0. */
bool cgi_is_mod_fcgid(void);

#endif
