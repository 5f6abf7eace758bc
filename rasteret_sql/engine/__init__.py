"""One scheduler: plan, fetch, decode, deliver; each tile once, in bounded memory, stopped by Ctrl-C."""
