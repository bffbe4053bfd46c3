fcgi_sources = \
	fcgi/main.c fcgi/listener.c fcgi/listener.h fcgi/pool.c fcgi/pool.h \
	fcgi/fcgx.c fcgi/fcgx.h fcgi/serve.c fcgi/serve.h \
	fcgi/request.c fcgi/request.h fcgi/response.c fcgi/response.h \
	fcgi/router.c fcgi/router.h fcgi/access.c fcgi/access.h \
	fcgi/hub.c fcgi/hub.h fcgi/hub_stream.c fcgi/hub_stream.h fcgi/hub_feed.c \
	fcgi/hub_frame.c fcgi/hub_frame.h fcgi/hub_count.c fcgi/hub_count.h
