# The contracts, compiled into the binary by embed.sh. One JSON Schema a body; name = file name.
CONTRACTS = \
	contracts/admin.token.create.v1.json \
	contracts/admin.user.create.v1.json \
	contracts/admin.user.update.v1.json \
	contracts/auth.me.v1.json \
	contracts/bots.chat.v1.json \
	contracts/bots.create.v1.json \
	contracts/bots.status.v1.json \
	contracts/bots.stop.v1.json \
	contracts/error.v1.json \
	contracts/health.v1.json \
	contracts/invocation.v1.json \
	contracts/lifecycle.accepted.v1.json \
	contracts/lifecycle.v1.json \
	contracts/meeting.deleted.v1.json \
	contracts/meeting.v1.json \
	contracts/meetings.v1.json \
	contracts/ready.v1.json \
	contracts/segment.v1.json \
	contracts/stream.poll.v1.json \
	contracts/token.created.v1.json \
	contracts/token.v1.json \
	contracts/tokens.v1.json \
	contracts/transcript.v1.json \
	contracts/transcripts.accepted.v1.json \
	contracts/transcripts.ingest.v1.json \
	contracts/user.v1.json \
	contracts/workspace.commit.v1.json \
	contracts/workspace.file.v1.json \
	contracts/workspace.git.v1.json \
	contracts/workspace.init.v1.json \
	contracts/workspace.made.v1.json \
	contracts/workspace.tree.v1.json
EXTRA_DIST += contracts/embed.sh $(CONTRACTS)
BUILT_SOURCES += contracts/contracts_data.c
CLEANFILES += contracts/contracts_data.c contracts/contracts_data.c.tmp

contracts/contracts_data.c: contracts/embed.sh $(CONTRACTS)
	$(AM_V_GEN)$(MKDIR_P) contracts && \
	$(SHELL) $(top_srcdir)/contracts/embed.sh $(top_srcdir) $(CONTRACTS) >$@.tmp && \
	mv $@.tmp $@
