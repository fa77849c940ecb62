"""Labels whole tables of texts, on one machine or a Ray cluster."""
