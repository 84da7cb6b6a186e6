"""The shipped studies, as package data: one YAML file each, headed by question, command, cost and known result."""
