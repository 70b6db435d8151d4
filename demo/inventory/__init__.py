"""A made-up inventory of any size, shaped like real ones: what ``python -m demo.inventory`` fills a database with."""
