"""Arrow in, Arrow out: what each function computes, for any host. Kernels only consume the engine."""
