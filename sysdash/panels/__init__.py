"""The dashboard's panels: one widget class a file, drawn from a scene and the user's choices."""
