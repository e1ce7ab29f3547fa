"""The benchmark: R.E.D., the article's version and a flat classifier on data whose labels are known; no database."""
