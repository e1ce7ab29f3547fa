"""Pages. Each view gets its project, asks a form or a service, and renders."""
