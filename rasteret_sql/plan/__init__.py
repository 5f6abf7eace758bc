"""Pure arithmetic: geometry → window → level → tiles → merged byte ranges."""
