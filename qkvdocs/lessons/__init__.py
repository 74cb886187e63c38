"""The Markdown side: runs the fences of a page, fills in its values, checks its numerals."""
