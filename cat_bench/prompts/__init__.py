"""General prompt texts, for tasks that bring none of their own."""
