"""CSV files in and out. Knows nothing of the database: rows in, rows out, and what is wrong with them."""
