"""Whole files of texts: tables in, tables with labels out."""
