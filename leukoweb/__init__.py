"""leukoweb: reader studies of blood smears. Research use only."""
