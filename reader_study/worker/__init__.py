"""Jobs of reader studies. Imported inside a worker's job only."""
