"""Questions about reader studies. ``reading`` is for blind requests and asks the reader's own tables only."""
