dist_man_MANS += docs/vexa.1 docs/vexa-init.1 docs/vexa-up.1 docs/vexa-runner.1 docs/vexa-fcgi.1 \
	docs/vexa-user.1 docs/vexa-token.1 docs/vexa-tail.1 docs/vexa-replay-bot.1 \
	docs/vexa-exec-in.1
dist_doc_DATA = docs/api.md docs/streams.md docs/operations.md docs/internals.md docs/decisions.md \
	docs/security.md
