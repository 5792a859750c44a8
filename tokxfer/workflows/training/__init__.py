"""Training a student on what a teacher says: data, objectives, the loop, its account."""
