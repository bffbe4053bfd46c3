fcgi_sources = \
	fcgi/main.c fcgi/listener.c fcgi/listener.h fcgi/pool.c fcgi/pool.h \
	fcgi/handover.c fcgi/handover.h fcgi/lane.c fcgi/lane.h fcgi/settings.c fcgi/settings.h \
	fcgi/cgi.c fcgi/cgi.h fcgi/fcgx.c fcgi/fcgx.h fcgi/serve.c fcgi/serve.h \
	fcgi/request.c fcgi/request.h fcgi/response.c fcgi/response.h \
	fcgi/router.c fcgi/router.h fcgi/access.c fcgi/access.h \
	fcgi/idempotency.c fcgi/idempotency.h \
	fcgi/hub.c fcgi/hub.h fcgi/hub_stream.c fcgi/hub_stream.h fcgi/hub_feed.c fcgi/hub_poll.c \
	fcgi/hub_frame.c fcgi/hub_frame.h fcgi/hub_count.c fcgi/hub_count.h
