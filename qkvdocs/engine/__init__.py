"""All that makes a checked site of pages that run: nothing in it is about attention."""
