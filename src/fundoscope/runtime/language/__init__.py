"""The texts of reports, in each language that a report can be written in."""
