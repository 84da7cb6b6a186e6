"""Who is tried next: strategies with two verbs, ask and tell."""
