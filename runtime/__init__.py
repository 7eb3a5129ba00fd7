"""Running a model and running a program: engine, chat templates, model registry, sandbox, and the root of the CLI."""
