"""The report: pictures, one self-contained HTML page, and the table for the terminal."""
